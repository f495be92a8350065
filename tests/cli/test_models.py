"""``clipsonic models``, and the default model in the commands that use one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from clipsonic_cli import ClipSonic
from clipsonic_cli.cli import run
from clipsonic_cli.cli.console import Console
from clipsonic_cli.cli.models.command import remove
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store.default_mode import FITS, KEY
from clipsonic_cli.store.manifest import ASSETS

FAST = ("--steps", "1", "--seconds", "0.3", "--mode", "zs", "--seed", "1")


@pytest.fixture
def call(micro, tmp_path, monkeypatch, capsys):
    """Run a command where models "music" and "birds" are installed; return code, out and err."""
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CLIPSONIC_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("music", "birds"):
        shutil.copytree(micro, tmp_path / "home" / "models" / name)

    def call(*arguments):
        code = run([*map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return call


def objects(lines):
    return [json.loads(line) for line in lines]


def test_all_models_are_listed_with_what_they_can_do(call, tmp_path):
    code, (head, *rows), _ = call("models")
    assert code == 0
    assert head.split("\t") == [
        *("name", "modes", "texts by", "student", "size", "licence", "state", "default", "path"),
    ]
    cells = {row.split("\t")[0]: row.split("\t")[1:] for row in rows}
    assert list(cells) == ["mini", "birds", "music"]
    assert cells["mini"][:1] == ["iq, zs, ms, ra, rt, db, pd, sd"]
    assert cells["mini"][4:7] == ["CC-BY-SA-4.0", "built in", "default"]
    folder = str(tmp_path / "home" / "models" / "birds")
    assert cells["birds"][4:] == ["not stated", "yours", "", folder]
    _, lines, _ = call("models", "--json")
    assert [one["default"] for one in objects(lines)] == [True, False, False]


def test_a_folder_that_is_the_default_is_in_the_list(call, micro):
    assert call("models", "default", micro)[:2] == (0, [str(micro)])
    _, lines, _ = call("models", "--json")
    assert [(one["name"], one["default"]) for one in objects(lines)][-1] == (str(micro), True)


def test_a_default_that_is_gone_is_a_note_of_the_list_and_an_error_elsewhere(call):
    call("models", "default", "music")
    shutil.rmtree(model_folders.find("music").path)
    code, lines, err = call("models", "--json")
    assert (code, len(lines), len(err)) == (0, 2, 1)
    assert "There is no model 'music'" in err[0]
    for command in (("generate", "dog"), ("models", "default"), ("eval", "--metrics", "clap")):
        code, out, (line,) = call(*command)
        assert (code, out) == (2, [])
        assert "chosen by clipsonic models default, is missing" in line
    assert call("models", "default", "--unset")[:2] == (0, ["mini"])


def test_the_default_is_used_by_generate_which_says_who_chose_it(call, monkeypatch):
    assert call("models", "default")[1] == ["mini"]
    assert call("models", "default", "music")[1] == ["music"]
    assert objects(call("models", "default", "--json")[1])[0]["chosen_by"] == (
        "clipsonic models default"
    )
    _, (path,), err = call("generate", "dog", *FAST)
    assert any("model music (by clipsonic models default)" in line for line in err)
    assert read_recipe(Path(path)).model == "music"
    monkeypatch.setenv("CLIPSONIC_MODEL", "birds")
    _, (path,), err = call("generate", "cat", *FAST)
    assert any("model birds (by CLIPSONIC_MODEL)" in line for line in err)
    assert read_recipe(Path(path)).model == "birds"
    _, (path,), err = call("generate", "owl", *FAST, "--model", "music")
    assert any(line.endswith("model music") for line in err)
    # A sound is repeated by the model that made it.
    _, _, err = call("generate", "--like", path)
    assert any(line.endswith("model music") for line in err)
    _, _, err = call("models", "default", "music")
    assert "'birds' is used" in err[0]


def test_the_default_is_that_of_python_too(call, monkeypatch):
    call("models", "default", "music")
    assert ClipSonic.load(device="cpu").model == "music"
    assert ClipSonic.load("birds", device="cpu").model == "birds"


def test_a_removed_default_is_the_default_no_more(call):
    call("models", "default", "music")
    code, out, err = call("models", "remove", "birds", "music", "--yes")
    assert (code, out) == (0, ["birds", "music"])
    assert "'music' was the default" in err[0]
    assert model_folders.names() == ["mini"]
    assert call("models", "default")[1] == ["mini"]


def test_a_list_is_what_there_is_without_an_action(call):
    assert call("models", "list", "--json") == call("models", "--json")


def test_a_model_that_is_not_confirmed_is_kept_and_the_next_is_asked_for(monkeypatch, capsys, call):
    answers = iter([False, True])
    monkeypatch.setattr("typer.confirm", lambda *_, **__: next(answers))
    console = Console(quiet=False)
    monkeypatch.setattr(type(console.console), "is_terminal", True)
    remove(console, ["music", "birds"], yes=False)
    assert capsys.readouterr().out == "birds\n"
    assert "music" in model_folders.names()


def test_nothing_is_removed_where_one_cannot_be(call):
    assert call("models", "remove", "music", "mini", "--yes")[0] == 2
    code, _, (line,) = call("models", "remove", "mini")
    assert (code, line) == (
        2,
        "clipsonic: Model 'mini' is part of clipsonic and cannot be removed.",
    )
    code, _, (line,) = call("models", "remove", "music")
    assert code == 2
    assert "'music' is kept" in line
    assert "music" in model_folders.names()


def test_download_lists_weights_and_says_where_models_are(call):
    code, (_, *rows), err = call("download")
    assert code == 0
    assert [row.split("\t")[0] for row in rows] == list(ASSETS)
    assert err[-1].startswith("Models that are here (3): mini (texts by ")
    assert err[-1].endswith(", birds (texts by pd), music (texts by pd); see clipsonic models")
    assert call("download", "--list", "music")[1][1].startswith("music\t")


def test_the_mode_for_texts_is_shown_with_its_figure_in_every_list(call):
    """What statistics say that were gathered for another model is enough here."""
    part = bundle.load(model_folders.find("mini").part("statistics"), kind="statistics")
    header = replace(part.header, meta={KEY: "rt", FITS: {"zs": 0.2, "rt": 0.512}})
    folder = model_folders.find("music").path
    bundle.write(folder / "statistics.safetensors", replace(part, header=header))
    (line,) = (row for row in call("models")[1] if row.startswith("music\t"))
    assert line.split("\t")[2] == "rt (cosine 0.51)"
    listed = {one["name"]: one["text_mode"] for one in objects(call("models", "--json")[1])}
    assert (listed["music"], listed["birds"]) == ("rt (cosine 0.51)", "pd")
    assert "; texts by rt (cosine 0.51)\t" in call("download", "--list", "music")[1][1]
    assert "music (texts by rt (cosine 0.51))" in call("download", "--list")[2][-1]
    (modes,) = (line for line in call("info", "music")[1] if line.startswith("modes\t"))
    assert modes.endswith("; by default text: rt (cosine 0.51), image: iq")
    (folder / "statistics.safetensors").write_bytes(b"")
    assert any("damaged" in row for row in call("models")[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ls"], "Unknown action 'ls'. Did you mean 'list'? Known: list, default, remove."),
        (["list", "music"], "takes no NAME"),
        (["remove", "nope"], "Unknown model 'nope'. Known: mini, birds, music."),
        (["defualt"], "Did you mean 'default'?"),
        (["default", "musik"], "There is no model 'musik'. Did you mean 'music'?"),
        (["default", "a", "b"], "There is one default model"),
        (["default", "music", "--unset"], "There is one default model"),
        (["--unset"], "clipsonic models default --unset"),
        (["default", "-y"], "clipsonic models remove NAME --yes"),
        (["remove"], "Nothing to remove"),
    ],
)
def test_a_mistake_ends_in_one_line_and_code_2(call, arguments, said):
    code, out, (line,) = call("models", *arguments)
    assert (code, out) == (2, [])
    assert said in line


def test_a_student_is_in_every_list(call, micro_student, tmp_path):
    shutil.copytree(micro_student, tmp_path / "home" / "models" / "quick")
    (line,) = (row for row in call("models")[1] if row.startswith("quick\t"))
    assert line.split("\t")[3] == "4 calls"
    calls = {one["name"]: one["student_calls"] for one in objects(call("models", "--json")[1])}
    assert (calls["quick"], calls["birds"]) == (4, None)
    assert "; a student of 4 calls\t" in call("download", "--list", "quick")[1][1]
