"""The paper's own numbers, and which scores they stand next to.

Scores with other backbones, reference sets or numbers of sounds do not compare with them. Figure 3
is printed as curves only, so that its numbers are missing.

Source: CLIPSonic tables 1 to 5. Table 1 is at w = 1.5; vectors (table 2) and reconstructions (table
5) have none, and the w of the listening tests (3 and 4) is not stated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clipsonic_cli.evaluation.results import Results, ScoreRow
from clipsonic_cli.modes import WAYS
from clipsonic_cli.types import Score

DATASETS = ("VGGSound", "MUSIC")
RECONSTRUCTION = "reconstruction"
W = 1.5  # the guidance scale that the paper settles on

TITLES: Mapping[str, str] = {
    "iq": "CLIPSonic-IQ (image-queried)",
    "zs": "CLIPSonic-ZS (zero-shot modality transfer)",
    "pd": "CLIPSonic-PD (pretrained diffusion prior)",
    "sd": "CLIPSonic-SD (supervised diffusion prior)",
    "clip-tta": "CLIP-TTA",
    "clap-tta": "CLAP-TTA",
    "reconstruction": "mel spectrogram reconstruction",
    "truth": "Ground truth",
}
"""What the paper calls each system; its reconstruction is always BigVGAN's."""

TABLE_1: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "iq": {"VGGSound": {"fad": 2.97}, "MUSIC": {"fad": 4.71}},
    "zs": {"VGGSound": {"fad": 3.43, "clap": 0.258}, "MUSIC": {"fad": 19.30, "clap": 0.284}},
    "pd": {"VGGSound": {"fad": 3.04, "clap": 0.265}, "MUSIC": {"fad": 13.51, "clap": 0.254}},
    "sd": {"VGGSound": {"fad": 2.37, "clap": 0.234}, "MUSIC": {"fad": 12.13, "clap": 0.299}},
    "clip-tta": {"VGGSound": {"fad": 2.26, "clap": 0.292}, "MUSIC": {"fad": 9.39, "clap": 0.298}},
    "clap-tta": {"VGGSound": {"fad": 2.58, "clap": 0.296}, "MUSIC": {"fad": 10.92, "clap": 0.303}},
    "reconstruction": {
        "VGGSound": {"fad": 0.60, "clap": 0.204},
        "MUSIC": {"fad": 6.21, "clap": 0.272},
    },
}
"""By system, data set and metric, of 512 sounds each; at :data:`W` but for reconstructions."""

TABLE_2: Mapping[str, Mapping[str, float]] = {
    "zs": {"VGGSound": 0.205, "MUSIC": 0.245},
    "pd": {"VGGSound": 0.647, "MUSIC": 0.720},
    "sd": {"VGGSound": 0.711, "MUSIC": 0.824},
}
"""Cosine similarity of the query's vector with that of the true image."""

TABLE_5: Mapping[str, Mapping[str, float]] = {
    "clap-windows-max": {"VGGSound": 0.273, "MUSIC": 0.280},
    "clap-windows-mean": {"VGGSound": 0.195, "MUSIC": 0.234},
    "clap-windows-min": {"VGGSound": 0.111, "MUSIC": 0.185},
    "clap": {"VGGSound": 0.204, "MUSIC": 0.272},
}
"""CLAP scores of reconstructions of 10 s: of windows of 4 s, and of the whole."""


OPINIONS: Mapping[tuple[str, str], Mapping[str, tuple[float, float]]] = {
    # Table 3: sounds from texts.
    ("zs", "VGGSound"): {"fidelity": (2.55, 0.22), "relevance": (2.01, 0.27)},
    ("zs", "MUSIC"): {"fidelity": (2.98, 0.23), "relevance": (3.87, 0.24)},
    ("pd", "VGGSound"): {"fidelity": (3.04, 0.20), "relevance": (2.86, 0.25)},
    ("pd", "MUSIC"): {"fidelity": (3.67, 0.18), "relevance": (3.91, 0.24)},
    ("sd", "VGGSound"): {"fidelity": (2.96, 0.21), "relevance": (3.49, 0.28)},
    ("sd", "MUSIC"): {"fidelity": (3.36, 0.20), "relevance": (4.07, 0.22)},
    ("truth", "VGGSound"): {"fidelity": (3.78, 0.19), "relevance": (3.54, 0.29)},
    ("truth", "MUSIC"): {"fidelity": (3.90, 0.17), "relevance": (4.34, 0.18)},
    # Table 4: sounds from images, trained on VGGSound.
    ("iq", "ImageHear"): {"fidelity": (3.29, 0.16), "relevance": (3.80, 0.19)},
    ("SpecVQGAN", "ImageHear"): {"fidelity": (2.15, 0.17), "relevance": (2.54, 0.23)},
    ("IM2WAV", "ImageHear"): {"fidelity": (2.19, 0.15), "relevance": (3.90, 0.22)},
}
"""Mean opinion scores and half their 95 % intervals, of 21 raters, by system and data set."""
BASELINES = ("SpecVQGAN", "IM2WAV")  # other authors' systems, which only Table 4 has


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRequest:
    """What to evaluate for a table or a figure."""

    metrics: tuple[str, ...]
    modes: tuple[str, ...] | None = None  # None is all that the model has
    guidance: tuple[float, ...] = (W,)
    clip_seconds: float | None = None  # of test clips' own sounds; None is that of sounds made


TABLES: Mapping[int, PaperRequest] = {
    1: PaperRequest(metrics=("fad", "clap")),
    2: PaperRequest(metrics=("similarity", "nearest-frame", "label-rank"), modes=WAYS),
    5: PaperRequest(metrics=("clap-windows", "clap"), modes=(), clip_seconds=10.0),
}
"""Tables of scores by number; 3 and 4 are listening tests."""

FIGURE_3 = PaperRequest(metrics=("fad", "clap"), guidance=(1.0, 1.5, 2.0, 3.0))


def of_model(results: Results) -> bool:
    """Return whether systems are modes of models and reconstructions; else they are folders."""
    return "model" in results.settings


def columns(results: Results) -> dict[str, Callable[[ScoreRow, Score], float | None]]:
    """Return the paper's own numbers as columns of a file with a line for each score."""
    return {
        f"paper_{data.lower()}": lambda row, score, data=data: number_for(  # type: ignore[misc]
            results, row, score.metric, data
        )
        for data in DATASETS
    }


def number_for(results: Results, row: ScoreRow, metric: str, data: str) -> float | None:
    """Return the paper's own number next to a score, if it has one for the metric and w.

    Systems that are not modes of a model have none: a folder may have any name.
    """
    if not of_model(results) or row.guidance not in (None, W):
        return None
    if metric == "similarity":
        return TABLE_2.get(row.role, {}).get(data)
    if row.role == RECONSTRUCTION and metric in TABLE_5:
        return TABLE_5[metric].get(data)
    return TABLE_1.get(row.role, {}).get(data, {}).get(metric)
