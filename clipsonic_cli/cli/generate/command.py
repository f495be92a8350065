"""``clipsonic generate``: text or images into sound files.

Everything a person can get wrong is checked before any weights are read, and nothing is written
until then.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from clipsonic_cli import ranges
from clipsonic_cli.cli import options
from clipsonic_cli.cli.console import Console
from clipsonic_cli.cli.generate import finishing
from clipsonic_cli.cli.generate import options as generate_options
from clipsonic_cli.cli.generate.deliver import Delivery
from clipsonic_cli.cli.generate.jobs import Round, plan_recipes, plan_rounds
from clipsonic_cli.cli.generate.like import Original
from clipsonic_cli.cli.generate.outputs import (
    DEFAULT_NAME,
    FIELDS,
    STDOUT,
    SUBTYPES,
    Template,
    check_drawings,
    check_paths,
    check_stdout,
)
from clipsonic_cli.cli.generate.play import find_players
from clipsonic_cli.cli.generate.requests import (
    Request,
    negative_fields,
    read_requests,
    unused_columns,
)
from clipsonic_cli.errors import UsageError
from clipsonic_cli.modes import Kind


def generate(
    ctx: typer.Context,
    prompts: Annotated[list[str] | None, generate_options.PROMPTS] = None,
    image: Annotated[list[Path] | None, generate_options.IMAGES] = None,
    file: Annotated[Path | None, generate_options.FILE] = None,
    file_format: Annotated[str | None, generate_options.FILE_FORMAT] = None,
    like: Annotated[Path | None, generate_options.LIKE] = None,
    negative: Annotated[str | None, generate_options.NEGATIVE] = None,
    mode: Annotated[str | None, options.MODE] = None,
    guidance: Annotated[float | None, generate_options.GUIDANCE] = None,
    guidance_rule: Annotated[str | None, options.GUIDANCE_RULE] = None,
    preset: Annotated[str | None, generate_options.PRESET] = None,
    sampler: Annotated[str | None, options.SAMPLER] = None,
    steps: Annotated[int | None, options.STEPS] = None,
    seconds: Annotated[float | None, generate_options.SECONDS] = None,
    seed: Annotated[int | None, generate_options.SEED] = None,
    count: Annotated[int, generate_options.COUNT] = 1,
    keep: Annotated[int | None, generate_options.KEEP] = None,
    keep_by: Annotated[str, generate_options.KEEP_BY] = "clap",
    vocoder: Annotated[str | None, options.VOCODER] = None,
    output: Annotated[str | None, generate_options.OUTPUT] = None,
    suffix: Annotated[str | None, generate_options.SUFFIX] = None,
    bits: Annotated[str | None, generate_options.BITS] = None,
    trim: Annotated[bool | None, finishing.TRIM] = None,
    normalize: Annotated[Any, finishing.NORMALIZE] = None,
    rate: Annotated[int | None, finishing.RATE] = None,
    spectrogram: Annotated[bool, finishing.SPECTROGRAM] = False,
    overwrite: Annotated[bool, generate_options.OVERWRITE] = False,
    skip_existing: Annotated[bool, generate_options.SKIP_EXISTING] = False,
    play: Annotated[bool, generate_options.PLAY] = False,
    model: Annotated[str | None, options.MODEL] = None,
    device: Annotated[str | None, options.DEVICE] = None,
    dtype: Annotated[str | None, options.DTYPE] = None,
    batch_size: Annotated[int | None, generate_options.BATCH_SIZE] = None,
    exact: Annotated[bool, generate_options.EXACT] = False,
    as_json: Annotated[bool, options.JSON] = False,
    quiet: Annotated[bool, options.QUIET] = False,
    debug: Annotated[bool, options.DEBUG] = False,  # noqa: ARG001 - cli.run reads it
) -> None:
    """Make sound from text or images.

    clipsonic generate "a photo of violin"
    clipsonic generate --image cat.jpg dog.jpg -n 3
    """
    console = Console(quiet=quiet, as_json=as_json, options=options.spellings(ctx.command))
    # Check options.
    sizes = options.not_none(count=count, batch_size=batch_size)
    ranges.check_all(ranges.GENERATE, sizes, "`{}`")
    if exact and batch_size not in (None, 1):
        raise UsageError("--exact makes sounds one by one; leave it or --batch-size out.")
    if keep is None and "keep_by" in options.on_command_line(ctx):
        raise UsageError("--keep-by says which sounds --keep writes; give both.")
    _check_files(keep, count, overwrite=overwrite, skip_existing=skip_existing)
    choices = options.not_none(
        mode=mode,
        guidance=guidance,
        guidance_rule=guidance_rule,
        sampler=sampler,
        steps=steps,
        seconds=seconds,
        seed=seed,
        vocoder=vocoder,
    )
    ranges.check_all(ranges.RECIPE, choices, "`{}`")
    if negative is not None:
        choices |= negative_fields(negative)
    # Read queries.
    requests = read_requests(prompts or [], image or [], file, sys.stdin, file_format)
    original = recipe = None
    if like is not None:
        original = Original.read(like, again=not requests, negative=negative is None)
        recipe = original.recipe
        requests = requests or [Request(query=recipe.query)]
    if not requests:
        raise UsageError(
            "Nothing to sound. Give a text, as in: clipsonic generate 'a photo of violin'; "
            "or --image, --file or --like; '-' reads standard input."
        )
    # Plan recipes and files.
    finish = finishing.plan(original, trim, normalize, rate)
    name = model or (None if recipe is None else recipe.model)
    recipes = plan_recipes(
        requests,
        recipe,
        None if preset is None else options.preset_fields(preset, name),
        choices,
        count,
        lambda kind: _default_mode(name, kind),
    )
    template = Template.parse(
        output,
        suffix,
        DEFAULT_NAME if original is None else original.name,
        several=len(recipes) > 1,
    )
    rounds = plan_rounds(requests, recipes, template, count, keep, keep_by)
    _note_rows(requests, template, seed, console)
    if output == STDOUT:
        others = {"json": as_json, "skip-existing": skip_existing, "spectrogram": spectrogram}
        check_stdout(sys.stdout, sum(one.keep for one in rounds), others)
    elif skip_existing:
        if seed is None and recipe is None:
            _check_skipping(requests, template)
        rounds = _absent(rounds, console)
    if original is not None and original.name.endswith(template.ending):
        bits = bits or original.bits  # which are those of its format
    delivery = Delivery(
        subtype=None if bits is None else SUBTYPES[bits],
        overwrite=overwrite,
        to_stdout=output == STDOUT,
        spectrogram=spectrogram,
        players=find_players() if play else (),
    )
    paths = [path for one in rounds for path in one.paths]
    check_paths(paths, delivery.subtype, overwrite=overwrite, are_files=not delivery.to_stdout)
    if spectrogram:
        check_drawings(paths, recipes, overwrite=overwrite)
    if not rounds:
        return
    # Find the model.
    from clipsonic_cli.cli.generate.make import make  # imports torch; what is above takes no time
    from clipsonic_cli.pipeline import ClipSonic

    engine = options.not_none(model=model, device=device, dtype=dtype)
    if recipe is not None:
        engine = {"model": recipe.model, "device": recipe.device, "dtype": recipe.dtype} | engine
    with console.noting_warnings():
        sonic = ClipSonic.load(**engine)
        if original is not None:
            original.check_images(sonic.check(rounds[0].jobs[0].recipe))
            if model is None:
                original.check_weights(sonic)
        make(
            sonic,
            rounds,
            console,
            batch_size=1 if exact else batch_size,
            rank_by=None if keep is None else keep_by,
            delivery=delivery,
            finish=finish,
        )


def _default_mode(model: str | None, kind: Kind) -> str:
    """Return the default mode of a model; of the default model for None."""
    from clipsonic_cli.store import model_folders  # only where no mode is named: it takes a while
    from clipsonic_cli.store.default_mode import default_mode

    return default_mode(model_folders.find(model or model_folders.default()[0]), kind)[0]


def _check_files(keep: int | None, count: int, *, overwrite: bool, skip_existing: bool) -> None:
    """Check that so many sounds of a query can be kept, and what becomes of files that exist."""
    if overwrite and skip_existing:
        raise UsageError("Both --overwrite and --skip-existing are given; use one of them.")
    if keep is not None and not 1 <= keep <= count:
        raise UsageError(f"--keep is {keep}; it must be from 1 to the {count} of --count (-n).")
    if keep is not None and skip_existing:
        raise UsageError(
            "--keep ranks sounds after all are made, so that --skip-existing would skip none; "
            "leave one of them out."
        )


def _check_skipping(requests: Sequence[Request], template: Template) -> None:
    """Check that names of sounds with drawn seeds are the same another time."""
    if "seed" in template.fields and any("seed" not in each.choices for each in requests):
        raise UsageError(
            f"--skip-existing cannot find '{template.stem}.{template.ending}' again, as its seed "
            "is drawn; give --seed, or -o with a name without {seed}."
        )


def _absent(rounds: Sequence[Round], console: Console) -> list[Round]:
    """Return the sounds whose files do not exist."""
    absent = [one for one in rounds if not one.paths[0].exists()]
    console.note(f"{len(rounds) - len(absent)} of {len(rounds)} sounds exist and are kept")
    return absent


def _note_rows(
    requests: Sequence[Request], template: Template, seed: int | None, console: Console
) -> None:
    """Print which columns are not used, and whether sounds of different queries share noise."""
    columns = {name for request in requests for name in request.columns}
    if unused := columns - (template.fields - set(FIELDS)):
        console.note(f"columns not used: {', '.join(unused_columns(unused))}")
    unseeded = [request for request in requests if "seed" not in request.choices]
    if seed is not None and len(unseeded) > 1:
        console.note(
            f"note: {len(unseeded)} queries start from the same noise, that of seed {seed}; "
            "without --seed each has its own"
        )
