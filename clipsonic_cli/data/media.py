"""Read what a clip looks and sounds like: PyAV decodes, whatever the file is.

Time is the clip's own: 0 is ``clip.start`` after the earliest moment of video and audio. Every
failure is :class:`Unreadable`; ``MAX_SECONDS`` and :data:`MAX_PIXELS` bound the memory.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from functools import cached_property, partial
from hashlib import blake2b, file_digest
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from clipsonic_cli.data.audio import Audio, decode_audio
from clipsonic_cli.data.container import Container, Damage, duration_of, explained
from clipsonic_cli.data.files import IMAGES
from clipsonic_cli.data.orientation import display_matrix, square_pixels, upright
from clipsonic_cli.data.source import Unreadable, opened
from clipsonic_cli.data.timeline import MAX_SECONDS
from clipsonic_cli.images import FORMATS, to_rgb
from clipsonic_cli.types import Clip, Member

MAX_PIXELS = 64_000_000
ROUNDING = 0.001
"""Seconds by which a timestamp may be rounded; Matroska's are whole milliseconds."""


class Frame:
    """A frame of a video, converted to an image when that is first used."""

    def __init__(self, until: float, convert: Callable[[], Image.Image]) -> None:
        self.until = until
        """Second of the clip at which the next frame is seen, or the clip ends; 0 for a still."""
        self._convert = convert

    @cached_property
    def image(self) -> Image.Image:
        """The image: RGB, upright, with square pixels."""
        return self._convert()


class ClipReader(ExitStack):
    """Reads a clip's files in a ``with`` statement; each is opened once, when first needed."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip
        self._files: dict[Path | Member, BinaryIO] = {}
        self._containers: dict[Path | Member, Container] = {}

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for clips of equal content: files, start and length."""
        clip = self.clip
        hashed = blake2b(f"{clip.start} {clip.seconds}".encode(), digest_size=16)
        for media in (clip.media, clip.sound):
            if media is not None:
                file: Any = self._file(media)
                hashed.update(file_digest(file, lambda: blake2b(digest_size=16)).digest())
        return hashed.digest()

    def audio(self, sample_rate: int | None = None) -> Audio:
        """Decode the audio; see :func:`read_audio`."""
        clip = self.clip
        if clip.sound is None and is_image(clip.media):
            raise Unreadable(clip.id, "a still image without audio")
        container = self._container(clip.media if clip.sound is None else clip.sound)
        return decode_audio(clip, container, sample_rate)

    def frames(self, damage: Damage | None = None, since: float = 0.0) -> Iterator[Frame]:
        """Yield the frames in order, at least one, up to the end of the clip or an hour.

        Nothing else may be read from the same file meanwhile.

        Args:
            damage: Counts packets that cannot be decoded and are passed over.
            since: Seconds into the clip; frames that are seen only before may be left out.
        """
        clip = self.clip
        if is_image(clip.media):
            image = _read_still(clip, self._file(clip.media))
            yield Frame(0.0, lambda: image)
            return

        # Check the video stream.
        container = self._container(clip.media)
        number = self._video[0]
        stream = container.video(number)
        if stream.codec_context is None:
            raise Unreadable(clip.id, "its video is in a coding this program does not know")
        _check_pixels(clip, stream.codec_context.width, stream.codec_context.height)

        def convert(frame: Any) -> Image.Image:
            _check_pixels(clip, frame.width, frame.height)
            aspect = container.video(number).sample_aspect_ratio  # may become known while decoding
            return upright(square_pixels(frame.to_image(), aspect), display_matrix(frame))

        # Yield each frame when the next one, which ends it, is decoded.
        damage = Damage() if damage is None else damage
        begin = container.origin + Fraction(clip.start)
        limit = MAX_SECONDS if clip.seconds is None else min(clip.seconds, MAX_SECONDS)
        usual = 1 / stream.average_rate if stream.average_rate else Fraction(0)
        before, end = None, 0.0
        decoded = container.decode(stream, begin + Fraction(since), damage)
        for index, (frame, moment) in enumerate(decoded):
            at = float(index * usual if moment is None else moment - begin)
            if before is not None:
                yield Frame(min(at - ROUNDING, limit), partial(convert, before))
                if at >= limit:
                    return
            before, end = frame, at + float(duration_of(frame, stream))
        if before is None:
            why = damage.describe("video")
            raise Unreadable(clip.id, f"damaged: {why}" if why else "no image could be decoded")

        # The last frame ends by its own duration.
        yield Frame(min(end - ROUNDING, limit), partial(convert, before))

    def images(self, times: Iterable[float], damage: Damage | None = None) -> Iterator[Image.Image]:
        """Yield the image that is seen at each time; see :func:`read_frames`."""
        times = iter(times)
        first = time = next(times, None)
        if first is None:
            return
        for frame in self.frames(damage, since=first):
            while time is not None and time < frame.until:
                yield frame.image
                time = next(times, None)
            if time is None:
                return
        if time == first:  # the video ends before
            yield frame.image

    @property
    def video_note(self) -> str:
        """Which video stream is used and why, if it is not the first; else empty."""
        return "" if is_image(self.clip.media) else self._video[1]

    @cached_property
    def _video(self) -> tuple[int, str]:
        """The video stream to read, of several frames if possible, else a still; and the note."""
        container = self._container(self.clip.media)
        order = container.video_order()
        if not order:
            raise Unreadable(self.clip.id, "no image")
        best, most = order[0], 0
        for number in order if len(order) > 1 else ():
            stream = container.video(number)
            if stream.codec_context is None:
                continue
            frames = len(list(islice(container.decode(stream, container.origin, Damage()), 2)))
            if frames > most:
                best, most = number, frames
            if frames == 2:
                break
        if best == min(order):
            return best, ""
        note = f"video stream {best + 1} is used, as an earlier one is a still or cannot be decoded"
        return best, note

    def _file(self, media: Path | Member) -> BinaryIO:
        """Open one of the clip's files, unless it is open, and go to its beginning."""
        if media not in self._files:
            self._files[media] = self.enter_context(opened(self.clip, media))
        self._files[media].seek(0)
        return self._files[media]

    def _container(self, media: Path | Member) -> Container:
        if media not in self._containers:
            file = self._file(media)
            with explained(self.clip, "cut off, or no media this program reads"):
                self._containers[media] = Container(file)
            self.callback(self._containers[media].close)
            self.enter_context(explained(self.clip, "damaged"))
        return self._containers[media]


