"""Of several streams the right one is read, and damage costs packets, not files."""

import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from make_media import tone, write_media
from PIL import Image

from clipsonic_cli.data.check import Rules
from clipsonic_cli.data.container import Damage
from clipsonic_cli.data.media import every, read_audio, read_frames
from clipsonic_cli.data.source import Unreadable
from clipsonic_cli.preparation.decode import decode
from clipsonic_cli.types import Clip

RATE = 16_000


def clip(path: Path, **details) -> Clip:
    return Clip(id=path.name, media=path, **details)


def pitch(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * RATE)).argmax()) / 8


def two_tracks(path: Path, first: np.ndarray, second: np.ndarray) -> Path:
    """Write an MP4 with two tracks of AAC."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("aac", rate=RATE, layout="mono") for _ in range(2)]
        for stream, samples in zip(streams, (first, second), strict=True):
            stream.disposition = av.stream.Disposition.default
            frame = av.AudioFrame.from_ndarray(samples[None].astype("f4"), "fltp", "mono")
            frame.sample_rate = RATE
            for piece in av.AudioResampler("fltp", "mono", RATE, frame_size=1024).resample(frame):
                container.mux(stream.encode(piece))
            container.mux(stream.encode())
    return path


def test_a_track_that_nobody_decodes_gives_way(tmp_path):
    path = two_tracks(tmp_path / "a.mp4", tone(3, RATE, 880), tone(3, RATE, 440))
    content = bytearray(path.read_bytes())
    at = content.find(b"mp4a")
    content[at : at + 4] = b"apac"
    esds = content.find(b"esds", at)
    content[esds : esds + 4] = b"dapa"
    path.write_bytes(content)
    audio = read_audio(clip(path), RATE)
    assert abs(pitch(audio.samples) - 440) < 1
    assert audio.notes == ("audio stream 2 of 2 is used, as the first cannot be decoded",)


def test_a_silent_track_gives_way(tmp_path):
    path = two_tracks(tmp_path / "a.mp4", 0 * tone(3, RATE), tone(3, RATE, 440))
    audio = read_audio(clip(path), RATE)
    assert abs(pitch(audio.samples) - 440) < 1
    assert audio.notes == ("audio stream 2 of 2 is used, as the first is silent",)


def test_a_pause_of_the_first_track_does_not_give_way(tmp_path):
    first = tone(6, RATE, 880) * (np.arange(6 * RATE) < 3 * RATE)
    path = two_tracks(tmp_path / "a.mp4", first, tone(6, RATE, 440))
    audio = read_audio(clip(path, start=4.0, seconds=1.0), RATE)
    assert audio.silent
    assert audio.notes == ()


def still_first(path: Path) -> Path:
    """Write a Matroska file whose first video stream is one image, which nothing marks."""
    film = write_media(path.with_suffix(".mp4"), seconds=2.0)
    with av.open(str(path), "w") as container, av.open(str(film)) as source:
        still = container.add_stream("mjpeg", rate=1)
        still.width, still.height, still.pix_fmt = 32, 32, "yuvj420p"
        streams = {s.index: container.add_stream_from_template(s) for s in source.streams}
        frame = av.VideoFrame.from_image(Image.new("RGB", (32, 32), "white"))
        container.mux([*still.encode(frame), *still.encode()])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
    return path


def test_a_still_gives_way_to_the_film(tmp_path):
    source = clip(still_first(tmp_path / "a.mkv"))
    assert len(list(read_frames(source, every(1.0)))) == 2
    decoded = decode(source, rules=Rules(), frame_rate=1.0, size=32)
    note = "video stream 2 is used, as an earlier one is a still or cannot be decoded"
    assert [(flaw.kind, flaw.reason) for flaw in decoded.flaws] == [("note", note)]
    assert len(decoded.views) == 2


def break_packets(path: Path, broken: slice) -> None:
    """Overwrite packets of a file's audio with zeros."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    content = path.read_bytes()
    for packet in packets[broken]:
        content = content.replace(packet, bytes(len(packet)))
    path.write_bytes(content)


