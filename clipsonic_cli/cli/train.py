"""``clipsonic train``: a folder of videos into a model of one's own.

The same command in many processes: ``torchrun --nproc-per-node 8 -m clipsonic_cli train ...``, or
by ``accelerate launch``; the first process alone talks.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.table import Table

from clipsonic_cli.cli import options
from clipsonic_cli.cli.console import Bars, Talk, plain
from clipsonic_cli.config import PRESETS, UNET_SIZES
from clipsonic_cli.data import READERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.registry import unknown
from clipsonic_cli.types import Space, Stage

if TYPE_CHECKING:
    from clipsonic_cli.data.report import Survey
    from clipsonic_cli.training.model import Outcome, Voice

STAGES, CONDITIONS = get_args(Stage), get_args(Space)
DROPPABLE = ("clipped", "still")
RUNS = Path("runs")

DATA, WHAT, LOOP, BEYOND = "Data", "What is trained", "How", "Beyond the paper, off unless asked"


def train(
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="PATH",
            help="A folder of videos, nested or not; or a list, shards, an address. No labels are "
            "needed; a video's folder is its label.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"{', '.join(READERS)}. Default: found.",
            autocompletion=lambda: list(READERS),
            rich_help_panel=DATA,
        ),
    ] = None,
    frame_rate: Annotated[
        float,
        typer.Option(
            "--frame-rate",
            metavar="FPS",
            parser=options.number,
            help="Frames a second that CLIP sees.",
            rich_help_panel=DATA,
        ),
    ] = 1.0,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop",
            metavar="FLAW",
            help=f"Drop clips with this flaw too: {', '.join(DROPPABLE)}. Unreadable, silent, "
            "short and duplicate ones always are, and said.",
            rich_help_panel=DATA,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            parser=options.whole,
            help="Processes that decode. Default: one a core.",
            rich_help_panel=DATA,
        ),
    ] = None,
    stage: Annotated[
        str,
        typer.Option(
            "--stage",
            metavar="NAME",
            help="unet: the mel diffusion; prior: text to image vectors, for mode sd; vocoder: "
            "BigVGAN.",
            autocompletion=lambda: list(STAGES),
            rich_help_panel=WHAT,
        ),
    ] = "unet",
    condition: Annotated[
        str,
        typer.Option(
            "--condition",
            metavar="NAME",
            help="clip-image: frames, the paper's idea; clip-text and clap-text: labels, for the "
            "modes clip-tta and clap-tta.",
            autocompletion=lambda: list(CONDITIONS),
            rich_help_panel=WHAT,
        ),
    ] = "clip-image",
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="default: suits data and machine, and says why; paper: its section 3, exactly.",
            autocompletion=lambda: list(PRESETS),
            rich_help_panel=WHAT,
        ),
    ] = "default",
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="NAME",
            help=f"Of the network: {', '.join(UNET_SIZES)}. Default: the preset's.",
            autocompletion=lambda: list(UNET_SIZES),
            rich_help_panel=WHAT,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="NAME",
            help="Model that gives CLIP, prior and what else is not trained; 'published' is "
            "downloaded weights alone. Default: the model itself if it exists, published weights "
            "with a GPU, else mini.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(
            "--warm-start",
            metavar="NAME",
            help="Begin with the weights of a model, such as mini, or with improved-diffusion or "
            "bigvgan-44k. Default: random weights.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Of the model, for generate --model. Default: the data's.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    licence: Annotated[
        str,
        typer.Option(
            "--licence",
            metavar="TEXT",
            help="Of the weights, for the model card.",
            rich_help_panel=WHAT,
        ),
    ] = "not stated",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="The run's folder. Default: runs/NAME.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="DIR",
            help="Go on with the run in a folder, exactly as if it had not stopped.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            parser=options.whole,
            help="Optimizer steps in all.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="M",
            parser=options.number,
            help="End after this much time of training.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            parser=options.whole,
            help="Clips a step, over all processes.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(
            "--micro-batch",
            metavar="N",
            parser=options.whole,
            help="Most clips at once; gradients add up. Default: what fits into a GPU's memory.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            "--lr",
            metavar="RATE",
            parser=options.number,
            help="Learning rate.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="NAME",
            help="float32 or bfloat16; weights stay float32.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    compiled: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Compile the networks first. Default: with a GPU.",
            show_default=False,
            rich_help_panel=LOOP,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            parser=options.whole,
            help="Of everything random, the split too.",
            rich_help_panel=LOOP,
        ),
    ] = 0,
    save_every: Annotated[
        int | None,
        typer.Option(
            "--save-every",
            metavar="N",
            parser=options.whole,
            help="Steps between checkpoints.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    validate_every: Annotated[
        int | None,
        typer.Option(
            "--validate-every",
            metavar="N",
            parser=options.whole,
            help="Steps between looks at held-out clips.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    sample_every: Annotated[
        int | None,
        typer.Option(
            "--sample-every",
            metavar="N",
            parser=options.whole,
            help="Steps between samples, made at a checkpoint; 0 makes none.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt",
            metavar="TEXT|FILE",
            help="Words or a picture to make samples of. Default: some labels and frames.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            "--tracker",
            metavar="NAME",
            help="tensorboard or wandb, besides metrics.jsonl.",
            rich_help_panel=LOOP,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace a part of the model that another run trained.",
            rich_help_panel=LOOP,
        ),
    ] = False,
    window: Annotated[
        int,
        typer.Option(
            "--window",
            metavar="FRAMES",
            parser=options.whole,
            help="Mel frames a U-Net sees at once; 128 are 4 s.",
            rich_help_panel=BEYOND,
        ),
    ] = 64,
    mean_of: Annotated[
        int,
        typer.Option(
            "--mean-of",
            metavar="N",
            parser=options.whole,
            help="Neighbouring frames whose vectors are averaged.",
            rich_help_panel=BEYOND,
        ),
    ] = 1,
    cond_noise: Annotated[
        float,
        typer.Option(
            "--cond-noise",
            metavar="STD",
            parser=options.number,
            help="Noise on the condition, against the gap to texts; CapDec's is 0.126.",
            rich_help_panel=BEYOND,
        ),
    ] = 0.0,
    min_snr: Annotated[
        float | None,
        typer.Option(
            "--min-snr",
            metavar="GAMMA",
            parser=options.number,
            help="Weigh the loss by min-SNR; its paper's is 5.",
            rich_help_panel=BEYOND,
        ),
    ] = None,
    zero_snr: Annotated[
        bool,
        typer.Option(
            "--zero-snr",
            help="v-prediction on a schedule that ends in pure noise.",
            rich_help_panel=BEYOND,
        ),
    ] = False,
    multi_scale: Annotated[
        bool,
        typer.Option(
            "--multi-scale",
            help="The vocoder's mel distance at seven scales, as BigVGAN v2.",
            rich_help_panel=BEYOND,
        ),
    ] = False,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - read by cli.run, which outlives the command
) -> None:
    """Train a model of your own from a folder of videos.

    clipsonic train --data ./music

    clipsonic train --resume runs/music

    torchrun --nproc-per-node 8 -m clipsonic_cli train --data ./music

    Ctrl-C saves first. Prepared clips are kept in CLIPSONIC_HOME and used again.
    """
    first = os.environ.get("RANK", "0") == "0"
    talk = Talk(quiet=quiet or not first, as_json=as_json)
    loop = _given(
        steps=steps,
        batch_size=batch_size,
        micro_batch=micro_batch,
        lr=lr,
        precision=precision,
        compile=compiled,
        save_every=save_every,
        validate_every=validate_every,
    )
    _check(loop, minutes=minutes, frame_rate=frame_rate, workers=workers, window=window)
    for value, kind, known in (
        (stage, "stage", STAGES),
        (condition, "condition", CONDITIONS),
        *((flaw, "flaw to drop", DROPPABLE) for flaw in drop or []),
    ):
        if value not in known:
            raise unknown(kind, value, list(known))
    if (data is None) == (resume is None):
        raise UsageError(
            "Give either --data FOLDER, as in: clipsonic train --data ./music; or --resume RUN."
        )

    from clipsonic_cli.device import choose_device  # imports torch; what is above takes no time
    from clipsonic_cli.modes import query_of
    from clipsonic_cli.training.material import Source
    from clipsonic_cli.training.run import Wish, begin
    from clipsonic_cli.training.run import resume as go_on
    from clipsonic_cli.training.settings import Beyond

    place = choose_device(device or "auto")
    if resume is not None:
        run_dir = resume
    else:
        assert data is not None
        called = name or _name_of(data)
        run_dir = out or RUNS / (called if stage == "unet" else f"{called}-{stage}")
        queries = [query_of(text) for text in prompt or []]
        wish = Wish(
            source=Source(
                data=data,
                format=format,
                seed=seed,
                frame_rate=frame_rate,
                drop=tuple(drop or ()),  # type: ignore[arg-type]
                workers=workers,
            ),
            run_dir=run_dir,
            name=called,
            stage=stage,  # type: ignore[arg-type]
            space=condition,  # type: ignore[arg-type]
            preset=preset,
            size=size,
            base=base,
            warm_start=warm_start,
            train={**loop, "seed": seed},
            beyond=Beyond(
                window=window,
                mean_of=mean_of,
                cond_noise=cond_noise,
                min_snr=min_snr,
                multi_scale=multi_scale,
            ),
            zero_snr=zero_snr,
            prompts=tuple(query.text for query in queries if query.text is not None),
            pictures=tuple(str(query.image) for query in queries if query.image is not None),
            sample_every=sample_every,
            trackers=tuple(tracker or ()),
            licence=licence,
            overwrite=overwrite,
        )
    try:
        with talk.noting_warnings(), talk.bars() as bars:
            voice = _voice(talk, bars)
            if resume is None:
                outcome = begin(wish, device=place, minutes=minutes, voice=voice)
            else:
                outcome = go_on(run_dir, device=place, minutes=minutes, changes=loop, voice=voice)
    except KeyboardInterrupt:
        talk.note(f"to go on: {_how_to_go_on(run_dir)}")
        raise
    finally:
        _leave()
    if outcome is not None:
        _end(talk, outcome)


def _given(**choices: Any) -> dict[str, Any]:
    """Gives the choices a person made, without those left open."""
    return {name: value for name, value in choices.items() if value is not None}


def _check(loop: dict[str, Any], **others: float | None) -> None:
    """Refuses numbers that make no sense.

    Raises:
        UsageError: One does not; names it, and what is allowed.
    """
    whole = ("steps", "batch_size", "micro_batch", "save_every", "validate_every", "window")
    for name, value in {**loop, **others}.items():
        if value is None or isinstance(value, bool | str):
            continue
        least = 0 if name == "workers" else 1 if name in whole else 1e-9
        if not least <= value < 1e12:  # also refuses nan
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is {value:g}; it must be {_least(least)}.")
    if loop.get("precision") not in (None, "float32", "bfloat16"):
        raise unknown("precision", loop["precision"], ["float32", "bfloat16"])


def _least(least: float) -> str:
    return f"at least {least}" if isinstance(least, int) else "above 0"


def _name_of(data: str) -> str:
    """Gives a model's name for a data set: that of its folder, list or shards."""
    last = Path(data.partition("?")[0].rstrip("/")).resolve().name
    name = "".join(c if c.isalnum() else "-" for c in last.partition(".")[0]).strip("-")
    return name or "model"


