"""Compares vocoders on the embedded model's held-out clips, and the sharpness of their attacks.

    python recipes/mini/vocoders.py --out runs/mini

Needs the sounds of step 1, and what of these vocoders is trained: ``OUT/model/vocoder.safetensors``
(BigVGAN; without it the one of the last release), ``vocos`` and ``vocos-critics``, each of the last
two alone and as the start of ten rounds of Griffin-Lim, with either's amplitude. Prints and writes
``results/vocoders.md``.
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
from sounds import SPEC
from torch import Tensor, nn

from clipsonic_cli.audio.files import read
from clipsonic_cli.audio.griffin_lim import GriffinLim
from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import TRAINED_VOCODERS, VocoderConfig, VocosConfig
from clipsonic_cli.metrics.frechet import Gaussian, Moments, frechet_distance
from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.models.vocoders import build_vocoder
from clipsonic_cli.models.vocos import Vocos
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import BUNDLED, SUFFIX

RESULTS = Path(__file__).parent / "results"
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
"""FFT size and hop of the spectrograms compared, in samples."""
ROUNDS = 10
"""Of Griffin-Lim, from a network's phase."""
COLUMNS = (
    *("vocoder", "log-mel L1", "spectral distance", "fad[mini]", "accuracy"),
    *("rise, ms", "rise / recording's", "CPU s for a second"),
)

Vocode = Callable[[Tensor], Tensor]


class Refined(nn.Module):
    """Griffin-Lim from the phase of a Vocos, with its amplitude or that of the inverted filters."""

    def __init__(self, vocos: Vocos, *, rounds: int = ROUNDS, own_amplitude: bool = False) -> None:
        super().__init__()
        self.vocos, self.griffin_lim = vocos, GriffinLim(vocos.spec, iterations=rounds)
        self.own_amplitude = own_amplitude

    def forward(self, mel: Tensor) -> Tensor:
        """Return (B, hop_length * T) for a natural-log mel (B, 1, F, T)."""
        log_amplitude, phase = self.vocos.spectra(mel)
        amplitude = log_amplitude.exp()
        if self.own_amplitude:
            amplitude = self.griffin_lim.magnitude(mel.squeeze(1).exp())
        return self.griffin_lim.estimate(amplitude, phase)


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

    def scores(name: str, made: list[Tensor], seconds: float | None) -> tuple[str, ...]:
        mels = torch.cat([classifier.mel_of(wave[None], SPEC) for wave in made])
        named = classifier.predict(judge, mels)
        own, ratio = rises(made, waves, places)
        cells = [f"{float((named == wanted).float().mean()):.3f}", f"{own:.0f}", f"{ratio:.2f}"]
        if seconds is None:
            return name, "-", "-", "-", *cells, "-"
        apart = (log_mel_l1(made, waves), spectral_distance(made, waves))
        fad = frechet_distance(gaussian(made, backbone), reference)
        return name, *(f"{value:.3f}" for value in (*apart, fad)), *cells, f"{seconds:.4f}"

    rows = [scores("recording", waves, None)]
    for name, vocode in vocoders(args.out).items():
        made, seconds = remake(vocode, waves)
        rows.append(scores(name, made, seconds))
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
            vocos: Vocos = cast(Any, vocode).vocoder
            found[f"{name}, then griffin-lim {ROUNDS}"] = Refined(vocos)
            found[f"griffin-lim {ROUNDS} from {name}'s phase"] = Refined(vocos, own_amplitude=True)
    return found


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


def spectral_distance(made: list[Tensor], waves: list[Tensor]) -> float:
    """Compute convergence plus log difference of magnitudes, a mean over three resolutions.

    Source: Yamamoto et al. 2020 (Parallel WaveGAN).
    """
    values = []
    for a, b in zip(made, waves, strict=True):
        for n_fft, hop in RESOLUTIONS:
            ours, theirs = (magnitudes(x[: len(a)], n_fft, hop) for x in (a, b))
            convergence = (ours - theirs).norm() / theirs.norm().clamp(min=1e-5)
            values.append(float(convergence + F.l1_loss(ours.log(), theirs.log())))
    return mean(values)


def magnitudes(wave: Tensor, n_fft: int, hop: int) -> Tensor:
    """Return the magnitudes (n_fft // 2 + 1, frames) of a waveform, 1e-4 at least."""
    window = torch.hann_window(n_fft)
    return torch.stft(wave, n_fft, hop, window=window, return_complex=True).abs().clamp(min=1e-4)


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
better, but for the accuracy, and the rise should be the recording's. The spectral distance is the
sum of spectral convergence and log difference, a mean over windows of 512, 1024 and 2048 samples;
`fad[mini]` is to the recordings of the same clips; the accuracy is the recipe's classifier's. The
rise is the time from 10 to 90 % of the envelope at the recordings' {onsets} attacks, a median. The
last column is processor time, of all threads together, one clip at a time.

{lines}
"""


if __name__ == "__main__":
    main()
