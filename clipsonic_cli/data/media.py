"""What a clip looks and sounds like: PyAV decodes, whatever the file is.

Time is the clip's own: 0 is ``clip.start`` after the earliest moment of picture and sound, so that
both stay together. Only the containers of :data:`CONTAINERS` are opened: a playlist would name
other files and hosts. Every failure is :class:`Unreadable` with its reason, memory is bounded by
``MAX_SECONDS`` and :data:`MAX_PIXELS`, and FFmpeg logs nothing.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from clipsonic_cli.data.files import PICTURES
from clipsonic_cli.data.source import Unreadable, opened
from clipsonic_cli.data.timeline import MAX_SECONDS, Timeline, too_long
from clipsonic_cli.encoders.images import FORMATS, to_rgb
from clipsonic_cli.types import Clip, Member

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpeg,mpegts,ogg,gif,"
    "wav,w64,flac,mp3,aac,aiff,au,caf"
)
MAX_PIXELS = 64_000_000
MAX_RATE = 768_000
MANY_CHANNELS = 8
"""In as many planes as this, PyAV 18 reads beyond the last and may crash the process."""
PREROLL = 1.0
"""Seconds decoded before a start that was jumped to, which codecs need to be exact from there."""
INDEXED = ("mov", "matroska", "wav")
"""Containers in which a jump lands where it says."""
CUT_OFF = 0.5
"""Seconds by which sound may end before its stated end."""
ROUNDING = 0.001
"""Seconds; Matroska's timestamps are whole milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What the headers say, None for what is not there or not said.

    Args:
        seconds: Length of the whole file.
        width: In pixels, before any rotation.
        height: In pixels.
        fps: Frames a second, on average.
        sample_rate: Of the sound, in Hz.
        channels: Of the sound.
    """

    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    sample_rate: int | None = None
    channels: int | None = None


def probe(clip: Clip) -> Probe:
    """Gives what the headers of a clip's files say; nothing is decoded.

    Raises:
        Unreadable: They cannot be read.
    """
    said: dict[str, Any] = {}
    if is_picture(clip.media):
        with _picture(clip) as image:
            said |= {"width": image.width, "height": image.height}
    else:
        with _container(clip, clip.media) as container:
            said |= _seconds(container) | _sound_said(container)
            if (stream := _video_stream(container)) is not None:
                said |= {"width": stream.codec_context.width, "height": stream.codec_context.height}
                said["fps"] = float(stream.average_rate) if stream.average_rate else None
    if clip.sound is not None:
        with _container(clip, clip.sound) as container:
            said |= _seconds(container) | _sound_said(container)
    return Probe(**said)


def read_sound(clip: Clip, sample_rate: int) -> NDArray[np.float32]:
    """Gives the sound of a clip as mono.

    Args:
        clip: Its ``start`` and ``seconds`` are kept to the sample of the file's own rate.
        sample_rate: Hz wanted; soxr resamples at its high quality.

    Returns:
        (N,) float32, finite, the mean of the channels, in [-1, 1] up to what codecs and resampling
        overshoot; N is ``seconds * sample_rate``, or less where the sound ends before. Where it
        begins after the picture, or pauses, there are zeros.

    Raises:
        Unreadable: There is no sound, or none in the clip; it is damaged, cut off, or longer than
            an hour.
    """
    media = clip.media if clip.sound is None else clip.sound
    if clip.sound is None and is_picture(media):
        raise Unreadable(clip.id, "a still picture without sound")
    with _container(clip, media) as container:
        stream = container.streams.best("audio")
        if stream is None:
            raise Unreadable(clip.id, "no sound")
        context: Any = stream.codec_context
        if context is None or not 0 < context.sample_rate <= MAX_RATE:
            raise Unreadable(clip.id, "its sound is in a coding this program does not know")
        rate = context.sample_rate
        begin = _origin(container) + Fraction(clip.start)
        stated = _stated_end(container, stream, begin)
        _check_length(clip, stated)
        limits = [limit for limit in (clip.seconds, stated) if limit is not None]
        timeline = Timeline(clip, rate, sample_rate, min(limits, default=None))
        packed = av.AudioResampler("flt")
        for frame in _decoded(container, stream, begin):
            at = None if frame.pts is None else frame.pts * frame.time_base - begin
            if not timeline.put(_mono(clip, frame, rate, packed), at):
                break
        if stated is not None and timeline.seconds < min(stated, clip.seconds or stated) - CUT_OFF:
            raise Unreadable(
                clip.id, f"cut off: the sound ends after {timeline.seconds:.1f} of {stated:.1f} s"
            )
        return timeline.samples()


def read_frames(clip: Clip, times: Iterable[float]) -> Iterator[Image.Image]:
    """Gives the pictures that are seen at some moments of a clip.

    Args:
        clip: Any; a still picture is given once, whatever the times.
        times: Seconds into the clip, ascending; may be endless, such as :func:`every`.

    Yields:
        An RGB picture for each time, upright and with square pixels, until the video or the clip
        ends; at least one. The same object for times that show the same frame.

    Raises:
        Unreadable: There is no picture; or it is damaged, longer than an hour, or over 64
            megapixels.
    """
    if is_picture(clip.media):
        with _picture(clip) as image:
            upright = to_rgb(image)
        yield upright
        return
    with _container(clip, clip.media) as container:
        stream = _video_stream(container)
        if stream is None:
            raise Unreadable(clip.id, "no picture")
        if stream.codec_context is None:
            raise Unreadable(clip.id, "its picture is in a coding this program does not know")
        _check_pixels(clip, stream.codec_context.width, stream.codec_context.height)
        stream.codec_context.thread_count = 1  # clips are decoded side by side, not frames
        yield from _shown(clip, container, stream, iter(times))


def every(rate: float) -> Iterator[float]:
    """Gives the middles of pieces of 1/rate seconds, without end: times for :func:`read_frames`.

    Source: 1 frame a second in CLIPSep (Dong et al. 2023), whose frame k shows second k - 0.5.
    """
    return ((k + 0.5) / rate for k in count())


def is_picture(media: Path | Member) -> bool:
    """Whether a file is a still picture by its name; a GIF may move."""
    name = media.name if isinstance(media, Member) else str(media)
    suffix = Path(name).suffix.lower()
    return suffix in PICTURES and suffix != ".gif"


@contextmanager
def _container(clip: Clip, media: Path | Member) -> Iterator[InputContainer]:
    """Opens a file for decoding, and gives every failure of FFmpeg in one line."""
    with opened(clip, media) as file:
        known = False
        try:
            options = {"format_whitelist": CONTAINERS}
            with av.open(file, "r", options=options, metadata_errors="replace") as container:
                known = True
                yield container
        except MemoryError:
            raise Unreadable(clip.id, "needs too much memory") from None
        except av.FFmpegError as error:
            what = "damaged" if known else "cut off, or no media this program reads"
            reason = (error.strerror or str(error)).lower()
            raise Unreadable(clip.id, f"{what}: {reason}") from None


@contextmanager
def _picture(clip: Clip) -> Iterator[Image.Image]:
    """Opens a still picture, and gives every failure of PIL in one line."""
    try:
        with opened(clip, clip.media) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            with Image.open(file, formats=FORMATS) as image:
                _check_pixels(clip, *image.size)
                yield image
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable(clip.id, "no picture this program reads") from None
    except Exception as error:  # a damaged file can make PIL's decoders raise nearly anything
        raise Unreadable(clip.id, f"a damaged picture: {' '.join(str(error).split())}") from None


def _shown(
    clip: Clip, container: InputContainer, stream: Any, times: Iterator[float]
) -> Iterator[Image.Image]:
    wanted = next(times, None)
    if wanted is None:
        return
    begin = _origin(container) + Fraction(clip.start)
    limit = MAX_SECONDS if clip.seconds is None else clip.seconds
    shown, image, given = None, None, 0
    end = 0.0
    usual = 1 / stream.average_rate if stream.average_rate else Fraction(0)
    for index, frame in enumerate(_decoded(container, stream, begin + Fraction(wanted))):
        base = frame.time_base or stream.time_base
        at = float(index * usual if frame.pts is None else frame.pts * base - begin)
        while shown is not None and wanted is not None and wanted < min(at - ROUNDING, limit):
            image = image or _upright(clip, shown, stream)
            yield image
            given, wanted = given + 1, next(times, None)
        if wanted is None or (wanted >= limit and given):
            return
        if at > MAX_SECONDS and shown is not None:
            raise Unreadable(clip.id, too_long())
        shown, image = frame, None
        end = at + float(frame.duration * base if frame.duration else usual)
    if shown is None:
        raise Unreadable(clip.id, "no picture could be decoded")
    while wanted is not None and (not given or wanted < min(end - ROUNDING, limit)):
        image = image or _upright(clip, shown, stream)
        yield image
        given, wanted = given + 1, next(times, None)


def _decoded(container: InputContainer, stream: Any, begin: Fraction) -> Iterator[Any]:
    """Gives frames from a moment of the file on, or from some time before it."""
    if begin - _origin(container) > 2 * PREROLL and container.format.name.startswith(INDEXED):
        container.seek(int((begin - Fraction(PREROLL)) / stream.time_base), stream=stream)
        frames = container.decode(stream)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts * first.time_base <= begin:
            yield first
            yield from frames
            return
        container.seek(0)
    yield from container.decode(stream)


def _mono(clip: Clip, frame: Any, rate: int, packed: av.AudioResampler) -> NDArray[np.float32]:
    """Gives the mean of a frame's channels, (N,) in [-1, 1]."""
    if frame.sample_rate != rate:
        raise Unreadable(clip.id, f"its sample rate changes from {rate} to {frame.sample_rate}")
    if frame.format.is_planar and frame.layout.nb_channels >= MANY_CHANNELS:
        [frame] = packed.resample(frame)
    values: NDArray[Any] = frame.to_ndarray()  # (C, N), or (1, N * C) where channels alternate
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    mean: NDArray[np.float64] = values.mean(axis=0, dtype=np.float64)
    if values.dtype == np.uint8:
        mean = (mean - 128) / 128
    elif values.dtype.kind == "i":
        mean = mean / -float(np.iinfo(values.dtype).min)
    return mean.astype(np.float32)


