"""Compares vocoders on the embedded model's held-out clips, and the sharpness of their attacks.

    python recipes/mini/vocoders.py --out runs/mini

Needs the sounds of step 1, and at least one trained vocoder: ``OUT/model/bigvgan.safetensors``,
``vocos`` or ``vocos-critics``, each of the last two whole, which is Griffin-Lim from its amplitude,
and otherwise: its spectra as they are, and Griffin-Lim from its phase. The best by the geometric
mean of all losses becomes the model's default, and is written to ``OUT/model/vocoder.safetensors``.
Prints and writes ``results/vocoders.md``.
"""

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.audio.spectral_distance import spectral_distance
from clipsonic_cli.config import TRAINED_VOCODERS, VocoderConfig, VocosConfig
from clipsonic_cli.metrics.frechet import Gaussian, Moments, frechet_distance
from clipsonic_cli.metrics.mini import MiniBackbone
from clipsonic_cli.models.vocoders import build_vocoder
from clipsonic_cli.models.vocos import FIT_STEPS, Vocos
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import SUFFIX

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    *("vocoder", "log-mel L1", "spectral distance", "fad[mini]", "accuracy"),
    *("rise, ms", "rise / recording's", "in tune", "CPU s for a second"),
)
PLACES = (3, 3, 3, 3, 0, 2, 2, 4)
"""Digits after the point, in the order of :class:`Scores`."""

Vocode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Candidate:
    """A way to make waveforms of mels."""

    vocode: Vocode
    kind: str = ""
    """A name of ``models.VOCODERS``; "" for half of one, which cannot be a default."""
    part: str = ""
    """Stem of the file of its weights, if it has any."""


@dataclass(frozen=True)
class Scores:
    """What is measured of a vocoder; None where a recording has none."""

    log_mel_l1: float | None
    spectral_distance: float | None
    fad: float | None
    accuracy: float
    rise_ms: float
    rise_ratio: float
    in_tune: float | None
    cpu_s: float | None


LOSSES: dict[str, Callable[[float], float]] = {
    "log_mel_l1": float,
    "spectral_distance": float,
    "fad": float,
    "accuracy": lambda share: 1 - share,
    "rise_ratio": lambda ratio: abs(math.log(ratio)),
    "in_tune": lambda share: 1 - share,
}
"""Scores by which a default is chosen, each as a loss: 0 is perfect."""
LEAST_LOSS = 1e-3
"""Below it losses are alike."""


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

    def scores(vocode: Vocode | None) -> Scores:
        made, seconds = (waves, None) if vocode is None else remake(vocode, waves)
        mels = torch.cat([classifier.mel_of(wave[None], SPEC) for wave in made])
        named = classifier.predict(judge, mels)
        own, ratio = rises(made, waves, places)
        apart = [spectral_distance(a, b) for a, b in zip(made, waves, strict=True)]
        remade = vocode is not None
        return Scores(
            log_mel_l1=log_mel_l1(made, waves) if remade else None,
            spectral_distance=mean(apart) if remade else None,
            fad=frechet_distance(gaussian(made, backbone), reference) if remade else None,
            accuracy=float((named == wanted).float().mean()),
            rise_ms=own,
            rise_ratio=ratio,
            in_tune=None if vocode is None else tuning(vocode, SPEC),
            cpu_s=seconds,
        )

    candidates = vocoders(args.out)
    table = {"recording": scores(None)}
    for name, candidate in candidates.items():
        table[name] = scores(candidate.vocode)
        print(name, *cells(table[name]), sep="  ", file=sys.stderr, flush=True)
    text = page(table, clips=len(test), onsets=sum(map(len, places)))
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "vocoders.md").write_text(text, encoding="utf-8")
    part, meta = choose(candidates, table)
    write_default(args.out / "model", part, meta)
    print(text, f"{part}: {meta}", sep="\n")


