"""What a clip looks and sounds like: PyAV decodes, whatever the file is.

Time is the clip's own: 0 is ``clip.start`` after the earliest moment of picture and sound, so that
both stay together. Every failure is :class:`Unreadable` with its reason, and memory is bounded by
``MAX_SECONDS`` and :data:`MAX_PIXELS`.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import count, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from av.container import InputContainer
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from clipsonic_cli.audio.downmix import SILENCE_DB, Downmix, decibels
from clipsonic_cli.data.container import (
    Damage,
    audio_order,
    container_of,
    decoded,
    has_more,
    origin,
    video_order,
)
from clipsonic_cli.data.files import PICTURES
from clipsonic_cli.data.orientation import display_matrix, square_pixels, upright
from clipsonic_cli.data.source import Unreadable, opened
from clipsonic_cli.data.timeline import MAX_SECONDS, Timeline, too_long
from clipsonic_cli.images import FORMATS, to_rgb
from clipsonic_cli.types import Clip, Member

MAX_PIXELS = 64_000_000
MAX_RATE = 768_000
MANY_CHANNELS = 8
"""In as many planes as this, PyAV 18 reads beyond the last and may crash the process."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Decoded audio.

    Args:
        samples: (N,) float32, mono, finite.
        sample_rate: In Hz.
        damage: What of it could not be decoded, or nothing.
        cut: Whether the file is shorter than its header says; a clip that is cut is not read.
        notes: What a person may want to know of how it was read.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    damage: str = ""
    cut: bool = False
    notes: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether its level is under :data:`SILENCE_DB`."""
        return decibels(self.samples) < SILENCE_DB


def probe(clip: Clip) -> Probe:
    """Return what the headers of a clip's files say; nothing is decoded.

    Raises:
        Unreadable: They cannot be read.
    """
    said: dict[str, Any] = {}
    if is_picture(clip.media):
        with _picture(clip) as image:
            said |= {"width": image.width, "height": image.height}
    else:
        with container_of(clip, clip.media) as container:
            said |= _seconds(container) | _audio_header(container)
            if order := video_order(container):
                stream = container.streams.video[order[0]]
                context = stream.codec_context
                if context is not None:
                    said |= {"width": context.width, "height": context.height}
                said["fps"] = float(stream.average_rate) if stream.average_rate else None
    if clip.sound is not None:
        with container_of(clip, clip.sound) as container:
            said |= _seconds(container) | _audio_header(container)
    return Probe(**said)


def read_sound(clip: Clip, sample_rate: int) -> NDArray[np.float32]:
    """Return the samples of :func:`read_audio`, (N,) float32."""
    return read_audio(clip, sample_rate).samples


def read_audio(clip: Clip, sample_rate: int | None = None) -> Audio:
    """Read the audio of a clip as mono.

    Of several streams the one that a player takes is read, unless it cannot be decoded or is silent
    throughout while another is not. Where the channels cancel each other, the loudest is used.

    Args:
        clip: Its ``start`` and ``seconds`` are kept to the sample of the file's own rate.
        sample_rate: Hz wanted, by soxr at its high quality; None keeps the file's own.

    Returns:
        Samples in [-1, 1] up to what codecs and resampling overshoot; N is ``seconds *
        sample_rate``, or less where the audio ends before. Where it begins after the picture, or
        pauses, there are zeros.

    Raises:
        Unreadable: There is no audio, or none in the clip; it is damaged, cut off, or longer than
            an hour.
    """
    media = clip.media if clip.sound is None else clip.sound
    if clip.sound is None and is_picture(media):
        raise Unreadable(clip.id, "a still picture without sound")
    with container_of(clip, media) as container:
        order = audio_order(container)
    if not order:
        raise Unreadable(clip.id, "no sound")
    quiet: Audio | None = None
    failure: Unreadable | None = None
    for number in order:
        try:
            audio = _read_stream(clip, media, number, sample_rate)
            if audio.silent and number != order[-1] and not _is_audible(clip, media, number):
                quiet = quiet or audio
                continue
        except Unreadable as error:
            failure = failure or error
            continue
        if number != order[0] and not (audio.silent and quiet):
            why = f"the first {'cannot be decoded' if failure else 'is silent'}"
            note = f"audio stream {order.index(number) + 1} of {len(order)} is used, as {why}"
            return replace(audio, notes=(note, *audio.notes))
        return quiet or audio
    if quiet is not None:
        return quiet
    assert failure is not None  # a stream was read, was quiet, or failed
    raise failure


def read_frames(
    clip: Clip, times: Iterable[float], damage: Damage | None = None
) -> Iterator[Image.Image]:
    """Yield the pictures that are seen at some moments of a clip.

    Args:
        clip: Any; a still picture is given once, whatever the times.
        times: Seconds into the clip, ascending; may be endless, such as :func:`every`.
        damage: Counts packets that cannot be decoded and are passed over.

    Yields:
        An RGB picture for each time, upright and with square pixels, until the video or the clip
        ends; at least one. The same object for times that show the same frame.

    Raises:
        Unreadable: There is no picture; or it is damaged, longer than an hour, or over 64
            megapixels.
    """
    if is_picture(clip.media):
        with _picture(clip) as image:
            shown = to_rgb(image)
        yield shown
        return
    number, _ = choose_video(clip)
    with container_of(clip, clip.media) as container:
        stream = container.streams.video[number]
        if stream.codec_context is None:
            raise Unreadable(clip.id, "its picture is in a coding this program does not know")
        _check_pixels(clip, stream.codec_context.width, stream.codec_context.height)
        stream.codec_context.thread_count = 1  # clips are decoded side by side, not frames
        yield from _shown(clip, container, stream, iter(times), damage or Damage())


@lru_cache(maxsize=4)
def choose_video(clip: Clip) -> tuple[int, str]:
    """Return the number of the video stream that is the film, and a note where it is not the first.

    A stream that cannot be decoded or has a single frame gives way to one that has more.

    Raises:
        Unreadable: There is no picture.
    """
    with container_of(clip, clip.media) as container:
        order = video_order(container)
    if not order:
        raise Unreadable(clip.id, "no picture")
    if len(order) == 1:
        return order[0], ""
    counts = {}
    for number in order:
        with container_of(clip, clip.media) as container:
            stream = container.streams.video[number]
            counts[number] = 0
            if stream.codec_context is not None:
                frames = decoded(container, stream, origin(container), Damage())
                counts[number] = len(list(islice(frames, 2)))
        if counts[number] == 2:
            break
    best = max(counts, key=lambda number: (counts[number], -order.index(number)))
    if best == min(order):
        return best, ""
    note = f"video stream {best + 1} is used, as an earlier one is a still or cannot be decoded"
    return best, note


def every(rate: float) -> Iterator[float]:
    """Yield the middles of pieces of 1/rate seconds, without end: times for :func:`read_frames`.

    Source: 1 frame a second in CLIPSep (Dong et al. 2023), whose frame k shows second k - 0.5.
    """
    return ((k + 0.5) / rate for k in count())


def is_picture(media: Path | Member) -> bool:
    """Return whether a file is a still picture by its name; a GIF may move."""
    name = media.name if isinstance(media, Member) else str(media)
    suffix = Path(name).suffix.lower()
    return suffix in PICTURES and suffix != ".gif"


@contextmanager
def _picture(clip: Clip) -> Iterator[Image.Image]:
    """Open a still picture, and report every failure of PIL in one line."""
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


def _read_stream(
    clip: Clip,
    media: Path | Member,
    number: int,
    sample_rate: int | None,
    channel: int | None = None,
) -> Audio:
    """Read one audio stream; ``channel`` is used alone instead of the mix of all."""
    with container_of(clip, media) as container:
        stream = container.streams.audio[number]
        context: Any = stream.codec_context
        if context is None or not 0 < context.sample_rate <= MAX_RATE:
            raise Unreadable(clip.id, "its sound is in a coding this program does not know")
        rate = context.sample_rate
        begin = origin(container) + Fraction(clip.start)
        stated = _stated_end(container, stream, begin)
        _check_length(clip, stated)

        # Decode, mix, and put together.
        limits = [limit for limit in (clip.seconds, stated) if limit is not None]
        timeline = Timeline(clip, rate, sample_rate or rate, min(limits, default=None))
        damage, mix = Damage(), Downmix(channel)
        for piece, at in _pieces(container, stream, begin, damage, mix):
            if not timeline.put(piece, at):
                break
        damage.check(clip, "sound")
        if stated is not None and timeline.seconds < min(stated, clip.seconds or stated) - CUT_OFF:
            raise Unreadable(
                clip.id, f"cut off: the sound ends after {timeline.seconds:.1f} of {stated:.1f} s"
            )
        samples = timeline.samples()

    # Use the loudest channel where they cancel.
    if (loudest := mix.cancelled_by) is not None:
        audio = _read_stream(clip, media, number, sample_rate, loudest)
        note = f"its channels cancel each other: channel {loudest + 1} alone is used"
        return replace(audio, notes=(note, *audio.notes))
    joined = f"{damage.joins + 1} recordings joined end to end" if damage.joins else ""
    with opened(clip, media) as file:
        if has_more(file):
            joined = "only the first of recordings joined end to end is read"
    return Audio(
        samples=samples,
        sample_rate=sample_rate or rate,
        damage=damage.describe("sound"),
        notes=(joined,) if joined else (),
    )


def _pieces(
    container: InputContainer, stream: Any, begin: Fraction, damage: Damage, mix: Downmix
) -> Iterator[tuple[NDArray[np.float32], Fraction | None]]:
    """Yield mono pieces (N,) at the stream's sample rate, with their moments after ``begin``."""
    rate = stream.codec_context.sample_rate
    packed = av.AudioResampler("flt")
    other: tuple[int, soxr.ResampleStream] | None = None  # of a recording joined at another rate
    for frame, moment in decoded(container, stream, begin, damage):
        piece = mix(_channels(frame, packed), [channel.name for channel in frame.layout.channels])
        if other is not None and other[0] != frame.sample_rate:
            yield other[1].resample_chunk(np.zeros(0, np.float32), last=True), None
            other = None
        if frame.sample_rate == rate:
            yield piece, None if moment is None else moment - begin
            continue
        if other is None:
            resample = soxr.ResampleStream(frame.sample_rate, rate, 1, dtype="float32")
            other = (frame.sample_rate, resample)
        yield other[1].resample_chunk(piece), None
    if other is not None:
        yield other[1].resample_chunk(np.zeros(0, np.float32), last=True), None