def _upright(clip: Clip, frame: Any, stream: Any) -> Image.Image:
    """Gives a decoded frame in RGB as a player shows it."""
    _check_pixels(clip, frame.width, frame.height)
    image: Image.Image = frame.to_image()
    aspect = stream.sample_aspect_ratio
    if aspect and aspect != 1 and 0.1 < aspect < 10:  # pixels that are not square
        image = image.resize((max(1, round(image.width * aspect)), image.height))
    if rotation := round(frame.rotation):
        image = image.rotate(rotation, expand=True)
    return image


def _video_stream(container: InputContainer) -> Any:
    """Gives the first video; the cover of an album is none."""
    streams = container.streams.video
    return next((s for s in streams if not s.disposition & Disposition.attached_pic), None)


def _origin(container: InputContainer) -> Fraction:
    """Gives the earliest moment of the file in seconds."""
    return Fraction(container.start_time or 0, av.time_base)


def _stated_end(container: InputContainer, stream: Any, begin: Fraction) -> float | None:
    """Gives where the sound ends, in seconds of the clip, where the container knows exactly.

    It matters: the last frames of a codec are padded.
    """
    if not container.format.name.startswith("mov") or not stream.duration:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base - begin)


def _check_length(clip: Clip, stated: float | None) -> None:
    if stated is not None and stated <= 0:
        raise Unreadable(clip.id, "the sound ends before the clip begins")
    if min(clip.seconds or np.inf, stated or 0) > MAX_SECONDS:
        raise Unreadable(clip.id, too_long())


def _check_pixels(clip: Clip, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 1_000_000} million"
        raise Unreadable(clip.id, f"{width} x {height} pixels, allowed are {limit}")


def _seconds(container: InputContainer) -> dict[str, float]:
    return {"seconds": container.duration / av.time_base} if container.duration else {}


def _sound_said(container: InputContainer) -> dict[str, int]:
    stream = container.streams.best("audio")
    if stream is None or stream.codec_context is None:
        return {}
    context: Any = stream.codec_context
    return {"sample_rate": context.sample_rate, "channels": context.layout.nb_channels}
