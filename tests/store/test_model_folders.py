import json
import os
import shutil
from pathlib import Path

import pytest

from clipsonic_cli.cli import run
from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.modes import MODES
from clipsonic_cli.store import model_folders
from clipsonic_cli.store.assets import recorded_digest

MINI = ("clip", "prior", "unet", "vocoder")


def make(folder, parts=MINI):
    """Create a model folder of empty files, as none is read."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem in parts:
        (folder / f"{stem}.safetensors").touch()
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine with embedded models in bundled/ and installed ones in home/models/."""
    monkeypatch.setattr(model_folders, "BUNDLED", tmp_path / "bundled")
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path / "home"))
    make(tmp_path / "bundled" / "mini")
    return tmp_path / "home" / "models"


def test_an_embedded_model_is_found_by_name(tmp_path):
    folder = model_folders.find("mini")
    assert folder.part("unet") == tmp_path / "bundled" / "mini" / "unet.safetensors"
    assert folder.name == "mini"


def test_a_persons_model_is_found_by_name(home):
    make(home / "music")
    assert model_folders.find("music").path == home / "music"
    assert model_folders.names() == ["mini", "music"]


def test_an_embedded_model_comes_before_a_persons_of_the_same_name(home, tmp_path):
    make(home / "mini")
    assert model_folders.find("mini").path == tmp_path / "bundled" / "mini"
    assert model_folders.names() == ["mini"]


def test_a_folder_anywhere_is_found_by_path_and_named_so_that_it_is_found_again(
    tmp_path, monkeypatch
):
    path = make(tmp_path / "elsewhere" / "run")
    monkeypatch.chdir(tmp_path)
    folder = model_folders.find("elsewhere/run")
    assert folder.path == path
    monkeypatch.chdir("/")
    assert model_folders.find(folder.name) == folder


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match=r"no model 'mimi'. Did you mean 'mini'\? Known: mini"):
        model_folders.find("mimi")


def test_a_folder_without_parts_is_no_model(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"has no \.safetensors file"):
        model_folders.find(tmp_path / "empty")


def test_folders_without_parts_have_no_name(home):
    (home / "empty").mkdir(parents=True)
    assert model_folders.names() == ["mini"]


def test_modes_are_those_whose_parts_are_all_there():
    assert model_folders.find("mini").modes() == ["iq", "zs", "pd"]


def test_absent_parts_are_named_with_the_command_that_trains_them():
    with pytest.raises(MissingWeights) as caught:
        model_folders.find("mini").require(MODES["sd"].weights)
    assert "lacks prior-sd.safetensors" in str(caught.value)
    command = "clipsonic train --data DIR --stage prior --base mini."
    assert f"prior-sd on your own videos: {command}" in str(caught.value)
    assert "complete for: iq, zs, pd" in str(caught.value)
    assert caught.value.exit_code == 3


def test_the_command_for_statistics_is_of_the_model_or_the_run_in_one_line(home, tmp_path):
    folders = {
        make(home / "my music"): "--data DIR --stage statistics --name 'my music'",
        make(tmp_path / "shared"): f"--data DIR --stage statistics --base {tmp_path / 'shared'}",
        make(tmp_path / "run" / "model"): f"--resume {tmp_path / 'run'}",
        make(tmp_path / "other" / "model"): (
            f"--data DIR --stage statistics --base {tmp_path / 'other' / 'model'}"
        ),
    }
    (tmp_path / "run" / "run.json").write_text('{"stage": "unet"}')
    (tmp_path / "other" / "run.json").write_text('{"stage": "prior"}')
    for folder, command in folders.items():
        with pytest.raises(MissingWeights) as caught:
            model_folders.ModelFolder(folder).require(["statistics"])
        assert f"To gather statistics on your own videos: clipsonic train {command}." in str(
            caught.value
        )
        assert "\n" not in str(caught.value)


def test_every_part_has_a_way_to_come_by():
    published = {"clip", "prior", "clap"}  # those the manifest has
    assert {name for mode in MODES.values() for name in mode.weights} <= published | {
        *model_folders.TRAINING
    }


@pytest.mark.parametrize("command", model_folders.TRAINING.values())
def test_the_way_to_train_a_part_is_a_command(command, capsys):
    program, *arguments = command.replace("DIR", "nowhere").split()
    assert (program, run(arguments)) == ("clipsonic", 2)
    assert "no data at 'nowhere'" in capsys.readouterr().err


def test_parts_that_are_published_are_downloaded_and_the_rest_is_trained():
    with pytest.raises(MissingWeights) as caught:
        model_folders.find("mini").require(MODES["clap-tta"].weights)
    assert "clipsonic download clap." in str(caught.value)
    assert "train --data DIR --condition clap-text --base mini." in str(caught.value)


