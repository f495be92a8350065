"""The queries of an evaluation: test clips, each with sound and image, images, or common labels."""

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from clipsonic_cli.atomic import written
from clipsonic_cli.audio import level
from clipsonic_cli.data.listing import Listing, list_clips
from clipsonic_cli.data.media import ClipReader
from clipsonic_cli.data.prompts import prompt
from clipsonic_cli.data.query_sets import FoundImages
from clipsonic_cli.data.splits import SplitDraw, drawn, same_test_clips
from clipsonic_cli.data.workers import Failed, each
from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.text import digest
from clipsonic_cli.types import Clip, Report, Split, silent

COMMON = (
    *("violin", "piano", "dog", "cat", "flute", "drum kit", "rooster", "acoustic guitar"),
    *("cow", "trumpet", "sea waves", "helicopter", "frog", "xylophone", "applause", "bell"),
)
"""Labels where there is no data set; all are among the embedded model's."""
MAX_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class TestItem:
    """Text and image query of a test clip, and its ground-truth sound."""

    name: str
    """Name of the files, the same for every system."""
    seed: int
    """Seed of the noise, the same for every system."""
    label: str | None
    sound: Path | None = None
    """None without a clip."""
    image: Path | None = None
    """The frame in the middle, where it was requested; an image itself, of a set of images."""

    @property
    def is_taken(self) -> bool:
        """Whether its files are there."""
        return all(path is None or path.is_file() for path in (self.sound, self.image))

    @property
    def text(self) -> str | None:
        """The prompt for CLIP."""
        return None if self.label is None else prompt(self.label, "clip-text")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSpec:
    """What is taken from each clip."""

    seconds: float
    """Most of its sound, around the middle."""
    sample_rate: int
    image: bool
    """Whether the middle frame is taken too."""


def common_items(count: int, *, seed: int) -> list[TestItem]:
    """Return queries that need no data: :data:`COMMON` in turn, each with its own seed."""
    labels = [COMMON[number % len(COMMON)] for number in range(count)]
    return [
        TestItem(name=f"{number:04d}-{file_name(label)}", seed=seed + number, label=label)
        for number, label in enumerate(labels)
    ]


def image_items(found: FoundImages, count: int, *, seed: int) -> list[TestItem]:
    """Return queries of a set of images, each of image and label, in the order they are drawn.

    The first are the same whatever their number, as of :func:`draw_clips`.
    """
    order = sorted(found.images, key=lambda name: (drawn(name, f"{seed} eval"), name))
    return [
        TestItem(
            name=file_name(name),
            seed=_noise_seed(name, seed),
            label=found.images[name].label,
            image=found.images[name].path,
        )
        for name in order[:count]
    ]


def draw_clips(
    source: str,
    *,
    format: str | None,  # noqa: A002 - as read_clips has it
    split: Split,
    splits: SplitDraw,
    seed: int,
) -> Listing:
    """List the clips of a split in the order in which they are drawn.

    The first clips are the same whatever their number, so that sounds made from them can be used
    again. ``splits`` is how the training drew splits (:func:`splits_of`).

    Raises:
        UsageError: There are no such data, or none in the split.
    """
    listing = list_clips(source, format=format, splits=splits)
    clips = listing.clips
    in_split = [clip for clip in clips if clip.split == split]
    if not in_split:
        counts = Counter(clip.split for clip in clips)
        present = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise UsageError(
            f"'{source}' has no clips in the split '{split}'; it has {present}: give another "
            "`split`."
        )
    order = sorted(in_split, key=lambda clip: (drawn(clip.id, f"{seed} eval"), clip.id))
    return replace(listing, clips=order)


def splits_of(headers: Mapping[str, Header], seed: int | None) -> tuple[SplitDraw, str | None]:
    """Return how the training of a model drew splits, and a note if its parts disagree.

    Args:
        headers: Headers of the parts that are evaluated; the first that says how decides. Others,
            such as of 0.1.0, were trained with the defaults.
        seed: Seed to use instead of the model's.

    Raises:
        BadBundle: A part says what is impossible.
    """
    found: dict[str, tuple[object, SplitDraw]] = {}
    for name, header in headers.items():
        data = header.meta.get("data")
        if isinstance(data, dict) and data.get("drawn") is not None:
            try:
                found[name] = data.get("name"), from_dict(SplitDraw, data["drawn"], "drawn")
            except (ValueError, UsageError) as error:
                raise BadBundle(f"The {name} is damaged: of its splits {error}") from None
    if not found:
        return SplitDraw(seed=seed or 0), None
    (first, (data_name, splits)), *others = found.items()
    odd = [
        name
        for name, (theirs, draw) in others
        if theirs == data_name and not same_test_clips(asdict(draw), asdict(splits))
    ]
    note = (
        f"{first} and {', '.join(odd)} were trained on different splits of '{data_name}': some of "
        "these clips may have been trained on"
    )
    return splits if seed is None else replace(splits, seed=seed), note if odd else None


