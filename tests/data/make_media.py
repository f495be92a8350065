"""Small real media, made by PyAV: a tone, and frames whose grey tells their number; tar files."""

import io
import tarfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from clipsonic_cli.data.listing import list_clips
from clipsonic_cli.data.media import read_audio
from clipsonic_cli.types import Clip


def grey(frame: int) -> int:
    """Return the level of a frame, of those from 0 to 25."""
    return 20 + 8 * frame


def frame_of(image) -> int:
    """Return the number of the frame an image shows."""
    return round((float(np.asarray(image, dtype=float).mean()) - 20) / 8)


def tone(seconds: float, rate: int, hz: float = 440.0, gain: float = 0.5) -> np.ndarray:
    return (gain * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype("f4")


def write_media(
    path: Path,
    *,
    seconds: float = 1.0,
    video: str | None = "mpeg4",
    audio: str | None = "aac",
    fps: int = 10,
    size: tuple[int, int] = (32, 32),
    pixels: str = "yuv420p",
    rate: int = 16_000,
    layout: str = "mono",
    samples: np.ndarray | None = None,
    level: Callable[[int], int] = grey,
    times: Callable[[int], float] | None = None,
    delay: float = 0.0,
    options: dict[str, str] | None = None,
    container: str | None = None,
) -> Path:
    """Write a video with frames at ``times``, and audio that begins at ``delay``, by two codecs."""
    with av.open(str(path), "w", format=container, options=options or {}) as file:
        video_stream = audio_stream = None
        if video:
            video_stream = file.add_stream(video, rate=fps)
            video_stream.width, video_stream.height, video_stream.pix_fmt = *size, pixels
            video_stream.codec_context.time_base = Fraction(1, 1000)
        if audio:
            audio_stream = file.add_stream(audio, rate=rate, layout=layout)
        if video_stream:
            _write_frames(
                file, video_stream, round(seconds * fps), level, times or (lambda k: k / fps)
            )
        if audio_stream:
            wave = tone(seconds, rate) if samples is None else samples
            _write_audio(file, audio_stream, wave, rate, layout, delay)
    return path


def _write_frames(container, stream, frames, level, times):
    for number in range(frames):
        shape = (stream.height, stream.width, 3)
        frame = av.VideoFrame.from_ndarray(np.full(shape, level(number), np.uint8), format="rgb24")
        frame.pts, frame.time_base = round(times(number) * 1000), Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _write_audio(container, stream, samples, rate, layout, delay):
    channels = stream.layout.nb_channels
    values = np.tile(samples, (channels, 1)) if samples.ndim == 1 else samples
    packed = np.ascontiguousarray(values.T.reshape(1, -1))  # planar fails for 8 channels
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, round(delay * rate), Fraction(1, rate)
    context = stream.codec_context
    convert = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or None)
    for piece in [*convert.resample(frame), *convert.resample(None)]:
        container.mux(stream.encode(piece))
    container.mux(stream.encode())


def rotate(path: Path, quarter_turns: int) -> None:
    """Write a clockwise rotation into the header of an MP4, as a phone held upright does."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix of 9 numbers of 32 bits
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter_turns % 4]
    for index, value in enumerate([cosine, sine, 0, -sine, cosine, 0]):
        content[at + 4 * index : at + 4 * index + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(content)


def set_display_matrix(path: Path, linear: tuple[int, int, int, int]) -> None:
    """Write the part (a, b, c, d) of the display matrix into the header of an MP4."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix of 9 numbers of 32 bits
    a, b, c, d = linear
    for index, value in enumerate([a, b, 0, c, d, 0]):
        content[at + 4 * index : at + 4 * index + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(content)


def clips_of(source: str, **how) -> Sequence[Clip]:
    """List the clips of a data set, in the format that is found."""
    return list_clips(source, **how).clips


def read_samples(clip: Clip, sample_rate: int) -> np.ndarray:
    return read_audio(clip, sample_rate).samples


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path