def test_published_weights_stand_in_for_a_part_a_model_lacks(home):
    make(home / "half", ["unet", "vocoder"])
    assert not model_folders.find("half").has("prior")
    place = home.parent / "weights" / "laion-prior"
    make(place, ["prior"])
    size = (place / "prior.safetensors").stat().st_size
    receipt = {"kept": {"prior.safetensors": {"bytes": size, "sha256": "ab" * 32}}}
    (place / "receipt.json").write_text(json.dumps(receipt))
    assert model_folders.find("half").part("prior") == place / "prior.safetensors"
    assert recorded_digest(place / "prior.safetensors") == "ab" * 32
    make(home / "half", ["prior"])  # its own comes first
    assert model_folders.find("half").part("prior") == home / "half" / "prior.safetensors"


def test_a_model_with_all_parts_is_accepted():
    assert model_folders.find("mini").require([*MODES["pd"].weights, "vocoder"]) is None


def test_a_model_without_any_complete_mode_says_so(home):
    make(home / "half", ["vocoder"])
    with pytest.raises(MissingWeights, match="complete for: none"):
        model_folders.find("half").require(MODES["iq"].weights)


def test_without_a_choice_the_default_is_the_built_in_model(monkeypatch):
    monkeypatch.delenv("CLIPSONIC_MODEL", raising=False)
    assert model_folders.default() == ("mini", None)


def test_a_stored_default_is_used_until_the_variable_names_another(home, monkeypatch):
    make(home / "music")
    make(home / "birds")
    monkeypatch.setenv("CLIPSONIC_MODEL", "")
    model_folders.store_default("music")
    assert model_folders.default() == ("music", "clipsonic models default")
    monkeypatch.setenv("CLIPSONIC_MODEL", "birds")
    assert model_folders.default() == ("birds", "CLIPSONIC_MODEL")
    assert [path.name for path in home.parent.iterdir()] == ["models", "default-model"]


@pytest.mark.parametrize("name", [None, "mini"])
def test_the_built_in_model_is_the_default_again(home, monkeypatch, name):
    monkeypatch.delenv("CLIPSONIC_MODEL", raising=False)
    make(home / "music")
    model_folders.store_default(name)  # where none was stored, nothing happens
    model_folders.store_default("music")
    model_folders.store_default(name)
    assert model_folders.default() == ("mini", None)
    assert not (home.parent / "default-model").exists()


@pytest.mark.parametrize("name", ["run", b"caf\xe9", "a b"])
def test_a_folder_can_be_the_default_from_everywhere(tmp_path, monkeypatch, name):
    monkeypatch.delenv("CLIPSONIC_MODEL", raising=False)
    path = make(tmp_path / os.fsdecode(name))
    monkeypatch.chdir(tmp_path)
    model_folders.store_default(os.fsdecode(name))
    monkeypatch.chdir("/")
    name, _ = model_folders.default()
    assert model_folders.find(name).path == path


def test_what_is_no_model_does_not_become_the_default(home):
    with pytest.raises(UsageError, match="There is no model 'none'"):
        model_folders.store_default("none")
    assert not home.parent.exists()


def test_the_model_of_a_run_is_suggested_for_its_name_and_its_folder(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = make(Path("runs/music/model"))
    for name in ("music", "runs/music"):
        with pytest.raises(UsageError, match=rf"no model '{name}'.* Did you mean '{model}'\?"):
            model_folders.find(name)


def test_a_default_that_is_gone_is_one_error_that_says_who_chose_it(home, monkeypatch):
    monkeypatch.delenv("CLIPSONIC_MODEL", raising=False)
    model = make(home / "music")
    model_folders.store_default("music")
    shutil.rmtree(model)
    with pytest.raises(UsageError) as raised:
        model_folders.default()
    assert "chosen by clipsonic models default, is missing. There is no model 'music'" in str(
        raised.value
    )
    assert str(raised.value).endswith("Or: clipsonic models default --unset")
    monkeypatch.setenv("CLIPSONIC_MODEL", "birds")
    with pytest.raises(UsageError, match=r"CLIPSONIC_MODEL, is .* 'birds'.* unset CLIPSONIC_MODEL"):
        model_folders.default()


def test_a_damaged_choice_is_none(home):
    home.mkdir(parents=True)
    path = home.parent / "default-model"
    path.write_text("x" * 10_000)
    assert model_folders.stored_default() is None
    path.write_text("\n")
    assert model_folders.stored_default() is None


def test_what_else_a_caller_knows_is_in_the_message():
    with pytest.raises(UsageError, match=r"Did you mean 'published'\? Known: mini, published;"):
        model_folders.find("publishd", also=["published"])