def _channels(frame: Any, packed: av.AudioResampler) -> NDArray[np.floating]:
    """Return the channels of a frame, (C, N), full scale 1."""
    if frame.format.is_planar and frame.layout.nb_channels >= MANY_CHANNELS:
        [frame] = packed.resample(frame)
    values: NDArray[Any] = frame.to_ndarray()  # (C, N), or (1, N * C) where channels alternate
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        return (values.astype(np.float64) - 128) / 128
    if values.dtype.kind == "i":
        return values / -float(np.iinfo(values.dtype).min)
    return values


def _is_audible(clip: Clip, media: Path | Member, number: int) -> bool:
    """Return whether a stream is audible anywhere in its file, though not in the clip."""
    if not clip.start and clip.seconds is None:
        return False
    with container_of(clip, media) as container:
        stream = container.streams.audio[number]
        pieces = _pieces(container, stream, origin(container), Damage(), Downmix())
        return any(decibels(piece) >= SILENCE_DB for piece, _ in pieces)


def _shown(
    clip: Clip, container: InputContainer, stream: Any, times: Iterator[float], damage: Damage
) -> Iterator[Image.Image]:
    """Yield the picture of each time: of the last frame that begins at it or before."""
    wanted = next(times, None)
    if wanted is None:
        return
    begin = origin(container) + Fraction(clip.start)
    limit = MAX_SECONDS if clip.seconds is None else clip.seconds
    shown, image, given = None, None, 0
    end = 0.0
    usual = 1 / stream.average_rate if stream.average_rate else Fraction(0)
    frames = decoded(container, stream, begin + Fraction(wanted), damage)
    for index, (frame, moment) in enumerate(frames):
        at = float(index * usual if moment is None else moment - begin)

        # Yield the frame before, for all times until this one begins.
        while shown is not None and wanted is not None and wanted < min(at - ROUNDING, limit):
            image = image or _upright(clip, shown, stream)
            yield image
            given, wanted = given + 1, next(times, None)
        if wanted is None or (wanted >= limit and given):
            return
        if at > MAX_SECONDS and shown is not None:
            raise Unreadable(clip.id, too_long())
        shown, image = frame, None
        base = frame.time_base or stream.time_base
        end = at + float(frame.duration * base if frame.duration else usual)
    if shown is None:
        why = damage.describe("picture")
        raise Unreadable(clip.id, f"damaged: {why}" if why else "no picture could be decoded")

    # Yield the last frame until it ends.
    while wanted is not None and (not given or wanted < min(end - ROUNDING, limit)):
        image = image or _upright(clip, shown, stream)
        yield image
        given, wanted = given + 1, next(times, None)


def _upright(clip: Clip, frame: Any, stream: Any) -> Image.Image:
    """Return a decoded frame in RGB as a player shows it."""
    _check_pixels(clip, frame.width, frame.height)
    image = square_pixels(frame.to_image(), stream.sample_aspect_ratio)
    return upright(image, display_matrix(frame))


def _stated_end(container: InputContainer, stream: Any, begin: Fraction) -> float | None:
    """Return where the sound ends, in seconds of the clip, where the container knows exactly.

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


def _audio_header(container: InputContainer) -> dict[str, int]:
    """Return the rate and channels of the audio stream that a player takes."""
    for number in audio_order(container)[:1]:
        context: Any = container.streams.audio[number].codec_context
        if context is not None:
            return {"sample_rate": context.sample_rate, "channels": context.layout.nb_channels}
    return {}
