"""The part of a model that holds statistics of the frames its U-Net is trained on."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.config import MelSpec
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.preparation.dataset import Prepared
from clipsonic_cli.preparation.statistics import (
    as_bundle,
    embed_bank,
    frame_sums,
    name_sounds,
    summarize,
)
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import SUFFIX
from clipsonic_cli.training import data_setup, publish
from clipsonic_cli.training.command import command_for
from clipsonic_cli.training.export import Outcome, published
from clipsonic_cli.training.request import Resolved, TrainCallbacks, TrainRequest
from clipsonic_cli.training.stage_row import Encoder
from clipsonic_cli.training.stages import STAGES
from clipsonic_cli.training.text_modes import choose_default_mode
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
    bank = embed_bank(clip)
    statistics = summarize(sums, bank, device=clip.device)
    labels = [clips.catalogue.labels[number] for number in clips.clips]
    meta = meta | name_sounds(statistics, clip, labels, bank)
    bundle.write(folder / f"{PART}{SUFFIX}", as_bundle(statistics, clip, meta))
    config = statistics.config
    on_message(
        f"statistics of {config.count:,} frames and {config.texts} texts, for the modes ms, ra and "
        f"rt ({time.monotonic() - started:.0f} s)"
    )


def only_statistics(
    request: TrainRequest,
    resolved: Resolved,
    data: data_setup.PreparedData,
    encoder: Encoder | None,
    callbacks: TrainCallbacks,
) -> Outcome:
    """Add the statistics of the frames to a model; the run's folder can be made again."""
    assert isinstance(encoder, ClipModel)  # as the part requires
    folder, name, part = request.run_dir / "model", request.name, request.part.name
    publish.take_over(resolved.base, folder, part)
    frames = STAGES[request.stage].least_frames(request.extensions.window, MelSpec())
    clips = Prepared(data.catalogue, data.catalogue.numbers("train", mel_frames=frames))
    started = time.monotonic()
    write_statistics(
        folder,
        clips,
        encoder,
        seed=request.source.seed,
        meta={
            "data": data_setup.name_of(request.source.data),
            "licence": request.licence or "not stated",
            "run": part,
        },
        on_message=callbacks.on_message,
        report=callbacks.on_progress,
    )
    model = published(folder, name, part, callbacks)
    choose_default_mode(
        model,
        clips,
        None,
        encoder.device,
        on_message=callbacks.on_message,
        report=callbacks.on_progress,
    )
    prompts, image = data_setup.prompts_of(data, request.space), None
    if not prompts:
        queries = request.run_dir / "samples" / "queries"
        images = data_setup.save_frames(data, queries, on_message=callbacks.on_message)
        image = str(images[0]) if images else None
    return Outcome(
        name=name,
        path=model.path,
        run_dir=request.run_dir,
        part=part,
        step=0,
        seconds=time.monotonic() - started,
        losses={},
        best=None,
        command=command_for(model, part, prompts, image),
    )
