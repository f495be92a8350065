"""What a model is asked in an evaluation: the clips of a split, each with its sound and a picture.

Knows: which clips are drawn, what of them is kept and under which name. Does not know: models.
"""

import functools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import torch

from clipsonic_cli.atomic import written
from clipsonic_cli.audio import level
from clipsonic_cli.data.clips import drawn
from clipsonic_cli.data.listing import Listing, list_clips
from clipsonic_cli.data.media import ClipReader
from clipsonic_cli.data.prompts import prompt
from clipsonic_cli.data.workers import Failed, each
from clipsonic_cli.errors import UsageError
from clipsonic_cli.types import Clip, Report, Split, silent

COMMON = (
    *("violin", "piano", "dog", "cat", "flute", "drum kit", "rooster", "acoustic guitar"),
    *("cow", "trumpet", "sea waves", "helicopter", "frog", "xylophone", "applause", "bell"),
)
"""Kinds of sound to ask for where there is no data set: all of them among the embedded model's."""
MAX_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class TestItem:
    """One query, in words and as a picture, and the sound that is the answer.

    Args:
        name: Of the files, the same for every system.
        seed: Of the noise, the same for every system.
        label: What is heard; None where the data set does not say.
        sound: The clip's own, where there is a clip.
        picture: The frame in its middle, where that was asked for.
    """

    name: str
    seed: int
    label: str | None
    sound: Path | None = None
    picture: Path | None = None

    @property
    def text(self) -> str | None:
        """The label as CLIP is asked."""
        return None if self.label is None else prompt(self.label, "clip-text")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSpec:
    """What is taken of each clip.

    Args:
        seconds: Of its sound, at most, around its middle.
        sample_rate: In Hz.
        picture: Whether its middle frame is taken too.
    """

    seconds: float
    sample_rate: int
    picture: bool


def common_questions(count: int, *, seed: int) -> list[TestItem]:
    """Gives questions that need no data: :data:`COMMON` in turn, each with its own seed."""
    labels = [COMMON[number % len(COMMON)] for number in range(count)]
    return [
        TestItem(name=f"{number:04d}-{file_name(label)}", seed=seed + number, label=label)
        for number, label in enumerate(labels)
    ]


def draw_clips(
    source: str,
    *,
    format: str | None,  # noqa: A002 - as read_clips has it
    split: Split,
    split_seed: int,
    seed: int,
) -> Listing:
    """Lists the clips of a split in the order in which they are drawn, and how they were found.

    More are drawn by going on: the first clips stay the same whatever their number, so that what
    was made of them is used again.

    Args:
        source: See :func:`~clipsonic_cli.data.listing.list_clips`.
        format: See there.
        split: Which clips.
        split_seed: That of the training, where the data set states no split.
        seed: Draws.

    Raises:
        UsageError: There are no such data, or none in the split.
    """
    listing = list_clips(source, format=format, seed=split_seed)
    clips = listing.clips
    found = [clip for clip in clips if clip.split == split]
    if not found:
        counts = Counter(clip.split for clip in clips)
        there = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise UsageError(
            f"'{source}' has no clips in the split '{split}'; it has {there}: give another `split`."
        )
    order = sorted(found, key=lambda clip: (drawn(clip.id, f"{seed} eval"), clip.id))
    return replace(listing, clips=order)


def take(
    clips: Sequence[Clip],
    count: int,
    cut: ClipSpec,
    folder: Path,
    *,
    seed: int,
    workers: int,
    report: Report = silent,
) -> tuple[list[TestItem], dict[str, str]]:
    """Takes sound and picture of the first clips that have them; what lies there is kept.

    Args:
        clips: In the order in which they are drawn.
        count: How many are wanted.
        cut: What is taken.
        folder: Where to. A sound says of which bytes it was cut, and is cut again if they change.
        seed: Of every question's own.
        workers: Processes that decode; 0 is this one.
        report: Told ("clips", done, count).

    Returns:
        As many as there are, and why clips were passed over, by id.

    Raises:
        UsageError: Not one can be used.
    """
    for place in (_sound(folder, "", cut), _picture(folder, "")):
        place.parent.mkdir(parents=True, exist_ok=True)
    questions: list[TestItem] = []
    faults: dict[str, str] = {}
    waiting = iter(clips)
    while len(questions) < count and (some := list(islice(waiting, count - len(questions)))):
        decode = functools.partial(_take, cut=cut, folder=folder)
        for clip, fault in each(decode, some, workers=workers):
            if isinstance(fault, Failed):
                faults[clip.id] = fault.reason
                continue
            name = file_name(clip.id)
            questions.append(
                TestItem(
                    name=name,
                    seed=int(drawn(clip.id, f"{seed} noise") * 2**53),
                    label=clip.label,
                    sound=_sound(folder, name, cut),
                    picture=_picture(folder, name) if cut.picture else None,
                )
            )
            report("clips", len(questions), count)
    if not questions:
        raise UsageError(f"No clip can be used. {next(iter(faults.values()))}")
    return questions, faults


def file_name(name: str) -> str:
    """Gives a name as a file can have it: what had to be changed is told apart by a digest."""
    safe = re.sub(r"[^\w@.-]+", "-", name).strip(".-")[:MAX_NAME]
    if safe == name:
        return safe
    return f"{safe}-{blake2b(name.encode(), digest_size=4).hexdigest()}".lstrip("-")


def _sound(folder: Path, name: str, cut: ClipSpec) -> Path:
    return folder / f"truth-{cut.seconds:g}s" / f"{name}.wav"


def _picture(folder: Path, name: str) -> Path:
    return folder / "pictures" / f"{name}.png"


def _take(clip: Clip, *, cut: ClipSpec, folder: Path) -> None:
    """Write the audio and the image of a clip, unless they are there."""
    name = file_name(clip.id)
    sound, picture = _sound(folder, name, cut), _picture(folder, name)
    with ClipReader(clip) as reader:
        told = {"clip": clip.id, "content": reader.digest().hex(), "seconds": cut.seconds}
        told |= {"sample_rate": cut.sample_rate}
        before = level.read_description(sound)
        if before == told and (picture.is_file() or not cut.picture):
            return
        samples = torch.from_numpy(reader.audio(cut.sample_rate).samples.clip(-1, 1))
        middle = len(samples) / cut.sample_rate / 2
        image = next(reader.images([middle])) if cut.picture else None
    if before.get("content", told["content"]) != told["content"]:
        picture.unlink(missing_ok=True)  # of what the clip was before
    if image is not None:
        with written(picture) as temporary:
            image.save(temporary, format="PNG")
    if before != told:
        wanted = round(cut.seconds * cut.sample_rate)
        start = max(len(samples) - wanted, 0) // 2
        part = samples[start : start + wanted]
        level.write(sound, part, cut.sample_rate, told, overwrite=True)
