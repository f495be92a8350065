"""``clipsonic generate``: words or pictures into sound files.

Everything a person can get wrong is checked before any weights are read, and nothing is written
until then.
"""

import dataclasses
import itertools
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsonic_cli import ranges
from clipsonic_cli.cli import options
from clipsonic_cli.cli.console import Console
from clipsonic_cli.cli.generate import inputs, outputs, plan
from clipsonic_cli.cli.generate import options as generate_options
from clipsonic_cli.diffusion.timesteps import too_few
from clipsonic_cli.errors import UsageError

if TYPE_CHECKING:
    from clipsonic_cli.evaluation.backbones import Ranking
    from clipsonic_cli.pipeline import ClipSonic
    from clipsonic_cli.sound import Sound
    from clipsonic_cli.types import Score

ENGINE = ("model", "device", "dtype")
"""Fields of a recipe that hold for a whole run."""


def generate(
    prompts: generate_options.Prompts = None,
    image: generate_options.Images = None,
    file: generate_options.File = None,
    like: generate_options.Like = None,
    negative: generate_options.Negative = None,
    mode: options.Mode = None,
    guidance_scale: generate_options.Guidance = None,
    preset: generate_options.Preset = None,
    sampler: options.Sampler = None,
    steps: options.Steps = None,
    seconds: generate_options.Seconds = None,
    seed: generate_options.Seed = None,
    variations: generate_options.Variations = 1,
    keep: generate_options.Keep = None,
    vocoder: options.Vocoder = None,
    output: generate_options.Output = None,
    suffix: generate_options.Suffix = None,
    bits: generate_options.Bits = None,
    overwrite: generate_options.Overwrite = False,
    skip_existing: generate_options.SkipExisting = False,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - read by cli.run, which outlives the command
) -> None:
    """Make sound from words or pictures.

    clipsonic generate "a photo of violin"

    clipsonic generate --image cat.jpg dog.jpg -n 3
    """
    console = Console(quiet=quiet, as_json=as_json)
    if overwrite and skip_existing:
        raise UsageError("Both --overwrite and --skip-existing are given; use one of them.")
    ranges.check_all(ranges.GENERATE, {"variations": variations}, "`{}`")
    if keep is not None:
        _check_keep(keep, variations, skip_existing=skip_existing)
    choices = options.not_none(
        mode=mode,
        guidance_scale=guidance_scale,
        sampler=sampler,
        steps=steps,
        seconds=seconds,
        seed=seed,
        vocoder=vocoder,
    )
    ranges.check_all(ranges.RECIPE, choices, "`{}`")
    if negative is not None:
        choices |= inputs.negative_fields(negative)
    requests = inputs.requests(prompts or [], image or [], file, sys.stdin)
    original, name, depth = None, outputs.DEFAULT_NAME, None
    if like is not None:
        from clipsonic_cli.sound import read_recipe

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
        console.note(f"columns not used: {', '.join(unused)}")
    engine = options.not_none(model=model, device=device, dtype=dtype)
    if original is not None:
        engine = {name: getattr(original, name) for name in ENGINE} | engine
    if name.endswith(jobs[0].path.suffix):  # the bits of --like are those of its format
        bits = bits or depth
    subtype = None if bits is None else outputs.subtype(bits)
    if skip_existing:
        absent = [job for job in jobs if not job.path.exists()]
        console.note(f"{len(jobs) - len(absent)} of {len(jobs)} sounds exist and are kept")
        jobs = absent
    rounds = plan.rounds(jobs, variations, keep, outputs.parse(output, suffix, name)[1])
    outputs.check(
        [path for one in rounds for path in one.paths],
        subtype,
        overwrite=overwrite,
        create=outputs.is_new_folder(output),
    )
    if not jobs:
        return

    from clipsonic_cli.pipeline import ClipSonic  # imports torch; what is above takes no time

    with console.noting_warnings():
        sonic = ClipSonic.load(**engine)
        checked = [sonic.check(job.recipe) for job in jobs]
    if original is not None:
        plan.check_same(original, checked[0], kept)
        if model is None and original.model_id != sonic.parts.identity(sonic.needs(original)):
            raise UsageError(
                f"The weights of model '{original.model}' are not those that '{like}' was "
                f"made with. Give --model {original.model} to use them anyway."
            )
    for note in dict.fromkeys(too_few(one.sampler, one.steps) for one in checked):
        if note is not None:
            console.note(f"note: {note}")
    with console.noting_warnings():
        ranking = None
        if keep is not None:
            from clipsonic_cli.evaluation.backbones import Ranking

            ranking = Ranking([job.recipe.query.name for job in jobs], sonic.parts.device)
            for note in ranking.notes:
                console.note(f"note: {note}")
        _make(sonic, rounds, ranking, subtype, console, overwrite=overwrite)


