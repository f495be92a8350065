"""Texts of sound files are found wherever other programs put them, within limits of size."""

import resource
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from clipsonic_cli.audio.files import NotSound, write
from clipsonic_cli.audio.tags import MAX_TEXT, read_texts

RATE = 16_000
RECIPE = '{"clipsonic": "0.1.0", "recipe": {"text": "ein Hündchen 🐕"}}'
PLACES = [
    ("a.mp3", "mp3", "mp3", "comment"),
    ("a.mp3", "mp3", "mp3", "description"),
    ("a.m4a", "ipod", "aac", "comment"),
    ("a.mp4", "mp4", "aac", "comment"),
    ("a.flac", "flac", "flac", "DESCRIPTION"),
    ("a.flac", "flac", "flac", "COMMENT"),
    ("a.ogg", "ogg", "libopus", "Description"),
    ("a.opus", "ogg", "libopus", "DESCRIPTION"),
    ("a.opus", "ogg", "libopus", "comment"),
    ("a.mka", "matroska", "libopus", "comment"),
    ("a.wav", "wav", "pcm_s16le", "comment"),
]


def convert(path, muxer, codec, **tags):
    """Write a second of noise as another program would."""
    with av.open(str(path), "w", format=muxer) as container:
        container.metadata.update(tags)
        rate = 48_000 if codec == "libopus" else 44_100
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.metadata.update(tags)
        samples = np.random.default_rng(0).integers(-999, 999, (1, rate), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


@pytest.mark.parametrize(("name", "muxer", "codec", "tag"), PLACES)
def test_a_text_is_found_where_another_program_put_it(tmp_path, name, muxer, codec, tag):
    path = convert(tmp_path / name, muxer, codec, **{tag: RECIPE, "title": "dog"})
    assert RECIPE in read_texts(path)


@pytest.mark.parametrize(("name", "muxer", "codec", "_tag"), PLACES)
def test_sound_without_that_text_is_sound(tmp_path, name, muxer, codec, _tag):
    assert not any(
        "clipsonic" in text for text in read_texts(convert(tmp_path / name, muxer, codec))
    )


def test_a_comment_behind_the_samples_is_found(tmp_path):
    write(tmp_path / "a.wav", torch.zeros(99), RATE)
    text = RECIPE.encode() + b"\0" * (2 - len(RECIPE.encode()) % 2)
    chunk = b"INFOICMT" + struct.pack("<I", len(text)) + text
    content = (tmp_path / "a.wav").read_bytes()
    content += b"LIST" + struct.pack("<I", len(chunk)) + chunk
    (tmp_path / "a.wav").write_bytes(
        content[:4] + struct.pack("<I", len(content) - 8) + content[8:]
    )
    assert RECIPE in read_texts(tmp_path / "a.wav")


def test_a_file_without_sound_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text(RECIPE)
    for path in (tmp_path / "a.txt", tmp_path, tmp_path / "absent", Path("/dev/zero")):
        with pytest.raises(NotSound):
            read_texts(path)


def vast_wav(path):
    write(path, torch.zeros(99), RATE)
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(b"LIST" + struct.pack("<I", 0xF0000000) + b"INFOICMT")
        file.write(struct.pack("<I", 0xEFFFFFF0))
        file.truncate(0xF0000000)


def vast_flac(path):
    blocks = b"fLaC" + b"\0\0\0\x22" + bytes(34)
    blocks += b"\x84\xff\xff\xff" + struct.pack("<I", 0) + struct.pack("<I", 1)
    path.write_bytes(blocks + struct.pack("<I", 0xFFFFFFF0))
    with path.open("r+b") as file:
        file.truncate(1 << 32)


def vast_mp3(path):
    convert(path, "mp3", "mp3")
    sound = path.read_bytes()
    with path.open("wb") as file:
        file.write(b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + b"COMM\x7f\x7f\x7f\x70\0\0\x03eng\0{")
        file.seek((1 << 28) + 9)
        file.write(sound)


def vast_m4a(path):
    atom = struct.pack(">I4s", 0x70000000, b"\xa9cmt") + struct.pack(
        ">I4sII", 0x6FFFFFF8, b"data", 1, 0
    )
    ilst = struct.pack(">I4s", 0x70000008, b"ilst") + atom
    meta = struct.pack(">I4sI", 0x70000014, b"meta", 0) + ilst
    udta = struct.pack(">I4s", 0x7000001C, b"udta") + meta
    moov = struct.pack(">I4s", 0x70000024, b"moov") + udta
    path.write_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"M4A ", 0) + moov)
    with path.open("r+b") as file:
        file.truncate(0x70000100)


@pytest.mark.parametrize("make", [vast_wav, vast_flac, vast_mp3, vast_m4a])
def test_a_text_of_gigabytes_is_not_read(tmp_path, make):
    make(tmp_path / "vast.wav")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    try:
        texts = read_texts(tmp_path / "vast.wav")
    except NotSound:
        texts = ()
    assert all(len(text) <= MAX_TEXT for text in texts)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000
