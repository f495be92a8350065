import errno
import json
import os
import pickle
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli.audio.files import (
    SUBTYPES,
    NotSound,
    check_writable,
    is_cut,
    open_sound,
    read,
    read_metadata,
    write,
)
from clipsonic_cli.errors import ClipsonicError, UsageError

RATE = 16_000
ROWS = [(suffix, subtype) for suffix, row in SUBTYPES.items() for subtype in row]
RECIPE = json.dumps({"text": 'a "photo" of\nvíolin ☃', "padding": "x" * 9000}, ensure_ascii=False)


def noise(samples: int = 4000, peak: float = 1.0) -> torch.Tensor:
    uniform = torch.rand(samples, generator=torch.Generator().manual_seed(0))
    return (2 * uniform - 1) * peak


def test_float_wav_round_trips_bit_for_bit(tmp_path: Path) -> None:
    samples = noise(peak=1.7)
    write(tmp_path / "a.wav", samples, RATE, subtype="float")
    assert torch.equal(read(tmp_path / "a.wav", RATE), samples)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize(("subtype", "bits"), [("pcm16", 16), ("pcm24", 24)])
def test_integers_are_within_half_a_step(
    tmp_path: Path, suffix: str, subtype: str, bits: int
) -> None:
    samples = noise(peak=0.9999)
    write(tmp_path / f"a{suffix}", samples, RATE, subtype=subtype)
    error = (read(tmp_path / f"a{suffix}", RATE) - samples).abs().max().item()
    assert error <= 0.5 / 2 ** (bits - 1)


def test_full_scale_does_not_wrap_around(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", torch.tensor([1.0, -1.0, 3.0, -3.0]), RATE)
    top = 32767 / 32768
    assert read(tmp_path / "a.wav", RATE).tolist() == [top, -1.0, top, -1.0]


def test_vorbis_keeps_length_and_shape_of_a_tone(tmp_path: Path) -> None:
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(RATE) / RATE)
    write(tmp_path / "a.ogg", tone, RATE)
    back = read(tmp_path / "a.ogg", RATE)
    assert back.shape == tone.shape
    assert (back - tone).square().mean() < 0.01 * tone.square().mean()


@pytest.mark.parametrize(("suffix", "subtype"), ROWS)
def test_a_recipe_travels_in_every_format(tmp_path: Path, suffix: str, subtype: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, noise(), RATE, subtype=subtype, metadata={"comment": RECIPE, "title": "violin"})
    assert read_metadata(path) == RECIPE
    assert soundfile.info(path).subtype == SUBTYPES[suffix][subtype]


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=300))
def test_any_text_survives_as_json(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("text") / "a.wav"
    write(path, torch.zeros(4), RATE, metadata={"comment": json.dumps({"text": text})})
    assert json.loads(str(read_metadata(path)))["text"] == text


@pytest.mark.parametrize("letters", [1, 2, 2045, 2046, 2047, 51_195, 51_196, 1_000_000])
def test_wav_comments_are_whole_on_both_sides_of_libsndfiles_limit(
    tmp_path: Path, letters: int
) -> None:
    path = tmp_path / "a.wav"
    fields = {"title": "odd", "comment": "x" * letters, "artist": "clipsonic"}
    write(path, noise(), RATE, metadata=fields)
    assert read_metadata(path) == fields["comment"]
    with soundfile.SoundFile(path) as file:
        assert (file.title, file.artist) == ("odd", "clipsonic")
        assert file.frames == len(noise())


def test_a_file_without_comment_has_no_metadata(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(), RATE)
    assert read_metadata(tmp_path / "a.wav") is None


def test_long_vorbis_does_not_overflow(tmp_path: Path) -> None:
    write(tmp_path / "a.ogg", torch.zeros(120 * RATE), RATE)
    assert soundfile.info(tmp_path / "a.ogg").frames == 120 * RATE


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.array([[0.5, 0.25], [-0.5, 0.0]], dtype=np.float32)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="FLOAT")
    assert read(tmp_path / "a.wav", RATE).tolist() == [0.375, -0.25]