def read_audio(clip: Clip, sample_rate: int | None = None) -> Audio:
    """Read the audio of a clip as mono, in [-1, 1], which codecs and resampling exceed a little.

    Of several streams, that which players choose is read, unless it cannot be decoded or is silent
    throughout while another is not. If the channels cancel each other, the loudest one is used.
    Where the audio begins later than the video, or pauses, there are zeros.

    Args:
        clip: Its ``start`` and ``seconds`` are kept to the sample of the file's own rate.
        sample_rate: Hz wanted, resampled by soxr at high quality; None keeps the file's own.
    """
    with ClipReader(clip) as reader:
        return reader.audio(sample_rate)


def read_frames(
    clip: Clip, times: Iterable[float], damage: Damage | None = None
) -> Iterator[Image.Image]:
    """Yield the RGB image that is seen at each time until the video or clip ends; at least one.

    Args:
        clip: The clip; a still image is yielded once, whatever the times.
        times: Seconds into the clip, ascending; may be endless, such as :func:`every`.
        damage: Counts packets that cannot be decoded and are passed over.
    """
    with ClipReader(clip) as reader:
        yield from reader.images(times, damage)


def every(rate: float) -> Iterator[float]:
    """Yield the middles of segments of 1/rate seconds, endlessly: times for :func:`read_frames`.

    Source: 1 frame a second in CLIPSep (Dong et al. 2023), whose frame k shows second k - 0.5.
    """
    return ((k + 0.5) / rate for k in count())


def is_image(media: Path | Member) -> bool:
    """Return whether a file is a still image by its name; a GIF may move."""
    name = media.name if isinstance(media, Member) else str(media)
    suffix = Path(name).suffix.lower()
    return suffix in IMAGES and suffix != ".gif"


def _read_still(clip: Clip, file: BinaryIO) -> Image.Image:
    """Read an image file; every failure of PIL is an :class:`Unreadable`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            with Image.open(file, formats=FORMATS) as image:
                _check_pixels(clip, *image.size)
                return to_rgb(image)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable(clip.id, "no image this program reads") from None
    except Exception as error:  # a damaged file can make PIL's decoders raise nearly anything
        raise Unreadable(clip.id, f"a damaged image: {' '.join(str(error).split())}") from None


def _check_pixels(clip: Clip, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise Unreadable(clip.id, f"{width} x {height} pixels, allowed are {limit} million")
