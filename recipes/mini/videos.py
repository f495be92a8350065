"""The data set once more, as the videos people have: a moving picture of each sound's label.

    python recipes/mini/videos.py --out runs/mini [--limit N] [--repeat N]

Needs what ``data.py`` made. Every video that is there is skipped. Writes:

    OUT/videos/SPLIT/LABEL/ID.mp4   H.264 and FLAC, so that the sound is the clip's to the sample
    OUT/videos.jsonl                the same as a list, with label and split
    OUT/held-out.jsonl              the test clips that show a test picture, three versions of each,
                                    made in OUT/held-out

``clipsonic train --data OUT/videos.jsonl`` keeps the split train | valid | test. ``--data
OUT/videos/train`` is a plain folder of videos that says nothing but a label, and holds no test
sound; the list is next to the folders, as one inside would be taken for the data set's.

A clip of train or valid shows a training picture, one of test a test picture, or a training
picture where its label has no other. Labels without pictures are left out. Which picture is shown,
and how the view moves over it, follow from the clip's id, so that the set never changes. ``--limit
N`` takes the first N clips, spread over the labels; ``--repeat N`` makes N versions of each, with
other pictures or views, and other levels. The list has them in this order, so that its first lines
are a smaller set of the same kind; it lists the videos of the latest call.
"""

import argparse
import json
import math
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageOps
from steps import need

from clipsonic_cli.data.workers import Failed, each

SIDE, FPS = 256, 10
TOLD_EVERY = 200
HELD_OUT_VERSIONS = 3
"""Versions of each test clip that shows a test picture, so that there are over 300."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Video:
    """A video to be made.

    Args:
        name: The clip's id, and the version where it is not the first: the seed of all draws.
        sound: The clip's file.
        picture: The picture's file.
        path: Where the video goes.
        label: What the clip sounds like and shows.
        split: The clip's.
        substitute: Whether a test clip shows a training picture.
        again: Whether it is not the first version of its clip.
    """

    name: str
    sound: Path
    picture: Path
    path: Path
    label: str
    split: str
    substitute: bool
    again: bool


def main() -> None:
    """Write the videos and their list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--limit", type=natural, help="only the first N clips")
    parser.add_argument("--repeat", type=natural, default=1, help="versions of each clip")
    arguments = parser.parse_args()
    out: Path = arguments.out

    began = time.monotonic()
    clips = read_lines(need(out / "data", "clips.jsonl", "data.py"))
    pictures = read_lines(need(out / "data", "pictures.jsonl", "data.py"))
    seen = {row["label"] for row in pictures}
    unseen = sorted({row["label"] for row in clips} - seen)
    shown = spread([row for row in clips if row["label"] in seen])[: arguments.limit]
    videos = list(plan(shown, pictures, out, arguments.repeat))
    made = make(videos)
    write_list(videos, out / "videos.jsonl")
    held_out = held_out_videos(shown, pictures, out)
    make(held_out)
    write_list(held_out, out / "held-out.jsonl")

    size = sum(video.path.stat().st_size for video in videos) / 1e6
    substitutes = sum(video.substitute for video in videos)
    without = sum(row["label"] in unseen for row in clips)
    print(
        f"videos: {len(videos)} of {len({video.label for video in videos})} labels, {made} of them "
        f"made now in {time.monotonic() - began:.0f} s, {size:.0f} MB; {substitutes} of test show "
        f"a training picture; {without} clips of {len(unseen)} labels left out, as there is no "
        f"picture: {', '.join(unseen) or 'none'}; {len(held_out)} of "
        f"{len({video.label for video in held_out})} labels show a held-out picture"
    )


def natural(text: str) -> int:
    """Read a number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file; ``material.read_lines`` would bring PyTorch."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def spread(clips: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Orders clips so that the first hold each label about as often, and each split as all do."""
    by_label: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: random.Random(clip["id"]).random()):
        by_label[clip["label"]].append(clip)
    ranked = [(rank, clip) for rows in by_label.values() for rank, clip in enumerate(rows)]
    return [clip for _, clip in sorted(ranked, key=lambda pair: (pair[0], pair[1]["label"]))]


def plan(
    clips: Sequence[dict[str, Any]], pictures: Sequence[dict[str, Any]], out: Path, repeat: int
) -> Iterator[Video]:
    """Pairs clips with pictures.

    Args:
        clips: Rows of ``clips.jsonl``, of labels that have a picture.
        pictures: Rows of ``pictures.jsonl``.
        out: The recipe's folder.
        repeat: Versions of each clip; as many have different pictures as there are.

    Yields:
        The first version of every clip, then the second.
    """
    shelf: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for row in pictures:
        shelf[row["label"], row["split"]].append(out / "data" / row["path"])
    for version in range(repeat):
        for clip in clips:
            label, split = clip["label"], clip["split"]
            own = shelf[label, "test"] if split == "test" else shelf[label, "train"]
            choice = own or shelf[label, "train"]
            first = random.Random(clip["id"]).randrange(len(choice))
            ending = f"-{version}" if version else ""
            stem = clip["id"].rpartition("/")[2]
            yield Video(
                name=clip["id"] + ending,
                sound=out / "data" / clip["path"],
                picture=choice[(first + version) % len(choice)],
                path=out / "videos" / split / label / f"{stem}{ending}.mp4",
                label=label,
                split=split,
                substitute=split == "test" and not own,
                again=version > 0,
            )


