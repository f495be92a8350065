"""Media containers: opening them, the order of their streams, and frames whatever is damaged.

Only the containers of :data:`CONTAINERS` are opened: a playlist would name other files and hosts.
A packet that cannot be decoded is passed over and counted, as players do. FFmpeg logs nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.stream import Disposition

from clipsonic_cli.data.source import Unreadable, opened
from clipsonic_cli.types import Clip, Member

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpeg,mpegvideo,mpegts,ogg,gif,dv,mxf,nut,rm,"
    "wav,w64,rf64,flac,mp3,aac,ac3,eac3,aiff,au,caf,amr,amrnb,amrwb,ape,wv,tta,dts,dtshd,voc"
)
PREROLL = 1.0
"""Seconds decoded before a start that was jumped to, which codecs need to be exact from there."""
INDEXED = ("mov", "matroska", "wav")
"""Containers in which a jump lands where it says."""
JOINED = ("mpegts", "mpeg")
"""Containers that are joined end to end as they are, so that time may jump ahead, too."""
BACK, AHEAD = Fraction(1), Fraction(10)
"""Seconds by which time jumps back, or ahead in :data:`JOINED`, where another recording begins."""
LAST = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
"""Video streams that are no film."""


@dataclass(slots=True)
class Damage:
    """What was passed over while a stream was decoded.

    Args:
        packets: Read in all.
        failed: Of these, could not be decoded.
        joins: Times at which another recording began.
        end: Why nothing more could be read, where the container itself is damaged.
    """

    packets: int = 0
    failed: int = 0
    joins: int = 0
    end: str = ""

    def check(self, clip: Clip, what: str) -> None:
        """Check that most of a stream could be decoded.

        Raises:
            Unreadable: More packets than not could not.
        """
        if 2 * self.failed > self.packets or (self.end and not self.packets):
            raise Unreadable(clip.id, f"damaged: {self.describe(what)}")

    def describe(self, what: str) -> str:
        """Return what was passed over as text, or nothing where all was decoded."""
        failed = f"{self.failed} of {self.packets} packets of its {what} cannot be decoded"
        end = f"after packet {self.packets} of its {what} nothing can be read ({self.end})"
        return "; ".join([failed] * (self.failed > 0) + [end] * (self.end != ""))


@contextmanager
def container_of(clip: Clip, media: Path | Member) -> Iterator[InputContainer]:
    """Open a file for decoding.

    Raises:
        Unreadable: It is no such file, or FFmpeg fails while it is open; says why in one line.
    """
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


def has_more(file: BinaryIO) -> bool:
    """Return whether another WAV follows a WAV in a file, as where recordings were joined."""
    file.seek(0)
    head = file.read(12)
    if (head[:4], head[8:]) != (b"RIFF", b"WAVE"):  # an AVI is read to the end
        return False
    file.seek(8 + int.from_bytes(head[4:8], "little"))
    return file.read(4) == b"RIFF"


def origin(container: InputContainer) -> Fraction:
    """Return the earliest moment of a file in seconds."""
    return Fraction(container.start_time or 0, av.time_base)


def audio_order(container: InputContainer) -> list[int]:
    """Return the numbers of the audio streams, the one that a player takes first."""
    streams = container.streams.audio
    best = container.streams.best("audio")
    ranks = [(stream is not best, stream.codec_context is None) for stream in streams]
    return sorted(range(len(streams)), key=lambda number: (*ranks[number], number))


def video_order(container: InputContainer) -> list[int]:
    """Return the numbers of the video streams without covers, thumbnails and stills last."""
    streams = container.streams.video
    usable = [n for n, s in enumerate(streams) if not s.disposition & Disposition.attached_pic]
    unknown = [streams[number].codec_context is None for number in usable]
    last = [bool(streams[number].disposition & LAST) for number in usable]
    return [number for *_, number in sorted(zip(unknown, last, usable, strict=True))]


def decoded(
    container: InputContainer, stream: Any, begin: Fraction, damage: Damage
) -> Iterator[tuple[Any, Fraction | None]]:
    """Yield the frames of a stream from a moment of the file on, or from some time before it.

    Args:
        container: From :func:`container_of`.
        stream: Of the container.
        begin: Seconds of the file.
        damage: Counts what is passed over.

    Yields:
        Each frame with its moment in seconds of the file, None where it has none. Where recordings
        were joined end to end, the moments of a later one go on from the end of the one before.
    """
    frames = _frames(container, stream, damage)
    if begin - origin(container) > 2 * PREROLL and container.format.name.startswith(INDEXED):
        container.seek(int((begin - Fraction(PREROLL)) / stream.time_base), stream=stream)
        first = next(frames, None)
        if first is None or (moment := _moment(first, stream)) is None or moment > begin:
            container.seek(0)
            stream.codec_context.flush_buffers()
            damage.packets = damage.failed = 0
            frames = _frames(container, stream, damage)
        else:
            yield first, moment
    joins = container.format.name.startswith(JOINED)
    shift, end = Fraction(0), None
    for frame in frames:
        moment = _moment(frame, stream)
        if moment is not None:
            moment += shift
            if end is not None and (moment < end - BACK or (joins and moment > end + AHEAD)):
                shift, moment = shift + end - moment, end
                damage.joins += 1
            end = moment + _duration(frame, stream)
        yield frame, moment


def _frames(container: InputContainer, stream: Any, damage: Damage) -> Iterator[Any]:
    """Yield what can be decoded. Empty packets, which repeat a frame in Theora, are left out."""
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            damage.packets += 1
            try:
                frames = packet.decode()
            except av.FFmpegError:
                damage.failed += 1
                continue
            yield from frames
    except av.FFmpegError as error:  # the container itself is damaged here
        damage.end = (error.strerror or str(error)).lower()
    try:
        yield from stream.codec_context.decode(None)
    except av.FFmpegError:
        return


def _moment(frame: Any, stream: Any) -> Fraction | None:
    if frame.pts is None:
        return None
    return Fraction(frame.pts * (frame.time_base or stream.time_base))


def _duration(frame: Any, stream: Any) -> Fraction:
    """Return how long a frame lasts in seconds, as far as it is known."""
    if stream.type == "audio":
        return Fraction(frame.samples, frame.sample_rate)
    if frame.duration:
        return Fraction(frame.duration * (frame.time_base or stream.time_base))
    return 1 / Fraction(stream.average_rate) if stream.average_rate else Fraction(0)
