"""Open a media file once and decode its streams one after another, even where it is damaged.

Only the containers of :data:`CONTAINERS` are opened: a playlist would name other files and hosts.
A packet that cannot be decoded is passed over and counted, as players do. FFmpeg logs nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.stream import Disposition

from clipsonic_cli.data.source import Unreadable
from clipsonic_cli.types import Clip

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpeg,mpegvideo,mpegts,ogg,gif,dv,mxf,nut,rm,"
    "wav,w64,rf64,flac,mp3,aac,ac3,eac3,aiff,au,caf,amr,amrnb,amrwb,ape,wv,tta,dts,dtshd,voc"
)
PREROLL = 1.0
"""Seconds decoded before a start that was seeked to, so that codecs are exact from there on."""
INDEXED = ("mov", "matroska", "wav")
"""Containers in which seeking is exact."""
JOINED = ("mpegts", "mpeg")
"""Containers that are concatenated as they are, so that time may also jump ahead."""
BACK, AHEAD = Fraction(1), Fraction(10)
"""Seconds by which time jumps back, or ahead in :data:`JOINED`, if another recording begins."""


@dataclass(slots=True)
class Damage:
    """Packets that could not be decoded, and recordings joined, in decoding a stream."""

    packets: int = 0
    """Packets read in all."""
    failed: int = 0
    joins: int = 0
    """Times at which another recording began."""
    end: str = ""
    """Why nothing more could be read, if the container itself is damaged."""

    def check(self, clip: Clip, what: str) -> None:
        """Check that at least half of a stream's packets could be decoded; Unreadable if not."""
        if 2 * self.failed > self.packets or (self.end and not self.packets):
            raise Unreadable(clip.id, f"damaged: {self.describe(what)}")

    def describe(self, what: str) -> str:
        """Return the damage as text, empty if everything was decoded."""
        failed = f"{self.failed} of {self.packets} packets of its {what} cannot be decoded"
        end = f"after packet {self.packets} of its {what} nothing can be read ({self.end})"
        applies = {failed: self.failed, end: self.end}
        return "; ".join(text for text in applies if applies[text])