def _check_keep(keep: int, variations: int, *, skip_existing: bool) -> None:
    """Refuses what cannot be kept.

    Raises:
        UsageError: It cannot.
    """
    if not 1 <= keep <= variations:
        raise UsageError(
            f"--keep is {keep}; it must be from 1 to the {variations} of --variations (-n)."
        )
    if skip_existing:
        raise UsageError(
            "--keep tells which sounds are written after all are made, so that --skip-existing "
            "would skip none; leave one of them out."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A sound that may be kept.

    Args:
        job: What was asked for.
        sound: What came of it.
        elapsed: Seconds that took.
        score: How well it fits its words; None where nobody asked.
    """

    job: plan.Job
    sound: "Sound"
    elapsed: float
    score: "Score | None"


def _make(
    sonic: "ClipSonic",
    rounds: Sequence[plan.Round],
    ranking: "Ranking | None",
    subtype: str | None,
    console: Console,
    *,
    overwrite: bool,
) -> None:
    """Makes sounds one after another, writes those that are kept, and says so."""
    from clipsonic_cli.audio.level import read_gain

    run = sonic.check(rounds[0].jobs[0].recipe)
    why = sonic.vocoder_reason
    if run.vocoder != sonic.vocoder:
        why = f"requested; {sonic.vocoder} is {why}"
    console.note(
        f"device {run.device} ({run.dtype}), model {run.model}, vocoder {run.vocoder} ({why})"
    )
    numbers, total = itertools.count(1), sum(len(one.jobs) for one in rounds)
    for one in rounds:
        best: list[Made] = []
        for job in one.jobs:
            count = f"{next(numbers)}/{total} " if total > 1 else ""
            made = _sound(sonic, job, ranking, console, count)
            best = sorted([*best, made], key=_rank)[: one.keep]
        for rank, made in enumerate(best):
            path = one.path(made.job, rank)
            path.parent.mkdir(parents=True, exist_ok=True)  # not before: none stays empty
            made.sound.write(path, subtype=subtype, overwrite=overwrite)
            gain = read_gain(path)
            if gain < 1:
                console.note(
                    f"note: {path} is {-20 * math.log10(gain):.1f} dB quieter than the model made "
                    f"it, so that no player clips it; the file says so, and eval undoes it"
                )
            if ranking is not None:
                console.note(f"kept {rank + 1} of {len(one.jobs)}: seed {made.sound.recipe.seed}")
            console.result(str(path), _details(path, made, gain))


def _rank(made: Made) -> float:
    return 0.0 if made.score is None else -made.score.value


def _sound(
    sonic: "ClipSonic", job: plan.Job, ranking: "Ranking | None", console: Console, count: str
) -> Made:
    """Makes one sound, and says what a person wants to know of it."""
    recipe = job.recipe
    console.note(
        f"{count}seed {recipe.seed}: {recipe.query.name!r}, mode {recipe.mode}, "
        f"w {recipe.guidance_scale:g}, {recipe.sampler} in {recipe.steps} steps"
    )
    with console.bars(count) as bars:
        sonic.prepare(recipe)
        started = time.perf_counter()
        sound = next(sonic.generate([recipe], report=bars))
        elapsed = time.perf_counter() - started
    score = None if ranking is None else ranking(sound, recipe.query.name)
    console.note(
        f"{sound.seconds:.2f} s of sound in {elapsed:.1f} s: "
        f"real-time factor {elapsed / sound.seconds:.2f}"
        + ("" if score is None else f"; {score.label} {score.value:.3f}")
    )
    return Made(job=job, sound=sound, elapsed=elapsed, score=score)


def _details(path: Path, made: Made, gain: float) -> dict[str, Any]:
    """Return what another program wants to know; the file holds the sound times ``gain``."""
    sound, elapsed = made.sound, made.elapsed
    details: dict[str, Any] = {
        "path": str(path),
        "seed": sound.recipe.seed,
        "seconds": sound.seconds,
        "gain": gain,
        "elapsed_seconds": round(elapsed, 3),
        "real_time_factor": round(elapsed / sound.seconds, 3),
        "recipe": dataclasses.asdict(sound.recipe),
    }
    if made.score is not None:
        details["score"] = {made.score.label: made.score.value}
    return details
