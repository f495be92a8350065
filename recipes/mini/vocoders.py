"""Compares vocoders on the embedded model's held-out clips, and the sharpness of their attacks.

    python recipes/mini/vocoders.py --out runs/mini

Needs the sounds of step 1, and what of these vocoders is trained: ``OUT/model/vocoder.safetensors``
(BigVGAN; without it the one of the last release), ``vocos`` and ``vocos-critics``, each of the last
two whole and by its halves: its spectra as they are, and Griffin-Lim from its phase or amplitude
alone. Prints and writes ``results/vocoders.md``.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, cast

import classifier
import evaluate
import torch
import torch.nn.functional as F
from attacks import attacks, envelope, rise_ms
from intonation import tuning
from sounds import SPEC
from torch import Tensor

from clipsonic_cli.audio.files import read
from clipsonic_cli.audio.griffin_lim import GriffinLim
from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.audio.spectral_distance import spectral_distance
from clipsonic_cli.config import TRAINED_VOCODERS, VocoderConfig, VocosConfig
from clipsonic_cli.metrics.frechet import Gaussian, Moments, frechet_distance
from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.models.vocoders import build_vocoder
from clipsonic_cli.models.vocos import FIT_STEPS, Vocos
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import BUNDLED, SUFFIX

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    *("vocoder", "log-mel L1", "spectral distance", "fad[mini]", "accuracy"),
    *("rise, ms", "rise / recording's", "in tune", "CPU s for a second"),
)

Vocode = Callable[[Tensor], Tensor]


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description="Compare vocoders on held-out clips.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--clips", type=int, default=348, help="held-out clips, spread over labels")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table is written")
    args = parser.parse_args()
    labels, clips = evaluate.read_data(args.out)
    test = spread([clip for clip in clips if clip["split"] == "test"], args.clips)
    waves = [read(args.out / "data" / clip["path"], SPEC.sample_rate) for clip in test]
    wanted = torch.tensor([labels.index(clip["label"]) for clip in test])
    judge = evaluate.trained_judge(args.out, clips, labels)
    backbone = MiniBackbone.load(torch.device("cpu"))
    reference = gaussian(waves, backbone)
    places = [attacks(envelope(wave, SPEC.sample_rate)) for wave in waves]

    def scores(name: str, vocode: Vocode | None) -> tuple[str, ...]:
        made, seconds = (waves, 0.0) if vocode is None else remake(vocode, waves)
        mels = torch.cat([classifier.mel_of(wave[None], SPEC) for wave in made])
        named = classifier.predict(judge, mels)
        own, ratio = rises(made, waves, places)
        cells = [f"{float((named == wanted).float().mean()):.3f}", f"{own:.0f}", f"{ratio:.2f}"]
        if vocode is None:
            return name, "-", "-", "-", *cells, "-", "-"
        apart = [spectral_distance(a, b) for a, b in zip(made, waves, strict=True)]
        fad = frechet_distance(gaussian(made, backbone), reference)
        values = (log_mel_l1(made, waves), mean(apart), fad)
        cells += [f"{tuning(vocode, SPEC):.2f}", f"{seconds:.4f}"]
        return name, *(f"{value:.3f}" for value in values), *cells

    rows = [scores("recording", None)]
    for name, vocode in vocoders(args.out).items():
        rows.append(scores(name, vocode))
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    text = page(rows, clips=len(test), onsets=sum(map(len, places)))
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "vocoders.md").write_text(text, encoding="utf-8")
    print(text)


def spread(clips: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return up to ``count`` clips, evenly spaced in a list that is sorted by label."""
    count = min(count, len(clips))
    return [clips[i * len(clips) // count] for i in range(count)]


def vocoders(out: Path) -> dict[str, Vocode]:
    """Load what is trained, by name, after Griffin-Lim."""
    found: dict[str, Vocode] = {"griffin-lim": build_vocoder("griffin-lim", SPEC)}
    for stem in ("vocoder", "vocos", "vocos-critics"):
        path = out / "model" / f"{stem}{SUFFIX}"
        if not path.is_file():
            print(f"{path} is missing: train.py {stem} makes it", file=sys.stderr)
            if stem != "vocoder":
                continue
            path = BUNDLED / "mini" / path.name
        part = bundle.load(path, kind="vocoder")
        config = cast(VocoderConfig | VocosConfig, part.header.config)
        kind = TRAINED_VOCODERS[type(config)]
        vocode = build_vocoder(kind, SPEC, config, part.weights)
        name = kind if stem == "vocoder" else stem
        found[f"{name}, {part.header.meta.get('steps', '?')} steps"] = vocode
        if kind == "vocos":
            found |= halves(name, cast(Any, vocode).vocoder)
    return found


def halves(name: str, vocos: Vocos) -> dict[str, Vocode]:
    """Return what shows the shares of amplitude, phase and rounds in what a Vocos makes."""
    rounds, blind = vocos.griffin_lim, GriffinLim(vocos.spec)

    def from_phase(mel: Tensor) -> Tensor:
        return rounds.estimate(rounds.magnitude(mel.squeeze(1).exp()), vocos.spectra(mel)[1])

    def from_amplitude(mel: Tensor) -> Tensor:
        amplitude = blind.fit(vocos.spectra(mel)[0].exp(), mel.squeeze(1).exp(), FIT_STEPS)
        return blind.estimate(amplitude, blind.random_phase(amplitude))

    return {
        f"{name}'s spectra alone": lambda mel: vocos.waveform(*vocos.spectra(mel)),
        f"griffin-lim {rounds.iterations} from {name}'s phase": from_phase,
        f"griffin-lim {blind.iterations} from {name}'s amplitude": from_amplitude,
    }


@torch.inference_mode()
def remake(vocode: Vocode, waves: list[Tensor]) -> tuple[list[Tensor], float]:
    """Make waveforms (N,) of the mels of others, and measure the CPU seconds for one of sound."""
    log_mel, made, spent = LogMel(SPEC), [], 0.0
    mels = [log_mel(wave[None]) for wave in waves]
    vocode(mels[0])  # the first call takes longer
    for mel in mels:
        started = time.process_time()
        made.append(vocode(mel)[0])
        spent += time.process_time() - started
    return made, spent * SPEC.sample_rate / sum(map(len, made))


def log_mel_l1(made: list[Tensor], waves: list[Tensor]) -> float:
    """Compute the mean absolute difference of log-mels."""
    log_mel = LogMel(SPEC)
    pairs = zip(made, waves, strict=True)
    return mean([float(F.l1_loss(log_mel(a[None]), log_mel(b[None]))) for a, b in pairs])


def gaussian(waves: list[Tensor], backbone: MiniBackbone) -> Gaussian:
    """Return the distribution of the windows of waveforms."""
    moments = Moments(backbone.dim)
    for wave in waves:
        moments.add(backbone.embed(wave, SPEC.sample_rate))
    return moments.gaussian()


def rises(made: list[Tensor], waves: list[Tensor], places: list[list[int]]) -> tuple[float, float]:
    """Return the median rise of attacks in ms, and that of its ratio to the recording's.

    ``places`` are those of the attacks in the recordings, for each of them.
    """
    own, ratios = [], []
    for a, b, middles in zip(made, waves, places, strict=True):
        ours, theirs = (envelope(wave, SPEC.sample_rate) for wave in (a, b))
        for middle in middles:
            own.append(rise_ms(ours, middle))
            ratios.append(own[-1] / max(rise_ms(theirs, middle), 1.0))
    return (median(own), median(ratios)) if own else (float("nan"), float("nan"))


def mean(values: list[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)


def page(rows: list[tuple[str, ...]], *, clips: int, onsets: int) -> str:
    """Format the table and what its columns are."""
    table = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    return f"""# Vocoders on mini's held-out clips

By `recipes/mini/vocoders.py`, of {clips} clips of 4 s, each made again from its mel. Less is
better, but for the accuracy and the tuning, and the rise should be the recording's. The spectral
distance is the sum of spectral convergence and log difference, a mean over windows of 512, 1024 and
2048 samples; `fad[mini]` is to the recordings of the same clips; the accuracy is the recipe's
classifier's. The rise is the time from 10 to 90 % of the envelope, a median over the recordings'
{onsets} attacks. In tune is the share of energy within 20 cents of the partials of steady tones
over four octaves from 110 Hz (`intonation.py`), which no vocoder was trained on. The last column is
processor time, of all threads together, one clip at a time.

{lines}
"""


if __name__ == "__main__":
    main()
