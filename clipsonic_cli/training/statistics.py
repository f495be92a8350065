"""The part of a model that holds statistics of the frames its U-Net is trained on."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.preparation.dataset import Prepared
from clipsonic_cli.preparation.statistics import as_bundle, embed_bank, frame_sums, summarize
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import SUFFIX
from clipsonic_cli.types import Report, silent

PART = "statistics"


def write_statistics(
    folder: Path,
    clips: Prepared,
    clip: ClipModel,
    *,
    seed: int,
    meta: dict[str, Any],
    on_message: Callable[[str], None] = lambda _line: None,
    report: Report = silent,
) -> None:
    """Gather the statistics of clips' frames and write them into a model's folder."""
    started = time.monotonic()
    sums = frame_sums(clips, torch.Generator().manual_seed(seed), report)
    statistics = summarize(sums, embed_bank(clip), device=clip.device)
    bundle.write(folder / f"{PART}{SUFFIX}", as_bundle(statistics, clip, meta))
    config = statistics.config
    on_message(
        f"statistics of {config.count:,} frames and {config.texts} texts, for the modes ms, ra and "
        f"rt ({time.monotonic() - started:.0f} s)"
    )