def _how_to_go_on(run_dir: Path) -> str:
    """Gives the line that goes on with a run; before training has begun it is the same again."""
    from clipsonic_cli.training.settings import FILE

    if (run_dir / FILE).is_file():
        return f"clipsonic train --resume {run_dir}"
    return "the same command again; what was prepared is kept"


def _voice(talk: Talk, bars: Bars) -> "Voice":
    """Lets a run tell where it is."""
    from clipsonic_cli.training.model import Voice

    return Voice(tell=talk.note, show=lambda survey: _show(talk, survey), report=bars)


def _show(talk: Talk, survey: "Survey") -> None:
    """Shows what a data set holds."""
    table = Table(box=None, pad_edge=False, show_header=False)
    labels = ", ".join(f"{label} {count}" for label, count in list(survey.labels.items())[:8])
    more = len(survey.labels) - 8
    rows = {
        "clips": f"{survey.found:,} found, {survey.kept:,} kept, {survey.hours:.2f} hours",
        "splits": ", ".join(f"{split} {count:,}" for split, count in survey.splits.items()),
        "labels": f"{labels}{f' and {more} more' if more > 0 else ''}" or "none; none are needed",
        "flaws": ", ".join(f"{kind} {count:,}" for kind, count in survey.flaws.items() if count)
        or "none",
    }
    for title, text in rows.items():
        table.add_row(title, plain(text))
    talk.console.print(table)
    for finding in survey.flawed[:3]:
        flaw = finding.flaws[0]
        done = "dropped" if finding.dropped else "kept"
        talk.note(f"  {finding.clip.id}: {flaw.kind} ({flaw.reason}), {done}")
    if len(survey.flawed) > 3:
        talk.note(f"  ... and {len(survey.flawed) - 3} more in the run's data.csv")


def _end(talk: Talk, outcome: "Outcome") -> None:
    """Says what came of a training, and how to use it."""
    judged = "" if outcome.best is None else f", held-out loss {outcome.best:.4f}"
    talk.note(
        f"model '{outcome.name}': {outcome.part} after {outcome.step:,} steps "
        f"({outcome.seconds / 60:.1f} minutes){judged}"
    )
    talk.note(f"to hear it: {outcome.command}")
    talk.result(
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


def _leave() -> None:
    """Takes leave of the other processes, or torch warns of it."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
