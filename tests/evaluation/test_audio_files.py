"""Folders of sounds, and their features."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.audio_files import embed_files, sound_files


def test_names_are_paths_without_endings_where_these_are_not_needed(fakes, tmp_path):
    for suffix in (".wav", ".flac"):
        fakes.write_sounds(tmp_path / "in", 1, suffix=suffix)
    fakes.write_sounds(tmp_path, 1, suffix=".WAV", name="cat-{}")
    fakes.write_sounds(tmp_path / ".hidden", 1)
    (tmp_path / "notes.txt").write_text("x")
    assert list(sound_files(tmp_path)) == ["cat-0", "in/dog-0.flac", "in/dog-0.wav"]


def test_no_two_files_have_one_name(tmp_path):
    names = ["x", "x.flac", "x.wav", "x.wav.wav", "y.wav", "y.wav.flac"]
    for name in names:
        (tmp_path / name).touch()
    assert {name: path.name for name, path in sound_files(tmp_path).items()} == {
        **{name: name for name in ("x.flac", "x.wav", "x.wav.wav", "y.wav.flac")},
        "y": "y.wav",
    }


def test_a_folder_within_that_cannot_be_read_is_rejected_by_its_name(fakes, tmp_path, monkeypatch):
    fakes.write_sounds(tmp_path, 1)
    locked = fakes.write_sounds(tmp_path / "locked", 1)
    _forbid(monkeypatch, locked)
    with pytest.raises(UsageError, match=r"locked' cannot be read: Permission denied"):
        sound_files(tmp_path)


def test_a_folder_within_one_that_cannot_be_read_is_rejected(tmp_path, monkeypatch):
    def stat(path, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as locked:
        locked.setattr(Path, "stat", stat)
        with pytest.raises(UsageError, match=r"in' cannot be read: Permission denied"):
            sound_files(tmp_path / "in")


def test_a_hidden_folder_is_not_looked_into(fakes, tmp_path, monkeypatch):
    fakes.write_sounds(tmp_path, 1)
    _forbid(monkeypatch, fakes.write_sounds(tmp_path / ".locked", 1))
    assert list(sound_files(tmp_path)) == ["dog-0"]


def _forbid(monkeypatch, folder):
    """Permission bits do not stop root, which tests may run as."""
    allowed = os.scandir

    def scandir(path):
        if path in (folder, str(folder)):  # pytest, which tidies up meanwhile, gives a number
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return allowed(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_link_to_nothing_is_named(fakes, tmp_path):
    fakes.write_sounds(tmp_path, 1)
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    [note] = embed_files(sound_files(tmp_path), fakes.FakeBackbone()).notes
    assert note == "1 file (gone) left out: does not exist."


@pytest.mark.parametrize(
    ("place", "reason"), [("nowhere", "does not exist"), ("file", "is a file")]
)
def test_what_is_no_folder_is_rejected(tmp_path, place, reason):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=reason):
        sound_files(tmp_path / place)


def test_an_empty_folder_is_rejected(tmp_path):
    with pytest.raises(UsageError, match="holds no sounds"):
        sound_files(tmp_path)


def test_sounds_that_cannot_be_read_are_left_out_and_named(fakes, tmp_path):
    fakes.write_sounds(tmp_path, 3)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "nan.wav", np.full(9000, np.nan, np.float32), 16_000, "FLOAT")
    soundfile.write(tmp_path / "brief.wav", np.ones(9), 16_000)
    features = embed_files(sound_files(tmp_path), fakes.FakeBackbone())
    assert features.names == ("dog-0", "dog-1", "dog-2")
    notes = " ".join(features.notes)
    assert "1 file (broken) left out: Format not recognised." in notes
    assert "1 file (nan) left out: samples that are not finite (NaN or infinite)." in notes
    assert "1 sound (brief) left out: too short" in notes


def test_files_that_fail_alike_are_counted_together_and_some_are_named(fakes, tmp_path):
    fakes.write_sounds(tmp_path, 1)
    for n in range(5):
        (tmp_path / f"broken-{n}.wav").write_bytes(b"RIFF")
    [note] = embed_files(sound_files(tmp_path), fakes.FakeBackbone()).notes
    assert note == ("5 files (broken-0, broken-1, broken-2, ...) left out: Format not recognised.")


def test_nothing_but_broken_files_is_an_error_that_says_every_reason(tmp_path, fakes):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "empty.wav", np.ones(0), 16_000)
    with pytest.raises(UsageError, match=r"\(broken\) .* recognised\. 1 file \(empty\) .* samples"):
        embed_files(sound_files(tmp_path), fakes.FakeBackbone())


def test_where_no_file_is_of_use_what_is_broken_is_reported_next_to_what_is_too_short(
    tmp_path, fakes
):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "brief.wav", np.ones(9), 16_000)
    with pytest.raises(UsageError, match=r"\(brief\) left out: too short.*\(broken\) left out"):
        embed_files(sound_files(tmp_path), fakes.FakeBackbone())


def test_sounds_that_are_cut_are_scored_and_named(fakes, tmp_path):
    fakes.write_sounds(tmp_path, 3)
    for name in ("dog-0", "dog-2"):
        path = tmp_path / f"{name}.wav"
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    features = embed_files(sound_files(tmp_path), fakes.FakeBackbone())
    assert features.names == ("dog-0", "dog-1", "dog-2")
    assert features.notes == ("2 files (dog-0, dog-2) cut off: shorter than the header says.",)


def test_two_channels_are_mixed_to_their_mean(fakes, tmp_path):
    fakes.write_sounds(tmp_path, 1)
    mono, rate = soundfile.read(tmp_path / "dog-0.wav")
    soundfile.write(tmp_path / "two.wav", np.stack([mono, np.zeros_like(mono)], 1), rate, "FLOAT")
    soundfile.write(tmp_path / "half.wav", mono / 2, rate, "FLOAT")
    rows = dict(zip(*_rows(embed_files(sound_files(tmp_path), fakes.FakeBackbone())), strict=True))
    assert torch.allclose(rows["two"], rows["half"], atol=1e-5)


def _rows(features):
    return features.names, features.sounds()


def test_the_order_of_files_does_not_matter(fakes, tmp_path):
    fakes.write_sounds(tmp_path / "a", 4)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    files = sound_files(tmp_path / "b")
    backwards = embed_files(dict(reversed(files.items())), fakes.FakeBackbone())
    there = embed_files(sound_files(tmp_path / "a"), fakes.FakeBackbone())
    assert torch.equal(backwards.only(there.names).rows, there.rows)