class Container:
    """A media file, which the caller closes, open for decoding one stream at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.has_more = has_more(file)
        """Whether another WAV follows, which is not decoded."""
        self._open()

    def _open(self) -> None:
        self._file.seek(0)
        options = {"format_whitelist": CONTAINERS}
        # A container opened before is kept alive by the streams that callers hold.
        self._input = av.open(self._file, "r", options=options, metadata_errors="replace")
        self._was_read = False

    def close(self) -> None:
        """Free the decoders."""
        self._input.close()

    @property
    def format(self) -> str:
        """FFmpeg's names of the format, with commas between."""
        return self._input.format.name

    @property
    def origin(self) -> Fraction:
        """The earliest moment of the file in seconds."""
        return Fraction(self._input.start_time or 0, av.time_base)

    def audio(self, number: int) -> Any:
        """Return an audio stream."""
        return self._input.streams.audio[number]

    def video(self, number: int) -> Any:
        """Return a video stream."""
        return self._input.streams.video[number]

    def audio_order(self) -> list[int]:
        """Return the numbers of the audio streams, the one that a player takes first."""
        streams = self._input.streams.audio
        best = self._input.streams.best("audio")
        ranks = [(stream is not best, stream.codec_context is None) for stream in streams]
        return sorted(range(len(streams)), key=ranks.__getitem__)

    def video_order(self) -> list[int]:
        """Return the numbers of the video streams: no covers, and thumbnails and stills last."""
        streams = self._input.streams.video
        usable = [n for n, s in enumerate(streams) if not s.disposition & Disposition.attached_pic]
        last = Disposition.still_image | Disposition.timed_thumbnails
        ranks = [(s.codec_context is None, bool(s.disposition & last)) for s in streams]
        return sorted(usable, key=ranks.__getitem__)

    def decode(
        self, stream: Any, begin: Fraction, damage: Damage
    ) -> Iterator[tuple[Any, Fraction | None]]:
        """Yield the frames of a stream, with their times or None, from somewhat before a time on.

        Times are seconds of the file. In recordings joined end to end, those of a later one
        continue from the end of the one before. No other stream may be decoded meanwhile.
        """
        joins = self.format.startswith(JOINED)
        shift, end = Fraction(0), None
        for frame in self._frames(stream, begin, damage):
            moment = _moment(frame, stream)
            if moment is not None:
                moment += shift
                if end is not None and (moment < end - BACK or (joins and moment > end + AHEAD)):
                    shift, moment = shift + end - moment, end
                    damage.joins += 1
                end = moment + duration_of(frame, stream)
            yield frame, moment

    def _frames(self, stream: Any, begin: Fraction, damage: Damage) -> Iterator[Any]:
        if stream.codec_context.is_open:  # a decoder that was used keeps a state
            stream = self._reopen(stream)
        if begin - self.origin > 2 * PREROLL and self.format.startswith(INDEXED):
            self._was_read = True
            self._input.seek(int((begin - Fraction(PREROLL)) / stream.time_base), stream=stream)
            frames = _decoded(self._input, stream, damage)
            first = next(frames, None)
            moment = None if first is None else _moment(first, stream)
            if moment is not None and moment <= begin:
                yield first
                yield from frames
                return
            damage.packets, damage.failed, damage.end = 0, 0, ""
            stream = self._reopen(stream)
        elif self._was_read:
            stream = self._rewind(stream)
        self._was_read = True
        yield from _decoded(self._input, stream, damage)

    def _rewind(self, stream: Any) -> Any:
        """Go to the first packet; if seeking may miss it, open the file again."""
        if self.format.startswith("mov"):  # Matroska would miss those before the first key frame
            with suppress(av.FFmpegError):  # of a stream without packets
                self._input.seek(-(1 << 40))  # microseconds; before any packet
                return stream
        return self._reopen(stream)

    def _reopen(self, stream: Any) -> Any:
        """Open the file again; return the same stream of it."""
        self._open()
        return self._input.streams[stream.index]


@contextmanager
def explained(clip: Clip, what: str) -> Iterator[None]:
    """Raise FFmpeg's errors, and lack of memory, as :class:`Unreadable`, ``what`` first."""
    try:
        yield
    except MemoryError:
        raise Unreadable(clip.id, "needs too much memory") from None
    except av.FFmpegError as error:
        reason = (error.strerror or str(error)).lower()
        raise Unreadable(clip.id, f"{what}: {reason}") from None


def has_more(file: BinaryIO) -> bool:
    """Return whether a file holds another WAV after the first."""
    file.seek(0)
    head = file.read(12)
    if (head[:4], head[8:]) != (b"RIFF", b"WAVE"):  # an AVI is read to the end
        return False
    file.seek(8 + int.from_bytes(head[4:8], "little"))
    return file.read(4) == b"RIFF"


def _decoded(source: InputContainer, stream: Any, damage: Damage) -> Iterator[Any]:
    """Yield the frames that can be decoded; Theora's empty packets, which repeat one, give none."""
    if stream.type == "video":
        stream.codec_context.thread_count = 1  # clips are decoded side by side, not frames
    try:
        for packet in source.demux(stream):
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
    base = frame.time_base or stream.time_base
    return None if frame.pts is None else Fraction(frame.pts * base)


def duration_of(frame: Any, stream: Any) -> Fraction:
    """Return the duration of a frame in seconds; 0 if it is not known."""
    if stream.type == "audio":
        return Fraction(frame.samples, frame.sample_rate)
    if frame.duration:
        return Fraction(frame.duration * (frame.time_base or stream.time_base))
    return 1 / Fraction(stream.average_rate) if stream.average_rate else Fraction(0)
