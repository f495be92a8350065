"""``clipsonic train``: from a folder of videos to a model.

The same command in many processes: ``torchrun --nproc-per-node 8 -m clipsonic_cli train ...``, or
by ``accelerate launch``; only the first process prints.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.table import Table

from clipsonic_cli import ranges, types
from clipsonic_cli.cli import options, signals
from clipsonic_cli.cli.console import Bars, Console
from clipsonic_cli.cli.train import options as train_options
from clipsonic_cli.cli.train.dry_run import tally
from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.text import counted, printable

if TYPE_CHECKING:
    import torch

    from clipsonic_cli.data.report import Survey
    from clipsonic_cli.training.export import Outcome
    from clipsonic_cli.training.request import TrainCallbacks, TrainRequest

CHANGEABLE = {
    *("resume", "steps", "minutes", "batch_size", "micro_batch", "lr", "precision", "compiled"),
    *("save_every", "validate_every", "sample_every", "trackers", "overwrite"),
    *("device", "as_json", "quiet", "debug"),
}
"""Options that ``--resume`` takes; all others are decided when a run begins."""
GATHERING = {
    *("data", "data_format", "frame_rate", "drop", "workers", "test_share", "valid_share"),
    *("stage", "base", "name", "licence"),
    *("output", "seed", "window", "overwrite", "device", "as_json", "quiet", "debug"),
}
"""Options that ``--stage statistics`` takes: nothing is trained."""


def train(
    ctx: typer.Context,
    data: Annotated[str | None, train_options.DATA] = None,
    data_format: Annotated[str | None, options.DATA_FORMAT] = None,
    frame_rate: Annotated[float, train_options.FRAME_RATE] = 1.0,
    drop: Annotated[list[Any] | None, train_options.DROP] = None,
    workers: Annotated[int | None, options.WORKERS] = None,
    test_share: Annotated[float | None, train_options.TEST_SHARE] = None,
    valid_share: Annotated[float | None, train_options.VALID_SHARE] = None,
    stage: Annotated[str, train_options.STAGE] = "unet",
    condition: Annotated[types.Space, train_options.CONDITION] = "clip-image",
    preset: Annotated[str, train_options.PRESET] = "default",
    size: Annotated[str | None, train_options.SIZE] = None,
    vocoder: Annotated[str | None, train_options.VOCODER] = None,
    calls: Annotated[int | None, train_options.CALLS] = None,
    base: Annotated[str | None, train_options.BASE] = None,
    warm_start: Annotated[str | None, train_options.WARM_START] = None,
    name: Annotated[str | None, train_options.NAME] = None,
    licence: Annotated[str | None, train_options.LICENCE] = None,
    output: Annotated[Path | None, train_options.OUTPUT] = None,
    resume: Annotated[Path | None, train_options.RESUME] = None,
    steps: Annotated[int | None, train_options.STEPS] = None,
    minutes: Annotated[float | None, train_options.MINUTES] = None,
    text_share: Annotated[float | None, train_options.TEXT_SHARE] = None,
    batch_size: Annotated[int | None, train_options.BATCH_SIZE] = None,
    micro_batch: Annotated[int | None, train_options.MICRO_BATCH] = None,
    lr: Annotated[float | None, train_options.LR] = None,
    precision: Annotated[str | None, train_options.PRECISION] = None,
    seed: Annotated[int, train_options.SEED] = 0,
    save_every: Annotated[int | None, train_options.SAVE_EVERY] = None,
    validate_every: Annotated[int | None, train_options.VALIDATE_EVERY] = None,
    sample_every: Annotated[int | None, train_options.SAMPLE_EVERY] = None,
    prompts: Annotated[list[str] | None, train_options.PROMPTS] = None,
    trackers: Annotated[list[str] | None, train_options.TRACKERS] = None,
    overwrite: Annotated[bool, train_options.OVERWRITE] = False,
    dry_run: Annotated[bool, train_options.DRY_RUN] = False,
    window: Annotated[int, train_options.WINDOW] = 64,
    mean_of: Annotated[int, train_options.MEAN_OF] = 1,
    crops: Annotated[int, train_options.CROPS] = 0,
    cond_cosine: Annotated[float, train_options.COND_COSINE] = 1.0,
    min_snr: Annotated[float | None, train_options.MIN_SNR] = None,
    zero_snr: Annotated[bool, train_options.ZERO_SNR] = False,
    multi_scale: Annotated[bool, train_options.MULTI_SCALE] = False,
    critics_from: Annotated[int | None, train_options.CRITICS_FROM] = None,
    device: Annotated[str | None, options.DEVICE] = None,
    compiled: Annotated[bool | None, train_options.COMPILED] = None,
    as_json: Annotated[bool, options.JSON] = False,
    quiet: Annotated[bool, options.QUIET] = False,
    debug: Annotated[bool, options.DEBUG] = False,  # noqa: ARG001 - cli.run reads it
) -> None:
    """Train a model of your own from a folder of videos.

    clipsonic train --data ./music
    clipsonic train --resume runs/music
    torchrun --nproc-per-node 8 -m clipsonic_cli train --data ./music

    Ctrl-C saves first. Prepared clips are kept in CLIPSONIC_HOME and used again.
    """
    quiet = quiet or os.environ.get("RANK", "0") != "0"  # of many processes the first prints
    console = Console(quiet=quiet, as_json=as_json, options=options.spellings(ctx.command))
    # Check options.
    loop = options.not_none(
        steps=steps,
        batch_size=batch_size,
        micro_batch=micro_batch,
        lr=lr,
        precision=precision,
        compile=compiled,
        save_every=save_every,
        validate_every=validate_every,
    )
    ranges.check_all(
        ranges.TRAIN | ranges.RUN | ranges.SPLITS, options.not_none(**ctx.params), "`{}`"
    )
    if (data is None) == (resume is None):
        raise UsageError(
            "Give either --data FOLDER, as in: clipsonic train --data ./music; or --resume RUN."
        )
    gathering = stage == train_options.STATISTICS
    _check_meaning(options.on_command_line(ctx), resumes=resume is not None, gathers=gathering)

    from clipsonic_cli.device import choose_device  # imports torch; what is above takes no time
    from clipsonic_cli.modes import query_of
    from clipsonic_cli.training import run
    from clipsonic_cli.training.data_setup import name_of
    from clipsonic_cli.training.request import Source, TrainRequest
    from clipsonic_cli.training.run_config import Extensions

    # Build the request.
    place = choose_device(device or "auto")
    if data is not None:
        queries = [query_of(text) for text in prompts or []]
        request = TrainRequest(
            source=Source(
                data=data,
                format=data_format,
                seed=seed,
                test_share=test_share,
                valid_share=valid_share,
                frame_rate=frame_rate,
                drop=tuple(drop or ()),
                workers=workers,
            ),
            out=output,
            name=name or name_of(data),
            stage="unet" if gathering else cast(types.Stage, stage),
            only_statistics=gathering,
            space=condition,
            preset=preset,
            size=size,
            vocoder=vocoder,
            calls=calls,
            base=base,
            warm_start=warm_start,
            train={**loop, "seed": seed},
            extensions=Extensions(
                window=window,
                mean_of=mean_of,
                crops=crops,
                cond_cosine=cond_cosine,
                min_snr=min_snr,
                zero_snr=zero_snr,
                multi_scale=multi_scale,
                critics_from=critics_from,
            ),
            prompts=tuple(query.text for query in queries if query.text is not None),
            images=tuple(str(query.image) for query in queries if query.image is not None),
            sample_every=sample_every,
            trackers=tuple(trackers or ()),
            licence=licence,
            overwrite=overwrite,
            text_share=text_share,
        )
    more = options.not_none(sample_every=sample_every, trackers=tuple(trackers or ()) or None)
    run_dir = resume or request.run_dir
    if dry_run:
        _dry_run(console, request, place, minutes)
        return
    left = {"minutes": minutes}
    # Train.
    try:
        with console.noting_warnings(), console.bars() as bars:
            callbacks = _callbacks(console, bars, left)
            if resume is None:
                outcome = run.begin(request, device=place, minutes=minutes, callbacks=callbacks)
            else:
                outcome = run.resume(
                    resume,
                    device=place,
                    minutes=minutes,
                    train_changes=loop,
                    changes=more,
                    overwrite=overwrite,
                    callbacks=callbacks,
                )
    except KeyboardInterrupt:
        console.note(f"to go on: {_resuming(run_dir, overwrite, left['minutes'])}")
        raise
    finally:
        import torch.distributed

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # torch warns otherwise
    if outcome is not None:
        _print_outcome(console, outcome)


def _check_meaning(given: set[str], *, resumes: bool, gathers: bool) -> None:
    """Check that no option is given that has no effect on a run that goes on or trains nothing."""
    if resumes and "dry_run" in given:
        raise UsageError("--dry-run is for a run that is to begin. Give it with --data.")
    if resumes and (fixed := sorted(given - CHANGEABLE)):
        raise UsageError(
            f"`{fixed[0]}` was decided when the run began, and --resume goes on with it. Leave out "
            f"`{fixed[0]}`, or begin another run with --data."
        )
    if gathers and (idle := sorted(given - GATHERING)):
        raise UsageError(
            f"`{idle[0]}` has no meaning for --stage {train_options.STATISTICS}, which trains "
            "nothing. Leave it out."
        )


def _dry_run(
    console: Console, request: "TrainRequest", device: "torch.device", minutes: float | None
) -> None:
    """Print what a training would do; raise MissingWeights if something is missing for it."""
    from clipsonic_cli.cli.train import dry_run
    from clipsonic_cli.training.dry_run import dry_run as try_out

    with console.noting_warnings(), console.bars() as bars:
        callbacks = _callbacks(console, bars, {})
        result = try_out(request, device=device, minutes=minutes, callbacks=callbacks)
    dry_run.show(console, result, minutes)
    if result.missing is not None:
        raise MissingWeights("This training needs weights that are not here: see 'missing' above.")
    console.note("nothing was trained, and nothing is kept")


def _resuming(run_dir: Path, overwrite: bool, minutes: float | None) -> str:
    """Format the command that resumes a run, for people."""
    from clipsonic_cli.store.model_folders import RUN_FILE
    from clipsonic_cli.training.request import resume_command

    if not (run_dir / RUN_FILE).is_file():
        return "the same command again; what was prepared is kept"
    more = " --overwrite" if overwrite else ""
    if minutes is not None:
        more += f" --minutes {max(minutes, 0.1):.1f}"
    return resume_command(run_dir) + more


def _callbacks(console: Console, bars: Bars, left: dict[str, float | None]) -> "TrainCallbacks":
    """Build the callbacks of a run, which print what it reports and keep the "minutes" left."""
    from clipsonic_cli.trainer.progress import StepStatus
    from clipsonic_cli.training.request import TrainCallbacks

    def report(stage: str, done: int, total: int) -> None:
        signals.check_interrupted()
        bars(stage, done, total)

    def on_step(status: StepStatus) -> None:
        signals.check_interrupted()
        left["minutes"] = status.minutes_left
        loss = "" if status.loss is None else f"loss {status.loss:.4f}, "
        note = f"{loss}{status.clips_per_second:.3g} clips/s"
        bars("train", status.step, status.steps, note=note, left=status.seconds_left)

    return TrainCallbacks(
        on_message=console.note,
        on_survey=lambda survey: _print_survey(console, survey),
        on_progress=report,
        on_step=on_step,
    )


def _print_survey(console: Console, survey: "Survey") -> None:
    """Print what a data set holds."""
    table = Table(box=None, pad_edge=False, show_header=False)
    rows = {
        "clips": f"{survey.found:,} found, {survey.kept:,} kept, {survey.hours:.2f} hours",
        "splits": tally(survey.splits),
        "labels": tally(survey.labels) or "none; none are needed",
        "flaws": tally({kind: n for kind, n in survey.flaws.items() if n}) or "none",
    }
    for title, text in rows.items():
        table.add_row(title, printable(text))
    console.console.print(table)
    for finding in survey.flawed[:3]:
        flaw = finding.flaws[0]
        done = "dropped" if finding.dropped else "kept"
        console.note(f"  {finding.clip.id}: {flaw.kind} ({flaw.reason}), {done}")
    if len(survey.flawed) > 3:
        console.note(f"  ... and {len(survey.flawed) - 3} more in the run's data.csv")


def _print_outcome(console: Console, outcome: "Outcome") -> None:
    """Print what a training made, and how to use it."""
    loss = "" if outcome.best is None else f", held-out loss {outcome.best:.4f}"
    console.note(
        f"model '{outcome.name}': {outcome.part}"
        + (f" after {counted(outcome.step, 'step')}" if outcome.step else "")
        + f" ({counted(round(outcome.seconds / 60, 1), 'minute')}){loss}"
    )
    console.note(f"to hear it: {outcome.command or 'train its U-Net, which it lacks'}")
    console.result(
        str(outcome.path),
        {
            "model": outcome.name,
            "path": str(outcome.path),
            "run": str(outcome.run_dir),
            "part": outcome.part,
            "steps": outcome.step,
            "seconds": round(outcome.seconds, 1),
            "losses": dict(outcome.losses),
            "held_out_loss": outcome.best,
            "command": outcome.command,
        },
    )
