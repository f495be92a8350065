"""What sounds were to be, by lists, recipes and names."""

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch

from clipsonic_cli.config import Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.audio_files import sound_files
from clipsonic_cli.evaluation.prompts import find_prompts, read_prompts
from clipsonic_cli.sound import Sound
from clipsonic_cli.store.bundle import identity


def test_a_recipe_inside_says_what_a_sound_was_to_be_and_else_its_name(tmp_path, violin_picture):
    silence = torch.zeros(16)
    for name, requested in (("1", {"text": "rain"}), ("2", {"image": str(violin_picture)})):
        recipe = Recipe(**requested, mode="pd" if "text" in requested else "iq")
        if recipe.image is not None:
            recipe = replace(recipe, image_sha256=identity(violin_picture))
        Sound(samples=silence, sample_rate=16_000, recipe=recipe).write(tmp_path / f"{name}.wav")
    soundfile.write(tmp_path / "dog_barking-17.wav", silence.numpy(), 16_000)
    soundfile.write(tmp_path / "0003.wav", silence.numpy(), 16_000)
    prompts, images, notes = find_prompts(
        sound_files(tmp_path), None, folders=[violin_picture.parent]
    )
    assert prompts == {"1": "rain", "dog_barking-17": "dog barking"}
    assert images == {"2": violin_picture}
    assert "such as 'dog barking', for 1 of 4 sounds" in notes[0]


@pytest.mark.parametrize("digest", ["0" * 16, None])
def test_an_image_that_is_not_the_recipes_own_is_not_shown(tmp_path, violin_picture, digest):
    recipe = Recipe(image=str(violin_picture), image_sha256=digest, mode="iq")
    Sound(samples=torch.zeros(16), sample_rate=16_000, recipe=recipe).write(tmp_path / "a.wav")
    _, images, notes = find_prompts(sound_files(tmp_path), None, folders=[violin_picture.parent])
    assert images == {}
    assert notes[0].startswith("images that recipes name are not shown for 1 of 1 sounds")


def test_an_image_outside_the_folders_is_shown_only_where_its_folder_is_named(
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
    _, images, notes = find_prompts(sounds, None, folders=[shared])
    assert images == {}
    assert "name its folder by `pictures`" in notes[0]
    _, images, notes = find_prompts(sounds, None, folders=[shared, private.parent])
    assert images == {"a": private}
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
def test_a_name_that_may_be_of_several_files_is_rejected(key):
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


def test_two_prompts_of_one_file_are_rejected_however_it_is_named():
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
def test_a_list_that_is_of_no_use_is_rejected(tmp_path, content, reason):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        read_prompts(tmp_path / "p.csv")


def test_a_list_that_is_not_there_is_rejected(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_prompts(tmp_path / "p.csv")
