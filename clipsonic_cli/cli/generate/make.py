"""Make the sounds of a run, write the best, and say what is being done."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsonic_cli.cli.console import Bars, Console
from clipsonic_cli.cli.generate.deliver import Delivery
from clipsonic_cli.cli.generate.finishing import describe, what_was_done
from clipsonic_cli.cli.generate.jobs import Job, Round
from clipsonic_cli.cli.generate.outputs import drawing_of
from clipsonic_cli.config import Finish, Recipe
from clipsonic_cli.diffusion.timesteps import too_few
from clipsonic_cli.modes import MODES
from clipsonic_cli.store.default_mode import USUAL
from clipsonic_cli.text import counted
from clipsonic_cli.types import Query, Score

if TYPE_CHECKING:
    from clipsonic_cli.evaluation.backbones import Ranking
    from clipsonic_cli.models.familiarity import Nearness
    from clipsonic_cli.pipeline import ClipSonic
    from clipsonic_cli.sound import Sound


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A sound that may be written."""

    job: Job
    sound: "Sound"
    elapsed: float
    """Seconds that it took; in a batch, its share."""
    near: "Nearness | None" = None
    """Known sounds that its query is nearest to; None where it was not looked at."""
    score: Score | None = None
    """What it is ranked by; None where sounds are not ranked."""


class Progress:
    """How far a run is: bars of the stages of a single sound, or one bar over all of several.

    Args:
        bars: Where it is shown.
        total: Sounds to make.

    Attributes:
        done: Sounds that are made.
        batch: Sounds that are being made.
        seconds: Length of the sounds that are made.
        elapsed: Seconds that they took.
    """

    def __init__(self, bars: Bars, total: int) -> None:
        self.bars, self.total = bars, total
        self.done, self.batch = 0, 1
        self.seconds = self.elapsed = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the bars; a :data:`~clipsonic_cli.types.Report`."""
        if self.total == 1:
            self.bars(stage, done, total)
        elif stage == "sample":  # which takes most of the time
            self.bars("sounds", self.done + self.batch * done / total, self.total)


def make(
    sonic: "ClipSonic",
    rounds: Sequence[Round],
    console: Console,
    *,
    batch_size: int | None,
    rank_by: str | None,
    delivery: Delivery,
    finish: Finish,
) -> None:
    """Make the sounds of all rounds, deliver the best of each, and print their paths.

    ``rank_by`` is the metric by which sounds are ranked, or None.
    """
    jobs = [job for one in rounds for job in one.jobs]
    progress = Progress(console.bars(), len(jobs))
    # Check every recipe, before anything is said.
    recipes = [job.recipe for job in jobs]
    sounds = sonic.generate(recipes, batch_size=batch_size, report=progress)
    _note_model(sonic, recipes, console)
    ranking = None
    if rank_by is not None:
        from clipsonic_cli.evaluation.backbones import Ranking

        texts = [recipe.query.name for recipe in recipes]
        ranking = Ranking(texts, sonic.parts.device, by=rank_by)
        for note in ranking.notes:
            console.note(f"note: {note}")
    if len(jobs) > 1:
        console.note(f"{len(jobs):,} sounds to make")
    with progress.bars as bars:
        made = _made(sonic, jobs, sounds, batch_size, progress, console)
        for one in rounds:
            best = _best(islice(made, len(one.jobs)), one.keep, ranking, console)
            for place, each in enumerate(best):
                with bars.paused():
                    if ranking is not None:
                        console.note(f"{ordinal(place + 1)}: seed {each.job.recipe.seed}")
                    _deliver(each, one.path(each.job, place), delivery, finish, console)
    _note_time(progress, console)


def _deliver(made: Made, path: Path, delivery: Delivery, finish: Finish, console: Console) -> None:
    """Finish a sound, write and play it, and print its path and what was done to it."""
    sound = made.sound.finish(**dataclasses.asdict(finish))
    with delivery.write(sound, path) as file:
        details = describe(sound, file)
        if delivery.spectrogram:
            details["spectrogram"] = str(drawing_of(file))
        if note := ", ".join(what_was_done(details, made.sound.seconds)):
            console.note(f"{'the sound' if delivery.to_stdout else path}: {note}")
        if not delivery.to_stdout:
            _print_result(made, details, console)
        if why := delivery.play(file):
            console.note(f"note: no sound is played: {why}")


def _made(
    sonic: "ClipSonic",
    jobs: Sequence[Job],
    sounds: Iterator["Sound"],
    batch_size: int | None,
    progress: Progress,
    console: Console,
) -> Iterator[Made]:
    """Yield the sounds of jobs; before each batch, print what it is made of."""
    from clipsonic_cli.pipeline import batched
    from clipsonic_cli.sampling import mode_of

    settings, start = "", 0
    query, near = None, None
    for batch in batched([job.recipe for job in jobs], batch_size):
        progress.batch = len(batch)
        if settings != (settings := _settings(batch[0])):
            console.note(f"{settings}{_why(sonic, batch[0])}")
        nears = []
        for number, recipe in enumerate(batch, start=start + 1):
            is_new, query = recipe.query != query, recipe.query
            if is_new and (console.as_json or not console.quiet):
                near = sonic.parts.nearness(query, mode_of(recipe))
            nears.append(near)
            count = f"{number}/{len(jobs)} " if len(jobs) > 1 else ""
            begin = f"{count}seed {recipe.seed}: "
            _note_query(sonic, query, near if is_new else None, begin, console)
        sonic.prepare(batch[0])
        elapsed = 0.0
        for job, known in zip(jobs[start : start + len(batch)], nears, strict=True):
            started = time.perf_counter()
            sound = next(sounds)  # the first of a batch takes the time of all
            took = time.perf_counter() - started
            elapsed = elapsed or took / len(batch)
            progress.elapsed += took
            progress.done, progress.seconds = progress.done + 1, progress.seconds + sound.seconds
            yield Made(job=job, sound=sound, elapsed=elapsed, near=known)
        start += len(batch)


def _note_query(
    sonic: "ClipSonic", query: Query, near: "Nearness | None", begin: str, console: Console
) -> None:
    """Print a query, the known sound that it is nearest to, and a warning if it is far from all."""
    line = f"{begin}{query.name!r}"
    if near is None or not near.nearest:
        console.note(line)
        return
    is_odd = query.text is not None and sonic.parts.splits_words(query.text)
    doubt = "; is it English?" if is_odd else ""
    if not near.far:
        console.note(f"{line} (nearest sound it knows: {next(iter(near.nearest))}{doubt})")
        return
    names = ", ".join(f"{name} {cosine:.2f}" for name, cosine in near.nearest.items())
    console.note(
        f"{line} is far from every sound that the model knows (nearest: {names}; known ones have "
        f"{near.limit:.2f} or more{doubt}); clipsonic info {sonic.model} lists them"
    )


def _best(
    made: Iterable[Made], keep: int, ranking: "Ranking | None", console: Console
) -> list[Made]:
    """Return the sounds to keep: the best first, or all where they are not ranked."""
    best: list[Made] = []
    for each in made:
        if ranking is not None:
            recipe = each.job.recipe
            score = ranking(each.sound, recipe.query.name)
            each = dataclasses.replace(each, score=score)
            console.note(f"seed {recipe.seed}: {score.label} {score.value:.3f}")
        best = sorted([*best, each], key=lambda m: -m.score.value if m.score else 0)[:keep]
    return best


def ordinal(place: int) -> str:
    """Return a rank for people: "best", "2nd best" and so on."""
    if place == 1:
        return "best"
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10)
    return f"{place}{ending or 'th'} best"


def _settings(recipe: Recipe) -> str:
    """Format what many sounds of a run have in common."""
    return (
        f"mode {recipe.mode}, w {recipe.scale}, {'student, ' if recipe.student else ''}"
        f"{recipe.sampler} in {counted(recipe.steps, 'step')}, {recipe.seconds:g} s"
    )


def _why(sonic: "ClipSonic", recipe: Recipe) -> str:
    """Format why the mode is the default, where it is one that fitted the model's frames best."""
    mode, why = sonic.default_mode(recipe.query.kind)
    return f" ({mode} is {why})" if mode == recipe.mode and why != USUAL else ""