def held_out_videos(
    clips: Sequence[dict[str, Any]], pictures: Sequence[dict[str, Any]], out: Path
) -> list[Video]:
    """Return several versions of each test clip of a label that has a test picture."""
    labels = {row["label"] for row in pictures if row["split"] == "test"}
    shown = [row for row in clips if row["split"] == "test" and row["label"] in labels]
    videos = plan(shown, pictures, out, HELD_OUT_VERSIONS)
    root = out / "held-out"
    return [replace(row, path=root / row.label / row.path.name) for row in videos]


def make(videos: Sequence[Video]) -> int:
    """Make the videos that are not there, side by side, and report how many.

    Raises:
        SystemExit: One cannot be made; says which and why. Those made before stay.
    """
    missing = [video for video in videos if not video.path.exists()]
    for folder in {video.path.parent for video in missing}:
        folder.mkdir(parents=True, exist_ok=True)
    for done, (video, result) in enumerate(each(write, missing, workers=os.cpu_count() or 1), 1):
        if isinstance(result, Failed):
            sys.exit(f"{video.name} cannot be made a video: {result.reason}")
        if done % TOLD_EVERY == 0:
            print(f"videos: {done} of {len(missing)}", flush=True)
    return len(missing)


def write(video: Video) -> Path:
    """Make a video under a temporary name, rename it, and return its path."""
    samples, rate = soundfile.read(video.sound, dtype="int16")
    if video.again:
        level = random.Random(f"{video.name} level").uniform(0.5, 1.0)
        samples = np.round(samples * level).astype(np.int16)
    with Image.open(video.picture) as image:
        frames = moving(image.convert("RGB"), math.ceil(len(samples) / rate * FPS), video.name)
    temporary = video.path.with_name(f".{video.path.stem}.part")
    with av.open(str(temporary), "w", format="mp4") as file:
        mux(file, frames, samples, rate)
    return temporary.replace(video.path)


def moving(picture: Image.Image, count: int, name: str) -> list[Image.Image]:
    """Move a view over a picture, nearer or further and to a side, at a steady pace.

    Args:
        picture: RGB, of any size, on white.
        count: Frames, two or more.
        name: Seed of the movement.

    Returns:
        ``count`` frames of :data:`SIDE` pixels square, the first or the last of nearly all of it.
    """
    chance = random.Random(name)
    longest = max(picture.size)
    canvas = ImageOps.pad(picture, (longest, longest), color="white")
    if chance.random() < 0.5:
        canvas = ImageOps.mirror(canvas)
    ends = [_view(chance, chance.uniform(0.9, 1.1)), _view(chance, chance.uniform(0.55, 0.7))]
    if chance.random() < 0.5:
        ends.reverse()
    frames = []
    for number in range(count):
        part = number / (count - 1)
        box = tuple(longest * (a + part * (b - a)) for a, b in zip(*ends, strict=True))
        frames.append(
            canvas.transform(
                (SIDE, SIDE),
                Image.Transform.EXTENT,
                box,
                Image.Resampling.BILINEAR,
                fillcolor="white",
            )
        )
    return frames


def _view(chance: random.Random, side: float) -> Box:
    """Return the edges of a square view, left, top, right and bottom, of a picture of side 1."""
    left, top = (0.5 - side / 2 + chance.uniform(-0.1, 0.1) for _ in range(2))
    return left, top, left + side, top + side


def mux(
    file: av.container.OutputContainer,
    frames: Sequence[Image.Image],
    samples: NDArray[np.int16],
    rate: int,
) -> None:
    """Write picture and sound (N,) into an open file, both from its first moment on."""
    video = file.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
    video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
    video.codec_context.thread_count = 1  # videos are made side by side, and always the same
    audio = file.add_stream("flac", rate=rate, layout="mono")
    for number, image in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
        picture.pts, picture.time_base = number, Fraction(1, FPS)
        file.mux(video.encode(picture))
    file.mux(video.encode())
    sound = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    sound.sample_rate, sound.pts, sound.time_base = rate, 0, Fraction(1, rate)
    size = audio.codec_context.frame_size
    cut = av.AudioResampler("s16", "mono", rate, frame_size=size)
    for piece in [*cut.resample(sound), *cut.resample(None)]:
        file.mux(audio.encode(piece))
    file.mux(audio.encode())


def write_list(videos: Sequence[Video], path: Path) -> None:
    """Write the videos as a list for ``clipsonic train``, whole or not at all."""
    lines = [
        {
            "media": video.path.relative_to(path.parent).as_posix(),
            "label": video.label,
            "split": video.split,
        }
        for video in videos
    ]
    temporary = path.with_suffix(".part")
    temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
