"""Decode the audio of an open media file as mono."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from clipsonic_cli.audio.downmix import SILENCE_DB, Downmix, decibels
from clipsonic_cli.data.container import Container, Damage, explained
from clipsonic_cli.data.source import Unreadable
from clipsonic_cli.data.timeline import MAX_SECONDS, Timeline, too_long
from clipsonic_cli.types import Clip

MANY_CHANNELS = 8
"""In as many planes as this, PyAV 18 reads beyond the last and may crash the process."""
CUT_OFF = 0.5
"""Seconds by which audio may end before its stated end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Decoded audio."""

    samples: NDArray[np.float32]
    """(N,), mono, finite; full scale is 1."""
    sample_rate: int
    """Hz."""
    damage: str = ""
    """What could not be decoded, or nothing."""
    cut: bool = False
    """Whether the file is shorter than its header says; a clip that is cut is not read."""
    notes: tuple[str, ...] = ()
    """Choices made in reading it: the stream, the channel, recordings joined."""

    @property
    def silent(self) -> bool:
        """Whether its level is under :data:`SILENCE_DB`."""
        return decibels(self.samples) < SILENCE_DB


def decode_audio(clip: Clip, container: Container, sample_rate: int | None) -> Audio:
    """Decode the audio of a clip; see :func:`~clipsonic_cli.data.media.read_audio`."""
    order = container.audio_order()
    if not order:
        raise Unreadable(clip.id, "no audio")
    quiet: Audio | None = None
    failure: Unreadable | None = None
    for number in order:
        try:
            with explained(clip, "damaged"):
                audio = _decode_stream(clip, container, number, sample_rate)
                may_give_way = audio.silent and number != order[-1]
                if may_give_way and not _is_audible(clip, container, number):
                    quiet = quiet or audio
                    continue
        except Unreadable as error:
            failure = failure or error
            continue
        if number == order[0] or (audio.silent and quiet):
            return quiet or audio
        why = f"the first {'cannot be decoded' if failure else 'is silent'}"
        note = f"audio stream {order.index(number) + 1} of {len(order)} is used, as {why}"
        return replace(audio, notes=(note, *audio.notes))
    if quiet is None:
        assert failure is not None  # a stream was read, was quiet, or failed
        raise failure
    return quiet


def _decode_stream(
    clip: Clip,
    container: Container,
    number: int,
    sample_rate: int | None,
    channel: int | None = None,
) -> Audio:
    """Decode one audio stream; ``channel`` is used alone instead of the mix of all."""
    stream = container.audio(number)
    context = stream.codec_context
    if context is None or not 0 < context.sample_rate <= 768_000:
        raise Unreadable(clip.id, "its audio is in a coding this program does not know")
    rate = context.sample_rate
    begin = container.origin + Fraction(clip.start)
    stated = _stated_end(container, stream, begin)
    if stated is not None and stated <= 0:
        raise Unreadable(clip.id, "the audio ends before the clip begins")
    if min(clip.seconds or np.inf, stated or 0) > MAX_SECONDS:
        raise Unreadable(clip.id, too_long())

    # Decode, mix, and put together.
    limits = [limit for limit in (clip.seconds, stated) if limit is not None]
    timeline = Timeline(clip, rate, sample_rate or rate, min(limits, default=None))
    damage, mix = Damage(), Downmix(channel)
    for piece, at in _pieces(container, stream, begin, damage, mix):
        if not timeline.put(piece, at):
            break
    damage.check(clip, "audio")
    if stated is not None and timeline.seconds < min(stated, clip.seconds or stated) - CUT_OFF:
        end = f"{timeline.seconds:.1f} of {stated:.1f} s"
        raise Unreadable(clip.id, f"cut off: the audio ends after {end}")
    samples = timeline.samples()

    # If the channels cancel each other, use the loudest one.
    if (loudest := mix.cancelled_by) is not None:
        audio = _decode_stream(clip, container, number, sample_rate, loudest)
        note = f"its channels cancel each other: channel {loudest + 1} alone is used"
        return replace(audio, notes=(note, *audio.notes))
    joined = f"{damage.joins + 1} recordings joined end to end" if damage.joins else ""
    if container.has_more:
        joined = "only the first of recordings joined end to end is read"
    return Audio(
        samples=samples,
        sample_rate=sample_rate or rate,
        damage=damage.describe("audio"),
        notes=(joined,) if joined else (),
    )


def _pieces(
    container: Container, stream: Any, begin: Fraction, damage: Damage, mix: Downmix
) -> Iterator[tuple[NDArray[np.float32], Fraction | None]]:
    """Yield mono pieces (N,) at the stream's sample rate, with their moments after ``begin``."""
    rate = stream.codec_context.sample_rate
    packed = av.AudioResampler("flt")
    other: tuple[int, soxr.ResampleStream] | None = None  # of a recording joined at another rate
    for frame, moment in container.decode(stream, begin, damage):
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


def _is_audible(clip: Clip, container: Container, number: int) -> bool:
    """Return whether a stream that is silent in the clip is audible elsewhere in the file."""
    if not clip.start and clip.seconds is None:
        return False
    pieces = _pieces(container, container.audio(number), container.origin, Damage(), Downmix())
    return any(decibels(piece) >= SILENCE_DB for piece, _ in pieces)


def _stated_end(container: Container, stream: Any, begin: Fraction) -> float | None:
    """Return where the audio ends in the clip, as codecs pad their last frame; None if inexact."""
    if not container.format.startswith("mov") or not stream.duration:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base - begin)