def _note_model(sonic: "ClipSonic", recipes: Sequence[Recipe], console: Console) -> None:
    """Print what sounds are made with, and what of it is not to be expected to sound well."""
    notes: dict[str | None, None] = {}
    for recipe in recipes:
        notes[too_few(recipe.sampler, recipe.steps)] = None
        if recipe.seconds > (native := sonic.native_seconds(recipe.mode)):
            long = f"sounds longer than the model's native {native:.1f} s"
            notes[f"{long} tend to become steady tones"] = None
    for note in filter(None, notes):
        console.note(f"note: {note}")
    vocoder, why = recipes[0].vocoder or sonic.vocoder, sonic.vocoder_reason
    if vocoder != sonic.vocoder:
        why = f"requested; {sonic.vocoder} is {why}"
    device, dtype = sonic.parts.device.type, str(sonic.parts.dtype).removeprefix("torch.")
    mel = sonic.parts.header(MODES[recipes[0].mode].unet).mel
    assert mel is not None  # a U-Net's header has one
    origin = f" (by {sonic.model_origin})" if sonic.model_origin else ""
    console.note(
        f"device {device} ({dtype}), {mel.sample_rate / 1000:g} kHz mono, "
        f"model {sonic.model}{origin}"
    )
    console.note(f"vocoder {vocoder} ({why})")


def _note_time(progress: Progress, console: Console) -> None:
    """Print how long the sounds took."""
    seconds, elapsed = progress.seconds, progress.elapsed
    length = f"{seconds:.2f} s of sound"
    if progress.total > 1:
        length = f"{progress.total:,} sounds, {length} in all,"
    rate = elapsed / seconds
    rounded = f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"
    console.note(f"{length} in {elapsed:.1f} s: {rounded} s per second of sound")


def _print_result(made: Made, details: dict[str, Any], console: Console) -> None:
    """Print the file of a sound, or all about it; the details are those of its file."""
    sound = made.sound
    details |= {
        "seed": sound.recipe.seed,
        "elapsed_seconds": round(made.elapsed, 3),
        "real_time_factor": round(made.elapsed / sound.seconds, 3),
        "recipe": dataclasses.asdict(sound.recipe),
    }
    if made.near is not None:
        nearest = {name: round(cosine, 4) for name, cosine in made.near.nearest.items()}
        details |= {"far": made.near.far, "nearest": nearest}
    if made.score is not None:
        details["score"] = {made.score.label: made.score.value}
    console.result(details["path"], details)
