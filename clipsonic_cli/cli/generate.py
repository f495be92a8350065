"""``clipsonic generate``: words or pictures into sound files.

Everything a person can get wrong is checked before any weights are read, and nothing is written
until then.
"""

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipsonic_cli.cli import inputs, options, outputs, plan
from clipsonic_cli.cli.console import Talk
from clipsonic_cli.config import VOCODERS
from clipsonic_cli.diffusion import SAMPLERS
from clipsonic_cli.errors import UsageError

if TYPE_CHECKING:
    from clipsonic_cli.pipeline import ClipSonic

ENGINE = ("model", "device", "dtype")
"""Fields of a recipe that hold for a whole run."""

MAX_VARIATIONS = 10_000


def generate(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROMPT",
            help='Words, such as "a photo of violin"; "-" reads one a line from standard input.',
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            "--image",
            "-i",
            metavar="FILE",
            help="A picture instead of words; several may follow.",
            rich_help_panel=options.QUERY,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Many at once: txt with a prompt a line; csv or jsonl with text or image, and "
            f"{', '.join(inputs.COLUMNS)} to replace the options. '-' is standard input.",
            rich_help_panel=options.QUERY,
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            metavar="FILE",
            help="Make a sound again by the recipe in its file, and in its format; options replace "
            "its choices.",
            rich_help_panel=options.QUERY,
        ),
    ] = None,
    negative: Annotated[
        str | None,
        typer.Option(
            "--negative",
            metavar="TEXT|FILE",
            help="Words or a picture to steer away from.",
            rich_help_panel=options.QUERY,
        ),
    ] = None,
    mode: options.Mode = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            "--guidance",
            "-w",
            metavar="W",
            parser=options.number,
            help="The paper's w: 0 ignores the query, 1 follows it, more insists. Default: 1.5.",
            rich_help_panel=options.HOW,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="NAME", help=options.PRESET_HELP, rich_help_panel=options.HOW
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            "--sampler",
            metavar="NAME",
            help=f"{', '.join(SAMPLERS)}. Default: dpmpp.",
            autocompletion=lambda: list(SAMPLERS),
            rich_help_panel=options.HOW,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            parser=options.whole,
            help=options.STEPS_HELP,
            rich_help_panel=options.HOW,
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            "-s",
            metavar="S",
            parser=options.number,
            help="Any length, exact to the sample. Default: 4.",
            rich_help_panel=options.HOW,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            parser=options.whole,
            help="Same seed, same sound. Default: drawn, and shown.",
            rich_help_panel=options.HOW,
        ),
    ] = None,
    variations: Annotated[
        int,
        typer.Option(
            "--variations",
            "-n",
            metavar="N",
            parser=options.whole,
            help="Sounds of each query; their seeds count up.",
            rich_help_panel=options.HOW,
        ),
    ] = 1,
    vocoder: Annotated[
        str | None,
        typer.Option(
            "--vocoder",
            metavar="NAME",
            help=f"{', '.join(VOCODERS)}. Default: what scored better when the model was made.",
            rich_help_panel=options.HOW,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file, a folder, or a file's name with "
            f"{', '.join(f'{{{name}}}' for name in outputs.FIELDS)} or a column of --file. "
            f"Default: {outputs.DEFAULT_NAME} here.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    suffix: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"{', '.join(outputs.FORMATS)}, where -o does not say.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option(
            "--bits",
            metavar="BITS",
            help="16, 24 or float (float for wav only, none for ogg). Default: 16.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace files that exist.", rich_help_panel=options.OUTPUT
        ),
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave files that exist, make the rest.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - read by cli.run, which outlives the command
) -> None:
    """Make sound from words or pictures.

    clipsonic generate "a photo of violin"

    clipsonic generate --image cat.jpg dog.jpg -n 3 -o sounds/
    """
    talk = Talk(quiet=quiet, as_json=as_json)
    if overwrite and skip_existing:
        raise UsageError("Both --overwrite and --skip-existing are given; use one of them.")
    if not 1 <= variations <= MAX_VARIATIONS:
        raise UsageError(f"Variations are {variations}; they must be from 1 to {MAX_VARIATIONS}.")
    choices = options.given(
        mode=mode,
        guidance_scale=guidance,
        sampler=sampler,
        steps=steps,
        seconds=seconds,
        seed=seed,
        vocoder=vocoder,
    )
    if negative is not None:
        choices |= inputs.negative_fields(negative)
    requests = inputs.requests(prompts or [], image or [], file, sys.stdin)
    original, name, depth = None, outputs.DEFAULT_NAME, None
    if like is not None:
        from clipsonic_cli.pipeline import read_recipe

        original = read_recipe(like)
        kept = [] if requests else ["image_sha256"]
        kept += [] if negative is not None else ["negative_image_sha256"]
        name, depth = outputs.like(like, again=not requests)
        requests = requests or [inputs.Request(query=original.query)]
    if not requests:
        raise UsageError(
            "Nothing to sound. Give words, as in: clipsonic generate 'a photo of violin'; "
            "or --image, --file or --like."
        )
    recipes = plan.recipes(requests, original, preset, choices, variations)
    jobs = plan.jobs(recipes, requests, variations, output, suffix, name)
    used = outputs.fields_of(output or "")
    if unused := sorted({name for r in requests for name in r.columns} - used):
        talk.note(f"columns not used: {', '.join(unused)}")
    engine = options.given(model=model, device=device, dtype=dtype)
    if original is not None:
        engine = {name: getattr(original, name) for name in ENGINE} | engine
    if name.endswith(jobs[0].path.suffix):  # the bits of --like are those of its format
        bits = bits or depth
    subtype = None if bits is None else outputs.subtype(bits)
    if skip_existing:
        absent = [job for job in jobs if not job.path.exists()]
        talk.note(f"{len(jobs) - len(absent)} of {len(jobs)} sounds exist and are kept")
        jobs = absent
    outputs.check([job.path for job in jobs], subtype, overwrite=overwrite)
    if not jobs:
        return

    from clipsonic_cli.pipeline import ClipSonic  # imports torch; what is above takes no time

    sonic = ClipSonic.load(**engine)
    jobs = [dataclasses.replace(job, recipe=sonic.check(job.recipe)) for job in jobs]
    if original is not None:
        plan.check_same(original, jobs[0].recipe, kept)
        if model is None and original.model_id != sonic.parts.identity(sonic.needs(original)):
            raise UsageError(
                f"The weights of model '{original.model}' are not those that '{like}' was "
                f"made with. Give --model {original.model} to use them anyway."
            )
    with talk.noting_warnings():
        _make(sonic, jobs, subtype, talk, overwrite=overwrite)


def _make(
    sonic: "ClipSonic",
    jobs: Sequence[plan.Job],
    subtype: str | None,
    talk: Talk,
    *,
    overwrite: bool,
) -> None:
    """Makes and writes sounds one after another, and says what a person wants to know."""
    run = jobs[0].recipe
    why = sonic.vocoder_reason
    if run.vocoder != sonic.vocoder:
        why = f"asked for; {sonic.vocoder} is {why}"
    talk.note(
        f"device {run.device} ({run.dtype}), model {run.model}, vocoder {run.vocoder} ({why})"
    )
    for number, job in enumerate(jobs, start=1):
        recipe = job.recipe
        count = f"{number}/{len(jobs)} " if len(jobs) > 1 else ""
        talk.note(
            f"{count}seed {recipe.seed}: {recipe.query.name!r}, mode {recipe.mode}, "
            f"w {recipe.guidance_scale:g}, {recipe.sampler} in {recipe.steps} steps"
        )
        with talk.bars(count) as bars:
            sonic.prepare(recipe)
            started = time.perf_counter()
            sound = next(sonic.generate([recipe], report=bars))
            elapsed = time.perf_counter() - started
        sound.write(job.path, subtype=subtype, overwrite=overwrite)
        talk.note(
            f"{sound.seconds:.2f} s of sound in {elapsed:.1f} s: "
            f"real-time factor {elapsed / sound.seconds:.2f}"
        )
        details = {
            "path": str(job.path),
            "seed": recipe.seed,
            "seconds": sound.seconds,
            "elapsed_seconds": round(elapsed, 3),
            "real_time_factor": round(elapsed / sound.seconds, 3),
            "recipe": dataclasses.asdict(recipe),
        }
        talk.result(str(job.path), details)
