"""Folders of sounds, and what their sounds were to be."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

from clipsonic_cli.config import Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.sounds import find_prompts, heard, read_prompts, sound_files
from clipsonic_cli.pipeline import Sound


def test_names_are_paths_without_endings_where_these_are_not_needed(ears, tmp_path):
    for suffix in (".wav", ".flac"):
        ears.write_sounds(tmp_path / "in", 1, suffix=suffix)
    ears.write_sounds(tmp_path, 1, suffix=".WAV", name="cat-{}")
    ears.write_sounds(tmp_path / ".hidden", 1)
    (tmp_path / "notes.txt").write_text("x")
    assert list(sound_files(tmp_path)) == ["cat-0", "in/dog-0.flac", "in/dog-0.wav"]


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


def test_sounds_that_cannot_be_read_are_left_out_and_named(ears, tmp_path):
    ears.write_sounds(tmp_path, 3)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "nan.wav", np.full(9000, np.nan, np.float32), 16_000, "FLOAT")
    soundfile.write(tmp_path / "brief.wav", np.ones(9), 16_000)
    features = heard(sound_files(tmp_path), ears.Ears())
    assert features.names == ("dog-0", "dog-1", "dog-2")
    notes = " ".join(features.notes)
    assert "2 files (broken, nan) left out" in notes
    assert "1 sound (brief) left out: too short" in notes


def test_nothing_but_broken_files_is_an_error_that_says_why(tmp_path, ears):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(UsageError, match=r"broken\.wav"):
        heard(sound_files(tmp_path), ears.Ears())


def test_two_channels_are_heard_as_their_mean(ears, tmp_path):
    ears.write_sounds(tmp_path, 1)
    mono, rate = soundfile.read(tmp_path / "dog-0.wav")
    soundfile.write(tmp_path / "two.wav", np.stack([mono, np.zeros_like(mono)], 1), rate, "FLOAT")
    soundfile.write(tmp_path / "half.wav", mono / 2, rate, "FLOAT")
    rows = dict(zip(*_rows(heard(sound_files(tmp_path), ears.Ears())), strict=True))
    assert torch.allclose(rows["two"], rows["half"], atol=1e-5)


def _rows(features):
    return features.names, features.sounds()


def test_a_recipe_inside_says_what_a_sound_was_to_be_and_else_its_name(tmp_path, violin_picture):
    silence = torch.zeros(16)
    for name, asked in (("1", {"text": "rain"}), ("2", {"image": str(violin_picture)})):
        recipe = Recipe(**asked, mode="pd" if "text" in asked else "iq")
        Sound(samples=silence, sample_rate=16_000, recipe=recipe).write(tmp_path / f"{name}.wav")
    soundfile.write(tmp_path / "dog_barking-17.wav", silence.numpy(), 16_000)
    soundfile.write(tmp_path / "0003.wav", silence.numpy(), 16_000)
    prompts, pictures, notes = find_prompts(sound_files(tmp_path), None)
    assert prompts == {"1": "rain", "dog_barking-17": "dog barking"}
    assert pictures == {"2": violin_picture}
    assert "such as 'dog barking', for 1 of 4 sounds" in notes[0]


@pytest.mark.parametrize("key", ["dog-0", "dog-0.wav", "in/dog-0"])
def test_a_list_names_sounds_with_or_without_folder_and_ending(ears, tmp_path, key):
    ears.write_sounds(tmp_path / "in", 2)
    (tmp_path / "p.csv").write_text(
        f"\ufeffFile,seed,prompt\n{key},1,rain\nother,2,snow\n", "utf-8"
    )
    listed = read_prompts(tmp_path / "p.csv")
    prompts, _, notes = find_prompts(sound_files(tmp_path), listed)
    assert (prompts, notes) == ({"in/dog-0": "rain"}, [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has none"),
        (b"a,b\n1,2\n", "it has a, b"),
        (b"file,prompt\n", "no rows"),
        (b"file,prompt\nx,\n", "no rows"),
        (b"file,prompt\n\xff,rain\n", "not UTF-8"),
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


def test_the_order_of_files_does_not_matter(ears, tmp_path):
    ears.write_sounds(tmp_path / "a", 4)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    files = sound_files(tmp_path / "b")
    backwards = heard(dict(reversed(files.items())), ears.Ears())
    there = heard(sound_files(tmp_path / "a"), ears.Ears())
    assert torch.equal(backwards.only(there.names).rows, there.rows)