def test_broken_packets_are_passed_over_and_counted(tmp_path):
    path = write_media(tmp_path / "a.mkv", audio="flac", seconds=2.5)
    break_packets(path, slice(4, 6))
    audio = read_audio(clip(path), RATE)
    assert abs(len(audio.samples) / RATE - 2.5) < 0.01
    assert abs(pitch(audio.samples[-RATE // 2 :]) - 440) < 2
    assert audio.damage.startswith("2 of ")
    assert audio.damage.endswith(" packets of its audio cannot be decoded")


def test_of_a_file_without_sound_packets_that_decode_the_counts_are_the_reason(tmp_path):
    path = write_media(tmp_path / "a.mkv", video=None, audio="flac", seconds=2.0)
    break_packets(path, slice(None))
    with pytest.raises(Unreadable, match=r"damaged: \d+ of \d+ packets of its audio"):
        read_audio(clip(path), RATE)


JOINED = {
    "a.oga": {"audio": "flac", "container": "ogg"},
    "a.opus": {"audio": "libopus", "rate": 48_000, "container": "ogg"},
    "a.mp3": {"audio": "libmp3lame"},
    "a.aac": {"audio": "aac", "container": "adts"},
    "a.ts": {"audio": "mp2", "container": "mpegts"},
}


@pytest.mark.parametrize("name", JOINED)
def test_recordings_joined_end_to_end_are_read_to_the_end(name, tmp_path):
    parts = []
    for number, hz in enumerate((440, 880)):
        rate = JOINED[name].get("rate", RATE)
        part = tmp_path / f"{number}-{name}"
        write_media(part, video=None, samples=tone(3, rate, hz), **JOINED[name])
        parts.append(part.read_bytes())
    (tmp_path / name).write_bytes(b"".join(parts))
    samples = read_audio(clip(tmp_path / name), RATE).samples
    assert abs(len(samples) / RATE - 6) < 0.25
    assert abs(pitch(samples[: 2 * RATE]) - 440) < 1
    assert abs(pitch(samples[-2 * RATE :]) - 880) < 1


def test_joined_vorbis_is_read_to_the_end(tmp_path):
    for hz in (440, 880):
        soundfile.write(tmp_path / f"{hz}.ogg", tone(3, RATE, hz), RATE)
    path = tmp_path / "a.ogg"
    path.write_bytes((tmp_path / "440.ogg").read_bytes() + (tmp_path / "880.ogg").read_bytes())
    audio = read_audio(clip(path), RATE)
    assert abs(len(audio.samples) / RATE - 6) < 0.25
    assert abs(pitch(audio.samples[-2 * RATE :]) - 880) < 1


def test_joined_avis_are_read_to_the_end(tmp_path):
    part = write_media(tmp_path / "0.avi", video="mpeg4", audio="pcm_s16le", seconds=2.0)
    path = tmp_path / "a.avi"
    path.write_bytes(2 * part.read_bytes())
    audio = read_audio(clip(path), RATE)
    assert abs(len(audio.samples) / RATE - 4) < 0.2
    assert audio.notes in ((), ("2 recordings joined end to end",))


def test_frames_of_joined_films_go_on(tmp_path):
    for number in range(2):
        write_media(tmp_path / f"{number}.ts", video="libx264", audio="mp2", seconds=3.0, fps=5)
    path = tmp_path / "a.ts"
    path.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    assert len(list(read_frames(clip(path), every(1.0)))) == 6


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs the program ffmpeg")
def test_theora_repeats_frames_by_empty_packets(tmp_path):
    path = tmp_path / "a.ogv"
    source = ["-f", "lavfi", "-i", "color=red:s=64x64:r=25:d=3", "-f", "lavfi", "-i", "sine=d=3"]
    coding = ["-c:v", "libtheora", "-c:a", "libvorbis", path]
    subprocess.run(["ffmpeg", "-v", "error", *source, *coding], check=True)
    damage = Damage()
    frames = list(read_frames(clip(path), every(1.0), damage))
    assert len(frames) == 3
    assert damage.describe("video") == read_audio(clip(path), RATE).damage == ""
