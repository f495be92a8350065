"""Folders of sounds, and what their sounds were to be."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from clipsonic_cli.config import Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.audio_files import find_prompts, heard, read_prompts, sound_files
from clipsonic_cli.sound import Sound
from clipsonic_cli.store.bundle import identity


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


def test_a_folder_within_that_cannot_be_read_is_refused_by_its_name(fakes, tmp_path, monkeypatch):
    fakes.write_sounds(tmp_path, 1)
    locked = fakes.write_sounds(tmp_path / "locked", 1)
    _forbid(monkeypatch, locked)
    with pytest.raises(UsageError, match=r"locked' cannot be read: Permission denied"):
        sound_files(tmp_path)


def test_a_folder_within_one_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
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
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return allowed(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_link_to_nothing_is_named(fakes, tmp_path):
    fakes.write_sounds(tmp_path, 1)
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    [note] = heard(sound_files(tmp_path), fakes.FakeBackbone()).notes
    assert note == "1 file (gone) left out: does not exist."


@pytest.mark.parametrize(
    ("place", "reason"), [("nowhere", "does not exist"), ("file", "is a file")]
)
def test_what_is_no_folder_is_refused(tmp_path, place, reason):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=reason):
        sound_files(tmp_path / place)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no sounds"):
        sound_files(tmp_path)


def test_sounds_that_cannot_be_read_are_left_out_and_named(fakes, tmp_path):
    fakes.write_sounds(tmp_path, 3)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "nan.wav", np.full(9000, np.nan, np.float32), 16_000, "FLOAT")
    soundfile.write(tmp_path / "brief.wav", np.ones(9), 16_000)
    features = heard(sound_files(tmp_path), fakes.FakeBackbone())
    assert features.names == ("dog-0", "dog-1", "dog-2")
    notes = " ".join(features.notes)
    assert "1 file (broken) left out: Format not recognised." in notes
    assert "1 file (nan) left out: samples that are not finite (NaN or infinite)." in notes
    assert "1 sound (brief) left out: too short" in notes


def test_files_that_fail_alike_are_counted_together_and_some_are_named(fakes, tmp_path):
    fakes.write_sounds(tmp_path, 1)
    for n in range(5):
        (tmp_path / f"broken-{n}.wav").write_bytes(b"RIFF")
    [note] = heard(sound_files(tmp_path), fakes.FakeBackbone()).notes
    assert note == ("5 files (broken-0, broken-1, broken-2, ...) left out: Format not recognised.")


def test_nothing_but_broken_files_is_an_error_that_says_every_reason(tmp_path, fakes):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "empty.wav", np.ones(0), 16_000)
    with pytest.raises(UsageError, match=r"\(broken\) .* recognised\. 1 file \(empty\) .* samples"):
        heard(sound_files(tmp_path), fakes.FakeBackbone())


def test_where_no_file_is_of_use_what_is_broken_is_told_beside_what_is_too_short(tmp_path, fakes):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "brief.wav", np.ones(9), 16_000)
    with pytest.raises(UsageError, match=r"\(brief\) left out: too short.*\(broken\) left out"):
        heard(sound_files(tmp_path), fakes.FakeBackbone())


def test_sounds_that_are_cut_are_heard_and_named(fakes, tmp_path):
    fakes.write_sounds(tmp_path, 3)
    for name in ("dog-0", "dog-2"):
        path = tmp_path / f"{name}.wav"
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    features = heard(sound_files(tmp_path), fakes.FakeBackbone())
    assert features.names == ("dog-0", "dog-1", "dog-2")
    assert features.notes == ("2 files (dog-0, dog-2) cut off: shorter than the header says.",)


def test_two_channels_are_heard_as_their_mean(fakes, tmp_path):
    fakes.write_sounds(tmp_path, 1)
    mono, rate = soundfile.read(tmp_path / "dog-0.wav")
    soundfile.write(tmp_path / "two.wav", np.stack([mono, np.zeros_like(mono)], 1), rate, "FLOAT")
    soundfile.write(tmp_path / "half.wav", mono / 2, rate, "FLOAT")
    rows = dict(zip(*_rows(heard(sound_files(tmp_path), fakes.FakeBackbone())), strict=True))
    assert torch.allclose(rows["two"], rows["half"], atol=1e-5)


def _rows(features):
    return features.names, features.sounds()


def test_a_recipe_inside_says_what_a_sound_was_to_be_and_else_its_name(tmp_path, violin_picture):
    silence = torch.zeros(16)
    for name, asked in (("1", {"text": "rain"}), ("2", {"image": str(violin_picture)})):
        recipe = Recipe(**asked, mode="pd" if "text" in asked else "iq")
        if recipe.image is not None:
            recipe = replace(recipe, image_sha256=identity(violin_picture))
        Sound(samples=silence, sample_rate=16_000, recipe=recipe).write(tmp_path / f"{name}.wav")
    soundfile.write(tmp_path / "dog_barking-17.wav", silence.numpy(), 16_000)
    soundfile.write(tmp_path / "0003.wav", silence.numpy(), 16_000)
    prompts, pictures, notes = find_prompts(
        sound_files(tmp_path), None, folders=[violin_picture.parent]
    )
    assert prompts == {"1": "rain", "dog_barking-17": "dog barking"}
    assert pictures == {"2": violin_picture}
    assert "such as 'dog barking', for 1 of 4 sounds" in notes[0]


@pytest.mark.parametrize("digest", ["0" * 16, None])
def test_a_picture_that_is_not_the_recipes_own_is_not_shown(tmp_path, violin_picture, digest):
    recipe = Recipe(image=str(violin_picture), image_sha256=digest, mode="iq")
    Sound(samples=torch.zeros(16), sample_rate=16_000, recipe=recipe).write(tmp_path / "a.wav")
    _, pictures, notes = find_prompts(sound_files(tmp_path), None, folders=[violin_picture.parent])
    assert pictures == {}
    assert notes[0].startswith("pictures that recipes name are not shown for 1 of 1 sounds")


def test_a_picture_outside_the_folders_is_shown_only_where_its_folder_is_named(
    tmp_path, violin_picture
):
    private = tmp_path / "private" / "passport.png"
    private.parent.mkdir()
    private.write_bytes(violin_picture.read_bytes())
    recipe = Recipe(image=str(private), image_sha256=identity(private), mode="iq")
    shared = tmp_path / "shared"
    shared.mkdir()
    Sound(samples=torch.zeros(16), sample_rate=16_000, recipe=recipe).write(shared / "a.wav")
    sounds = sound_files(shared)
    _, pictures, notes = find_prompts(sounds, None, folders=[shared])
    assert pictures == {}
    assert "name its folder by `pictures`" in notes[0]
    _, pictures, notes = find_prompts(sounds, None, folders=[shared, private.parent])
    assert pictures == {"a": private}
    assert notes == []


@pytest.mark.parametrize(
    "key",
    [
        *("dog-0", "dog-0.wav", "in/dog-0", "in/dog-0.wav"),
        *("./in/dog-0.wav", "in\\dog-0.wav", "  in/dog-0.wav "),
    ],
)
def test_a_list_names_sounds_with_or_without_folder_and_ending(fakes, tmp_path, key):
    fakes.write_sounds(tmp_path / "in", 2)
    (tmp_path / "p.csv").write_text(
        f"\ufeffFile,seed,prompt\n{key},1,rain\nother,2,snow\n", "utf-8"
    )
    listed = read_prompts(tmp_path / "p.csv")
    prompts, _, notes = find_prompts(sound_files(tmp_path), listed)
    assert prompts == {"in/dog-0": "rain"}
    assert notes == ["1 of 2 prompts are of no file, such as 'other'"]


def sounds_at(*paths):
    """Sounds as a folder of such files gives them; what is in them does not matter here."""
    return {path.removesuffix(".wav"): Path("folder", path) for path in paths}


@pytest.mark.parametrize("key", ["1.wav", "1"])
def test_a_name_that_may_be_of_several_files_is_refused(key):
    with pytest.raises(UsageError, match=rf"'{key}' may be that of 'cat/1' or 'dog/1', 2 files"):
        find_prompts(sounds_at("cat/1.wav", "dog/1.wav", "dog/2.wav"), {key: "rain"})


def test_a_path_is_of_its_file_alone_where_others_share_the_name():
    sounds = sounds_at("1.wav", "cat/1.wav", "dog/1.wav")
    listed = {"1.wav": "rain", "dog/1.wav": "barking"}
    assert find_prompts(sounds, listed) == ({"1": "rain", "dog/1": "barking"}, {}, [])


def test_endings_tell_files_apart_in_a_list():
    sounds = {name: Path("folder", name) for name in ("x.flac", "x.wav", "x.wav.wav")}
    listed = {name: name[1:] for name in sounds}
    assert find_prompts(sounds, listed) == (listed, {}, [])
    with pytest.raises(UsageError, match=r"'x.flac' or 'x.wav'"):
        find_prompts(sounds, {"x": "rain"})


def test_two_prompts_of_one_file_are_refused_however_it_is_named():
    sounds = sounds_at("cat/1.wav")
    assert find_prompts(sounds, {"1": "rain", "cat/1": "rain"})[0] == {"cat/1": "rain"}
    with pytest.raises(UsageError, match="'cat/1' has two prompts, 'rain' and 'snow'"):
        find_prompts(sounds, {"1": "rain", "cat/1": "snow"})


def test_a_name_may_be_listed_twice_with_one_prompt_but_not_with_two(tmp_path):
    (tmp_path / "p.csv").write_text("file,prompt\n1.wav,rain\n./1.wav,rain \n1.wav,\n")
    assert read_prompts(tmp_path / "p.csv") == {"1.wav": "rain"}
    (tmp_path / "p.csv").write_text("file,prompt\n1.wav,rain\n 1.wav,snow\n")
    with pytest.raises(UsageError, match=r"'1\.wav' has two prompts, 'rain' and 'snow'"):
        read_prompts(tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has none"),
        (b"a,b\n1,2\n", "it reads 'a', 'b'"),
        (b"file,prompt\n", "no rows"),
        (b"file,prompt\nx,\n", "no rows"),
        (b"file,prompt\nx,\xff\n", "line 2, prompt .* is not UTF-8"),
        (b'file,prompt\n"x"y,rain\n', "no csv"),
    ],
)
def test_a_list_that_is_of_no_use_is_refused(tmp_path, content, reason):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        read_prompts(tmp_path / "p.csv")


def test_a_list_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_prompts(tmp_path / "p.csv")


def test_the_order_of_files_does_not_matter(fakes, tmp_path):
    fakes.write_sounds(tmp_path / "a", 4)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    files = sound_files(tmp_path / "b")
    backwards = heard(dict(reversed(files.items())), fakes.FakeBackbone())
    there = heard(sound_files(tmp_path / "a"), fakes.FakeBackbone())
    assert torch.equal(backwards.only(there.names).rows, there.rows)
