"""Table 2 of the embedded model for every way from text, by its held-out pictures.

    python recipes/mini/ways.py --out runs/mini

Needs the features of step 2 and all parts of the model (``frame_statistics.py`` for ms, ra and rt,
``train.py bridge`` for db).
Writes ``results/ways.md``. Minutes on two cores.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from features import Features, read_features
from frame_statistics import training_vectors
from steps import need
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.metrics.intervals import of_mean
from clipsonic_cli.metrics.label_rank import ranks
from clipsonic_cli.metrics.nearest_frame import nearest
from clipsonic_cli.modes import MODES
from clipsonic_cli.parts import Parts
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.training.text_modes import Comparison, compare, text_modes
from clipsonic_cli.types import Query

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    *("way", "cosine with the true picture", "centred", "the same without labels", "centred"),
    *("cosine with the nearest training picture", "rank of the true label", "ms a prompt"),
)


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description="Table 2 of the embedded model, every way.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    out: Path = parser.parse_args().out
    features = read_features(need(out, "features.pt", "clip.py"))
    parts = Parts(ModelFolder(out / "model"), torch.device("cpu"), torch.float32)
    held_out = features.picture_is_test
    pictures = normalize(features.picture_embeds[held_out][:, 0].float(), dim=1)
    shown = [features.labels[number] for number in features.picture_labels[held_out].tolist()]
    training = training_vectors(features)
    views = normalize(features.picture_embeds[held_out].flatten(0, 1).float(), dim=1)
    unlabelled = compare(parts, views, [None] * len(views))
    assert unlabelled is not None  # the model has statistics
    labels = sorted(set(shown))
    prompts = [f"a photo of {label}" for label in labels]
    rows = []
    for mode in text_modes(parts):
        made, seconds = embed(parts, mode, prompts)
        rows.append(row(mode, made, seconds, pictures, shown, features, unlabelled))
    near = nearest(pictures, training).mean()
    rank = ranks_of(pictures, shown, features).mean()
    rows.append(("iq", "1", "1", "-", "-", f"{near:.3f}", f"{rank:.1f}", "-"))
    table = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    text = f"""# Ways from text to mini's U-Net

By `recipes/mini/ways.py`: the prompts "a photo of LABEL" of {len(labels)} labels against their
{len(pictures)} held-out pictures. Cosines are Table 2's, means over labels, with 95 % intervals;
"centred" those of both from the mean training picture. "Without labels" is how `clipsonic train`
compares the ways: of {len(views)} views of these pictures, each with the noun of a bank that CLIP
finds most like it. The rank is among {len(features.labels)} labels, by their nearest training
picture; `iq` are the held-out pictures themselves.

{chr(10).join(lines)}
"""
    (RESULTS / "ways.md").write_text(text, encoding="utf-8")
    print(text)


def embed(parts: Parts, mode: str, prompts: Sequence[str]) -> tuple[Tensor, float]:
    """Return the vectors (M, D) of a mode, one prompt at a time, and the median seconds of one."""
    encode = parts.encoder(MODES[mode], candidates=2)
    rows, times = [], []
    for number, prompt in enumerate(prompts):
        started = time.perf_counter()
        rows.append(encode([Query(text=prompt)], noise=SeededNoise([number])).embed)
        times.append(time.perf_counter() - started)
    return torch.cat(rows), sorted(times)[len(times) // 2]


def row(
    mode: str,
    made: Tensor,
    seconds: float,
    pictures: Tensor,
    shown: Sequence[str],
    features: Features,
    unlabelled: Comparison,
) -> tuple[str, ...]:
    """Return the cells of a way."""
    labels = sorted(set(shown))
    of = torch.tensor([labels.index(label) for label in shown])
    cosines = (made[of] * pictures).sum(1)
    by_label = torch.stack([cosines[of == number].mean() for number in range(len(labels))])
    low, high = of_mean(by_label, generator=torch.Generator().manual_seed(0)) or (0.0, 0.0)
    near = nearest(made, training_vectors(features)).mean()
    fit, apart = unlabelled.fits[mode], unlabelled.apart[mode]
    mean = training_vectors(features).mean(0)
    centred = cosine_similarity(made[of] - mean, pictures - mean).mean()
    rank = ranks_of(made, labels, features).mean()
    cosine = f"{by_label.mean():.3f} ({low:.3f} to {high:.3f})"
    numbers = (f"{value:.3f}" for value in (centred, fit, apart, near))
    return mode, cosine, *numbers, f"{rank:.1f}", f"{1000 * seconds:.1f}"


def ranks_of(vectors: Tensor, labels: Sequence[str], features: Features) -> Tensor:
    """Return the rank of each vector's label (N,), by the nearest training vector of each."""
    views = features.picture_embeds.shape[1]
    train = ~features.picture_is_test
    numbers = features.picture_labels[train].repeat_interleave(views)
    of = torch.cat([numbers, features.class_labels])
    cosines = vectors @ training_vectors(features).T
    best = torch.stack(
        [cosines[:, of == label].amax(1) for label in range(len(features.labels))], dim=1
    )
    own = torch.tensor([features.labels.index(label) for label in labels])
    return ranks(best, own)


if __name__ == "__main__":
    main()
