"""``clipsonic eval``: the paper's scores and tables, of a model or of any sounds.

All that a person can get wrong is checked before weights are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from clipsonic_cli import ranges, types
from clipsonic_cli.cli import options
from clipsonic_cli.cli.console import Console, name_options
from clipsonic_cli.cli.eval import options as eval_options
from clipsonic_cli.cli.eval import show
from clipsonic_cli.config import DEFAULT_STEPS, PAPER_CLIP_SECONDS, PAPER_SAMPLING, Recipe
from clipsonic_cli.data import QUERY_SETS
from clipsonic_cli.diffusion import GUIDANCE_RULES, SAMPLERS
from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics import BACKBONES, METRICS
from clipsonic_cli.modes import MODES
from clipsonic_cli.registry import unknown
from clipsonic_cli.types import Note

ABOUT_MODELS = (
    *("model", "data", "queries", "data_format", "split", "split_seed", "count", "modes"),
    *("guidance", "guidance_rule"),
    *("preset", "clip_seconds", "sampler", "steps", "seconds", "vocoder", "dtype", "workers"),
)
"""Options that mean nothing for folders of sounds."""
ABOUT_CLIPS = ("data", "data_format", "split", "split_seed", "clip_seconds", "workers")
"""Options that mean nothing for a set of images."""
ABOUT_SOUNDS = (
    *("metrics", "generated", "reference", "prompts", "pictures", "save_stats", "table"),
    *("figure", "listening_test", "trials", "seed", "dry_run"),
)
"""Options that, like those, mean nothing for ratings."""


def evaluate(
    ctx: typer.Context,
    metrics: Annotated[list[str] | None, eval_options.METRIC_NAMES] = None,
    generated: Annotated[list[Path] | None, eval_options.GENERATED] = None,
    reference: Annotated[Path | None, eval_options.REFERENCE] = None,
    prompts: Annotated[Path | None, eval_options.PROMPTS] = None,
    pictures: Annotated[list[Path] | None, eval_options.PICTURES] = None,
    save_stats: Annotated[Path | None, eval_options.SAVE_STATS] = None,
    table: Annotated[int | None, eval_options.TABLE_NUMBER] = None,
    figure: Annotated[int | None, eval_options.FIGURE_NUMBER] = None,
    data: Annotated[str | None, eval_options.DATA] = None,
    queries: Annotated[tuple[str, Path] | None, eval_options.QUERIES] = None,
    data_format: Annotated[str | None, options.DATA_FORMAT] = None,
    split: Annotated[types.Split, eval_options.SPLIT] = "test",
    split_seed: Annotated[int | None, eval_options.SPLIT_SEED] = None,
    count: Annotated[int | None, eval_options.COUNT] = None,
    modes: Annotated[list[str] | None, eval_options.MODE_NAMES] = None,
    guidance: Annotated[list[float] | None, eval_options.GUIDANCE] = None,
    guidance_rule: Annotated[str, options.GUIDANCE_RULE] = "constant",
    clip_seconds: Annotated[float | None, eval_options.CLIP_SECONDS] = None,
    preset: Annotated[str, eval_options.PRESET] = "default",
    sampler: Annotated[str | None, options.SAMPLER] = None,
    steps: Annotated[int | None, options.STEPS] = None,
    seconds: Annotated[float, eval_options.SECONDS] = 4.0,
    seed: Annotated[int, eval_options.SEED] = 0,
    vocoder: Annotated[str | None, options.VOCODER] = None,
    listening_test: Annotated[Path | None, eval_options.LISTENING_TEST] = None,
    trials: Annotated[int, eval_options.TRIALS] = 10,
    ratings: Annotated[list[Path] | None, eval_options.RATINGS] = None,
    key: Annotated[Path | None, eval_options.KEY] = None,
    output: Annotated[Path | None, eval_options.OUTPUT] = None,
    markdown: Annotated[bool, eval_options.MARKDOWN] = False,
    latex: Annotated[bool, eval_options.LATEX] = False,
    dry_run: Annotated[bool, eval_options.DRY_RUN] = False,
    model: Annotated[list[str] | None, eval_options.MODELS] = None,
    device: Annotated[str | None, options.DEVICE] = None,
    dtype: Annotated[str | None, options.DTYPE] = None,
    workers: Annotated[int | None, options.WORKERS] = None,
    as_json: Annotated[bool, options.JSON] = False,
    quiet: Annotated[bool, options.QUIET] = False,
    debug: Annotated[bool, options.DEBUG] = False,  # noqa: ARG001 - cli.run reads it
) -> None:
    """Score a model, or any sounds, by the paper's metrics.

    clipsonic eval --metrics fad clap --generated sounds/ --reference truth/
    clipsonic eval --model music --data ./music --modes iq pd -w 1 1.5 2
    clipsonic eval --model music --data ./music --table 1 --preset paper
    clipsonic eval --model music --queries imagehear ./ImageHear --metrics cs

    After an interruption the same command continues: sounds that were made are reused.
    """
    form = _form({"markdown": markdown, "latex": latex, "as_json": as_json})
    console = Console(
        quiet=quiet, as_json=as_json, form=form, options=options.spellings(ctx.command)
    )
    given = options.on_command_line(ctx)
    # Read ratings.
    if ratings is not None or key is not None:
        _check_meaning(given, (*ABOUT_SOUNDS, *ABOUT_MODELS), "--ratings")
        show.print_ratings(ratings, key, output, console)
        return
    # Check options.
    if generated:
        _check_meaning(given, ABOUT_MODELS, "--generated")
    if queries is not None:
        _check_meaning(given, ABOUT_CLIPS, "--queries")
        QUERY_SETS.check(queries[0])
    base = options.preset_fields(preset, model[0] if model else None)  # other options override it
    sampler = sampler or str(base["sampler"])
    if preset == "paper":
        dtype = dtype or str(PAPER_SAMPLING["dtype"])
        clip_seconds = clip_seconds or PAPER_CLIP_SECONDS
    _check_names(metrics or [], sampler, guidance_rule, modes or [])
    _check_paper(table, figure, of_model=not generated, data=data)
    numbers = {name: value for name, value in ctx.params.items() if name != "guidance"}
    ranges.check_all(ranges.EVAL, numbers, "`{}`")
    for scale in guidance or []:
        ranges.EVAL["guidance"].check("--guidance", scale)
    from clipsonic_cli.device import (  # imports torch; what is above takes no time
        choose_device,
        cores,
    )
    from clipsonic_cli.evaluation import evaluate
    from clipsonic_cli.evaluation.model_source import Generation
    from clipsonic_cli.evaluation.plan import EvalRequest
    from clipsonic_cli.evaluation.sources import Folders, Source
    from clipsonic_cli.listening.page import check_unused
    from clipsonic_cli.report import paper
    from clipsonic_cli.store import model_folders

    place = choose_device(device or "auto")
    # Choose what the paper has of a table or figure.
    asks = paper.FIGURE_3 if figure is not None else paper.TABLES.get(table or 0)
    if table is not None:
        _check_columns(table, paper.TABLES[table].metrics, metrics or ())
    metrics_named = bool(metrics)
    if not metrics and (asks or listening_test is None):
        metrics = list(asks.metrics if asks else _usual_metrics(queries is not None, reference))
    # Choose the source of the sounds.
    source: Source
    _check_folders(generated or (), pictures or (), prompts)
    if generated:
        source = Folders(folders=tuple(generated), prompts=prompts, images=tuple(pictures or ()))
        name, folder = _names(generated), _name_of(generated[0])
    elif (
        save_stats is not None
        and reference is not None
        and not {"model", "data", "queries"} & given
    ):
        source, name, folder = Folders(), _name_of(reference), _name_of(reference)
    else:
        default_modes = None if asks is None else asks.modes
        steps_of = {**DEFAULT_STEPS, base["sampler"]: base["steps"]}
        if not model:
            name, origin = model_folders.default()
            model = [name]
            if origin is not None:
                console.note(f"model {name} (by {origin})")
        source = Generation(
            models=tuple(model),
            recipe=Recipe(
                guidance_rule=guidance_rule,
                sampler=sampler,
                steps=steps or steps_of[sampler],
                student=base["student"],
                seconds=seconds,
                vocoder=vocoder,
                seed=seed,
            ),
            data=data,
            queries=queries,
            format=data_format,
            split=split,
            split_seed=split_seed,
            count=count,
            modes=tuple(modes) if modes else default_modes,
            guidance=tuple(guidance or (asks.guidance if asks else (1.5,))),
            clip_seconds=clip_seconds or (asks.clip_seconds if asks else None),
            dtype=dtype or "auto",
            workers=cores() if workers is None else workers,
        )
        name, folder = _names([*map(Path, model)]), _name_of(Path(model[0]))
    # Evaluate.
    request = EvalRequest(
        name=name,
        out=output or Path("eval") / folder,
        metrics=tuple(metrics or ()),
        metrics_named=metrics_named,
        source=source,
        listening=listening_test is not None,
        reference=reference,
        save_stats=save_stats,
        seed=seed,
    )
    if listening_test is not None:
        check_unused(listening_test)
    if dry_run:
        show.print_preview(evaluate.preview(request, device=place), console)
        return
    with evaluate.held(request.out):
        with console.noting_warnings(), console.bars() as bars:
            results = evaluate.evaluate(
                request,
                device=place,
                callbacks=evaluate.EvalCallbacks(
                    on_message=partial(show.print_note, console), on_progress=bars
                ),
            )
        notes = tuple(
            Note(note).changed(lambda text: name_options(text, console.options))
            for note in results.notes
        )
        results = replace(results, notes=notes)
        if save_stats is not None:
            console.note(f"statistics: {save_stats}")
        if results.rows:
            show.write_report(results, request.out, table, figure, console)
    if listening_test is not None:
        show.write_listening(results, listening_test, trials, seed, console)


def _name_of(path: Path) -> str:
    """Return the name of a folder or model, also for "." and ".."."""
    return path.name if path.name not in ("", "..") else path.resolve().name or "root"


def _names(paths: Sequence[Path]) -> str:
    """Format the names of folders or models in a title."""
    return _name_of(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _form(wanted: Mapping[str, bool]) -> str | None:
    """Return the form of the table that is wanted, of which there is one at most."""
    chosen = [name for name, is_wanted in wanted.items() if is_wanted]
    if len(chosen) > 1:
        raise UsageError("`{}` and `{}` are given together; use one of them.".format(*chosen))
    return next(iter(chosen), None)


def _usual_metrics(of_images: bool, reference: Path | None) -> list[str]:
    """Return the metrics where none are named: of a set of images those that need no sounds."""
    from clipsonic_cli.evaluation.backbones import is_here

    usual = ["clap"]
    if reference is not None or not of_images:
        usual.insert(0, "fad")
    if of_images and is_here("wav2clip"):
        usual.append("cs")
    return usual


def _check_columns(table: int, columns: Sequence[str], metrics: Sequence[str]) -> None:
    """Check that a table of the paper has a column for each metric."""
    if odd := [name for name in metrics if name.partition(":")[0] not in columns]:
        raise UsageError(
            f"Table {table} has no column for {', '.join(odd)}; its metrics are "
            f"{', '.join(columns)}. Leave --table out for others."
        )


def _check_folders(
    generated: Sequence[Path], pictures: Sequence[Path], prompts: Path | None
) -> None:
    """Check that folders of images are there, and that what belongs to sounds comes with some."""
    for option, value in (("pictures", pictures), ("prompts", prompts)):
        if value and not generated:
            raise UsageError(f"--{option} is for the sounds of --generated; give both.")
    if missing := [folder for folder in pictures if not folder.is_dir()]:
        raise UsageError(f"There is no folder '{missing[0]}'; give --pictures a folder.")


def _check_meaning(given: set[str], names: Sequence[str], other: str) -> None:
    """Check that no option is given that another leaves without meaning."""
    for name in names:
        if name in given:
            raise UsageError(f"`{name}` has no meaning with {other}; leave one of them out.")


def _check_names(metrics: Sequence[str], sampler: str, rule: str, modes: Sequence[str]) -> None:
    """Check that names are known, without importing anything."""
    for name in metrics:
        metric, colon, backbone = name.partition(":")
        METRICS.check(metric)
        if colon:
            BACKBONES.check(backbone)
    SAMPLERS.check(sampler)
    GUIDANCE_RULES.check(rule)
    for name in modes:
        if name not in MODES:
            raise unknown("mode", name, list(MODES))


def _check_paper(
    table: int | None, figure: int | None, *, of_model: bool, data: str | None
) -> None:
    """Check that a table or figure can be made."""
    if table is not None and figure is not None:
        raise UsageError("Both --table and --figure are given; use one after the other.")
    if table in (3, 4):
        raise UsageError(
            f"Table {table} is of a listening test: write one with --listening-test DIR, and read "
            f"it with --ratings FILES --key KEY."
        )
    if table is not None and table not in eval_options.TABLES:
        raise unknown("table", str(table), [str(known) for known in eval_options.TABLES])
    if figure is not None and figure not in eval_options.FIGURES:
        raise unknown("figure", str(figure), [str(known) for known in eval_options.FIGURES])
    requested = f"Figure {figure}" if table is None else f"Table {table}"
    if (table or figure) and of_model and data is None:
        raise UsageError(
            f"{requested} is of a model and its test clips; give --data, a folder of videos."
        )
    if figure is not None:
        from clipsonic_cli.report.figure import check_matplotlib

        if not of_model:
            raise UsageError(f"{requested} is of a model, whose w is known; leave --generated out.")
        check_matplotlib()