def test_resampling_keeps_pitch_and_duration(tmp_path: Path) -> None:
    tone = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(44_100) / 44_100)
    write(tmp_path / "a.wav", tone, 44_100, subtype="float")
    back = read(tmp_path / "a.wav", RATE)
    wanted = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(RATE) / RATE)
    assert back.shape == (RATE,)
    assert torch.allclose(back[500:-500], wanted[500:-500], atol=1e-3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nope\.wav' does not exist"):
        read(tmp_path / "nope.wav", RATE)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a sound at all" * 100])
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(UsageError, match="as sound") as error:
        read(tmp_path / "a.wav", RATE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3"])
def test_why_a_file_is_no_sound_is_known_without_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a sound at all" * 100)
    with pytest.raises(NotSound) as error:
        read(tmp_path / name, RATE)
    assert error.value.reason == "Format not recognised"
    assert pickle.loads(pickle.dumps(error.value)).reason == error.value.reason


def test_a_file_that_may_not_be_read_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> None:  # permission bits do not stop root, which tests may run as
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    write(tmp_path / "a.wav", noise(), RATE)
    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(NotSound, match=r"a\.wav': Permission denied; give") as error:
        read(tmp_path / "a.wav", RATE)
    assert error.value.reason == "Permission denied"


FORMATS = [
    *(("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("WAVEX", "FLOAT"), ("RF64", "PCM_24")),
    *(("AIFF", "PCM_16"), ("AU", "PCM_16"), ("W64", "PCM_16"), ("MP3", None)),
]


@pytest.mark.parametrize(("form", "subtype"), FORMATS)
@pytest.mark.parametrize("share", [1.0, 0.95, 0.5])
def test_a_file_that_is_cut_is_known(
    tmp_path: Path, form: str, subtype: str | None, share: float
) -> None:
    path = tmp_path / "a"
    soundfile.write(path, noise(RATE).numpy(), RATE, subtype=subtype, format=form)
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    with open_sound(path) as file:
        assert is_cut(file) == (share < 1)


@pytest.mark.parametrize("size", [0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
@pytest.mark.parametrize("places", [(4, 40), (40,)])
def test_a_size_that_was_not_known_when_it_was_written_is_no_cut(
    tmp_path: Path, size: int, places: tuple[int, ...]
) -> None:
    write(tmp_path / "a.wav", noise(), RATE)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    for place in places:
        content[place : place + 4] = size.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    with open_sound(tmp_path / "a.wav") as file:
        assert not is_cut(file)
        assert file.frames == 4000


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_tag_before_an_mp3_is_no_part_of_its_size(tmp_path: Path, share: float) -> None:
    soundfile.write(tmp_path / "a.mp3", noise(RATE).numpy(), RATE)
    content = (tmp_path / "a.mp3").read_bytes()
    tag = b"ID3\4\0\0" + bytes((0, 2, 0x1C, 0x10)) + bytes(2 * 128**2 + 0x1C * 128 + 0x10)
    (tmp_path / "a.mp3").write_bytes(tag + content[: round(share * len(content))])
    with open_sound(tmp_path / "a.mp3") as file:
        assert is_cut(file) == (share < 1)


def test_an_mp3_that_does_not_say_how_long_it_is_counts_as_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", noise(RATE).numpy(), RATE)
    content = (tmp_path / "a.mp3").read_bytes()
    silent = content.replace(b"Xing\0\0\0\x0f", b"Xing\0\0\0\x0d")  # without the number of bytes
    (tmp_path / "a.mp3").write_bytes(silent[: len(silent) // 2])
    with open_sound(tmp_path / "a.mp3") as file:
        assert not is_cut(file)


@pytest.mark.parametrize(("values", "what"), [([], "no samples"), ([float("nan")], "not finite")])
def test_a_file_without_usable_sound_is_rejected(
    tmp_path: Path, values: list[float], what: str
) -> None:
    soundfile.write(tmp_path / "a.wav", np.array(values, dtype=np.float32), RATE, subtype="FLOAT")
    with pytest.raises(UsageError, match=what):
        read(tmp_path / "a.wav", RATE)


@pytest.mark.parametrize(
    ("name", "subtype", "message"),
    [
        ("a.mp4", None, r"suffix '\.mp4'. Known: \.wav, \.flac, \.ogg"),
        ("a", None, "suffix ''"),
        ("a.flac", "float", "subtype 'float'.*Known: pcm16, pcm24"),
        ("a.wav", "pcm18", "Did you mean 'pcm16'"),
        ("no/a.wav", None, "There is no folder"),
        ("folder.wav", None, "is a folder"),
    ],
)
def test_a_bad_destination_is_rejected_early(
    tmp_path: Path, name: str, subtype: str | None, message: str
) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(UsageError, match=message):
        check_writable(tmp_path / name, subtype=subtype)


def test_an_existing_file_is_kept_unless_overwriting(tmp_path: Path) -> None:
    path = tmp_path / "a.WAV"
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists; give another name, or `overwrite=True`"):
        write(path, noise(), RATE)
    assert path.read_bytes() == b"precious"
    write(path, noise(), RATE, overwrite=True)
    assert len(read(path, RATE)) == 4000


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_folder_that_takes_no_files_is_rejected_even_for_root() -> None:
    with pytest.raises(UsageError, match="Cannot write in '/proc/self'"):
        check_writable(Path("/proc/self/a.wav"))


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    if existing:
        (tmp_path / "a.wav").write_bytes(b"precious")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ClipsonicError, match="No space left") as error:
        write(tmp_path / "a.wav", noise(), RATE, overwrite=True)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits file size by rlimit")
def test_a_write_that_the_system_cuts_short_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ClipsonicError, match="File too large"):
            write(tmp_path / "a.wav", noise(), RATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("samples", [torch.zeros(1, 4), torch.tensor([float("inf")])])
def test_unfit_samples_are_rejected(tmp_path: Path, samples: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="finite samples"):
        write(tmp_path / "a.wav", samples, RATE)


def test_an_unknown_metadata_field_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="recipe"):
        write(tmp_path / "a.wav", noise(), RATE, metadata={"recipe": "{}"})