def choose(
    candidates: Mapping[str, Candidate], table: Mapping[str, Scores]
) -> tuple[str, dict[str, object]]:
    """Return which trained part is shipped, and its meta: the model's default, and all scores.

    Both are the best by :func:`ranked`; Griffin-Lim is a default without a part.
    """
    order = ranked([name for name, way in candidates.items() if way.kind], table)
    part = next(candidates[name].part for name in order if candidates[name].part)
    scores = {candidates[name].kind: rounded(table[name]) for name in reversed(order)}
    return part, {"default_vocoder": candidates[order[0]].kind, "scores": scores}


def write_default(model: Path, part: str, meta: Mapping[str, object]) -> None:
    """Write a trained vocoder as that of the model, with more meta."""
    chosen = bundle.load(model / f"{part}{SUFFIX}", kind="vocoder")
    header = replace(chosen.header, meta={**chosen.header.meta, **meta})
    bundle.write(model / f"vocoder{SUFFIX}", replace(chosen, header=header))


def ranked(names: list[str], table: Mapping[str, Scores]) -> list[str]:
    """Sort names by the geometric mean of their :data:`LOSSES`, the least first."""

    def mean_log(name: str) -> float:
        scores = table[name]
        losses = [loss(getattr(scores, column)) for column, loss in LOSSES.items()]
        return mean([math.log(max(loss, LEAST_LOSS)) for loss in losses])

    return sorted(names, key=mean_log)


def rounded(scores: Scores) -> dict[str, float]:
    """Return the scores that a default is chosen by, and the time, in four digits."""
    return {name: round(getattr(scores, name), 4) for name in (*LOSSES, "cpu_s")}


def cells(scores: Scores) -> list[str]:
    """Format scores."""
    values = dataclasses.astuple(scores)
    return [
        "-" if value is None else f"{value:.{places}f}"
        for value, places in zip(values, PLACES, strict=True)
    ]


def spread(clips: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return up to ``count`` clips, evenly spaced in a list that is sorted by label."""
    count = min(count, len(clips))
    return [clips[i * len(clips) // count] for i in range(count)]


def vocoders(out: Path) -> dict[str, Candidate]:
    """Load what is trained, by name, after Griffin-Lim."""
    found = {"griffin-lim": Candidate(build_vocoder("griffin-lim", SPEC), "griffin-lim")}
    for stem in ("bigvgan", "vocos", "vocos-critics"):
        path = out / "model" / f"{stem}{SUFFIX}"
        if not path.is_file():
            print(f"{path} is missing: train.py {stem} makes it", file=sys.stderr)
            continue
        part = bundle.load(path, kind="vocoder")
        config = cast(VocoderConfig | VocosConfig, part.header.config)
        kind = TRAINED_VOCODERS[type(config)]
        vocode = build_vocoder(kind, SPEC, config, part.weights)
        steps = part.header.meta.get("steps", "?")
        found[f"{stem}, {steps} steps"] = Candidate(vocode, kind, stem)
        if kind == "vocos":
            parts = halves(stem, cast(Any, vocode).vocoder)
            found |= {half: Candidate(way) for half, way in parts.items()}
    if len(found) == 1:
        sys.exit(f"{out / 'model'} has no trained vocoder: run train.py vocos first.")
    return found


def halves(name: str, vocos: Vocos) -> dict[str, Vocode]:
    """Return what shows the shares of amplitude, phase and rounds in what a Vocos makes."""
    rounds = vocos.griffin_lim

    def from_phase(mel: Tensor) -> Tensor:
        return rounds.estimate(rounds.magnitude(mel.squeeze(1).exp()), vocos.spectra(mel)[1])

    def from_both(mel: Tensor) -> Tensor:
        log_amplitude, phase = vocos.spectra(mel)
        amplitude = rounds.fit(log_amplitude.exp(), mel.squeeze(1).exp(), FIT_STEPS)
        return rounds.estimate(amplitude, phase)

    return {
        f"{name}'s spectra alone": lambda mel: vocos.waveform(*vocos.spectra(mel)),
        f"griffin-lim from {name}'s phase": from_phase,
        f"griffin-lim from {name}'s amplitude and phase": from_both,
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


def page(table: Mapping[str, Scores], *, clips: int, onsets: int) -> str:
    """Format the table and what its columns are."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [(name, *cells(scores)) for name, scores in table.items()]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
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