def take(
    clips: Sequence[Clip],
    count: int,
    spec: ClipSpec,
    folder: Path,
    *,
    seed: int,
    workers: int,
    report: Report = silent,
) -> tuple[list[TestItem], dict[str, str]]:
    """Take sound and image of the first clips that have them; files that are there are kept.

    Args:
        clips: In the order in which they are drawn.
        count: How many are wanted.
        spec: What is taken.
        folder: A sound there states the bytes it was cut from, and is cut again if they change.
        seed: Gives each item a seed of its own.
        workers: Processes that decode; 0 is this one.
        report: Receives ("clips", done, count).

    Returns:
        As many items as there are, and why clips were passed over, by id.

    Raises:
        UsageError: Not one clip can be used.
    """
    for place in (_sound_path(folder, "", spec), _image_path(folder, "")):
        place.parent.mkdir(parents=True, exist_ok=True)
    items: list[TestItem] = []
    faults: dict[str, str] = {}
    waiting = iter(clips)
    while len(items) < count and (batch := list(islice(waiting, count - len(items)))):
        decode = functools.partial(_take, spec=spec, folder=folder)
        for clip, fault in each(decode, batch, workers=workers):
            if isinstance(fault, Failed):
                faults[clip.id] = fault.reason
                continue
            items.append(item_of(clip, spec, folder, seed=seed))
            report("clips", len(items), count)
    report("clips", len(items), len(items))
    if not items:
        raise UsageError(f"No clip can be used. {next(iter(faults.values()))}")
    return items, faults


def item_of(clip: Clip, spec: ClipSpec, folder: Path, *, seed: int) -> TestItem:
    """Return the queries of a clip, whose files :func:`take` writes."""
    name = file_name(clip.id)
    return TestItem(
        name=name,
        seed=_noise_seed(clip.id, seed),
        label=clip.label,
        sound=_sound_path(folder, name, spec),
        image=_image_path(folder, name) if spec.image else None,
    )


def _noise_seed(name: str, seed: int) -> int:
    """Return the seed of the noise of a query."""
    return int(drawn(name, f"{seed} noise") * 2**53)


def file_name(name: str) -> str:
    """Return a name that a file can have; a digest keeps changed names apart."""
    safe = re.sub(r"[^\w@.-]+", "-", name).strip(".-")[:MAX_NAME]
    if safe == name:
        return safe
    return f"{safe}-{digest(name, 4)}".lstrip("-")


def _sound_path(folder: Path, name: str, spec: ClipSpec) -> Path:
    return folder / f"truth-{spec.seconds:g}s" / f"{name}.wav"


def _image_path(folder: Path, name: str) -> Path:
    return folder / "pictures" / f"{name}.png"


def _take(clip: Clip, *, spec: ClipSpec, folder: Path) -> None:
    """Write the sound and the image of a clip, unless they are there."""
    name = file_name(clip.id)
    sound, image_path = _sound_path(folder, name, spec), _image_path(folder, name)
    with ClipReader(clip) as reader:
        description = {
            "clip": clip.id,
            "content": reader.digest().hex(),
            "seconds": spec.seconds,
            "sample_rate": spec.sample_rate,
        }
        before = level.read_description(sound)
        if before == description and (image_path.is_file() or not spec.image):
            return
        samples = torch.from_numpy(reader.audio(spec.sample_rate).samples.clip(-1, 1))
        middle = len(samples) / spec.sample_rate / 2
        image = next(reader.images([middle])) if spec.image else None
    if before.get("content", description["content"]) != description["content"]:
        image_path.unlink(missing_ok=True)  # the clip has changed
    if image is not None:
        with written(image_path) as temporary:
            image.save(temporary, format="PNG")
    if before != description:
        wanted = round(spec.seconds * spec.sample_rate)
        start = max(len(samples) - wanted, 0) // 2
        part = samples[start : start + wanted]
        level.write(sound, part, spec.sample_rate, description, overwrite=True)
