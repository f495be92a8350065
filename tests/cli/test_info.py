"""``clipsonic info``: a machine, a model, published weights, a sound."""

import dataclasses
import json
import math
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest
import soundfile
import torch

from clipsonic_cli import ClipSonic, __version__
from clipsonic_cli.cli import run
from clipsonic_cli.cli.info import machine, model
from clipsonic_cli.cli.info.sound import OPTIONS, command
from clipsonic_cli.config import Recipe, StatisticsConfig
from clipsonic_cli.models.statistics import Statistics
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.store import bundle
from clipsonic_cli.store.manifest import ASSETS
from clipsonic_cli.store.model_folders import ModelFolder

FAST = ("--steps", "1", "--seconds", "0.3")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run ``clipsonic info``; return code, the values by name (or objects), and error lines."""
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CLIPSONIC_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run(["info", *map(str, arguments)])
        printed = capsys.readouterr()
        if "--json" in arguments:
            return code, [json.loads(line) for line in printed.out.splitlines()], printed.err
        return code, dict(line.split("\t") for line in printed.out.splitlines()), printed.err

    return call


@pytest.fixture
def sound(call, micro, tmp_path, capsys):
    """Make a sound with options, and return its path."""

    def sound(*arguments, name="a.wav"):
        made = ["generate", *map(str, arguments), *FAST, "--model", str(micro), "-o", name]
        assert run(made) == 0, capsys.readouterr().err
        capsys.readouterr()
        return tmp_path / name

    return sound


# This machine.


def test_the_machine_is_described_as_torch_sees_it(call, monkeypatch, micro, tmp_path):
    shutil.copytree(micro, tmp_path / "home" / "models" / "music")
    monkeypatch.setenv("CLIPSONIC_MODEL", "music")
    code, facts, _ = call()
    assert code == 0
    assert facts["clipsonic"].startswith(f"{__version__} (")
    assert sys.executable in facts["python"]
    assert f"torch {metadata.version('torch')}" in facts["packages"]
    assert facts["cores"].endswith(f"torch uses {torch.get_num_threads()}")
    assert facts["models"] == "mini, music"
    assert facts["default"] == "music"
    assert "CLIPSONIC_MODEL=music" in facts["variables"]
    (details,) = call("--json")[1]
    assert details["packages"]["torch"] == metadata.version("torch")
    size = sum(path.stat().st_size for path in micro.iterdir())
    assert details["folders"]["home"]["bytes"] == {"models": size}


def test_a_missing_default_is_described_and_no_failure(call, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_MODEL", "gone")
    code, facts, _ = call()
    assert code == 0
    assert "There is no model 'gone'" in facts["default"]


def test_a_torch_that_cannot_be_imported_is_described(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = machine.devices()
    assert found["device"].startswith("none: ")
    assert "torch" in found["device"]
    facts, _ = machine.describe()
    assert facts["devices"] == "none"
    assert facts["runs on"] == found["device"]


def test_the_precision_is_shown_with_its_reason(monkeypatch):
    monkeypatch.setattr("clipsonic_cli.device.cpu_flags", lambda: {"amx_bf16"})
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    facts, details = machine.describe()
    assert facts["runs on"] == "cpu in bfloat16 (the CPU has amx_bf16)"
    assert details["dtype"] == "bfloat16"


def test_no_secret_is_shown(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    monkeypatch.setenv("https_proxy", "http://me:pass@proxy:3128")
    monkeypatch.setenv("CLIPSONIC_MIRROR", "https://me:pass@mirror/")
    monkeypatch.setenv("UNRELATED", "x")
    found = machine.environment()
    assert found["HF_TOKEN"] == "(set)"
    assert found["https_proxy"] == "http://...@proxy:3128"
    assert found["CLIPSONIC_MIRROR"] == "https://...@mirror/"
    assert "UNRELATED" not in found


# A model.


def test_mini_lists_its_labels_modes_parts_and_licence(call):
    code, facts, _ = call("mini")
    assert code == 0
    assert facts["model"] == "mini (built in, the default)"
    assert "vacuum cleaner" in facts["labels"].split(": ")[1].split(", ")
    assert facts["labels"].startswith("67: accordion, acoustic guitar, ")
    assert facts["sound"].startswith("16 kHz mono, nothing above 8 kHz; 4.1 s in one piece")
    assert facts["licence"].startswith("CC-BY-SA-4.0 ")
    assert Path(facts["card"]).is_file()
    assert "pd (pretrained diffusion prior)" in facts["modes"]
    assert facts["part vocoder"].endswith(", the vocoder is vocos")
    assert "4,165 steps, 151.1 minutes" in facts["part unet"]


def test_a_model_is_named_by_its_folder_too_and_is_an_object(call, micro):
    _, (details,), _ = call(micro, "--json")
    assert details["path"] == str(micro)
    assert details["sound"] == {"sample_rate": 16_000, "highest_hz": 8000, "native_seconds": 4.096}
    assert {part["name"] for part in details["parts"]} == {"clip", "prior", "unet", "vocoder"}
    assert (details["labels"], details["card"], details["default"]) == ([], None, False)


def with_meta(micro, folder, stem, meta):
    """Copy a model with another meta of a part."""
    shutil.copytree(micro, folder)
    path = folder / f"{stem}.safetensors"
    part = bundle.load(path, kind=bundle.read_header(path).kind)
    header = dataclasses.replace(part.header, meta=meta)
    bundle.write(path, dataclasses.replace(part, header=header))
    return ModelFolder(folder)


def test_what_a_training_wrote_is_shown(micro, tmp_path):
    meta = {
        "steps": 1200,
        "minutes": 30.5,
        "best": {"step": 1000, "held_out_loss": 0.0625},
        "data": {"most_labels": {"dog": 3, "cat": 1}},
        "settings": {"window": 256},
    }
    facts, details = model.describe(with_meta(micro, tmp_path / "m", "unet", meta))
    trained = "not stated, 1,200 steps, 30.5 minutes, held-out loss 0.0625"
    assert facts["part unet"].endswith(trained)
    assert facts["labels"] == "2: dog, cat"
    assert details["sound"]["native_seconds"] == pytest.approx(256 * 512 / 16_000)


@pytest.mark.parametrize(
    ("known_by", "labels", "frames"),
    [("labels", "2: rain, dog", None), ("nouns", "1: cat", "are most like: rain, dog")],
)
def test_the_sounds_named_in_statistics_are_what_a_model_knows(
    micro, tmp_path, known_by, labels, frames
):
    shown = with_meta(micro, tmp_path / "m", "unet", {"labels": ["cat"]})
    statistics = Statistics(StatisticsConfig(dim=32, kept=1))
    header = bundle.Header(
        kind="statistics",
        config=statistics.config,
        space="clip-image",
        encoder="micro-clip",
        meta={"known": ["rain", "dog"], "known_by": known_by},
    )
    bundle.write(
        shown.part("statistics"), bundle.Bundle(header=header, weights=statistics.state_dict())
    )
    facts, _ = model.describe(shown)
    assert (facts["labels"], facts.get("frames")) == (labels, frames)


@pytest.mark.parametrize(
    "meta",
    [
        {"labels": 7, "steps": "many", "minutes": [1], "scores": [1], "best": 3, "data": [1]},
        {"labels": ["ok", 1, {}], "steps": 10**400, "scores": {"a": {"b": {"c": {}}}}},
        {"best": {"held_out_loss": "x" * 99}, "default_vocoder": 1, "accuracy": {"a": "b", "c": 1}},
        {"steps": True, "minutes": -1e300, "held_out": {"\x1b[2J": 1}},
    ],
)
def test_whatever_a_file_says_of_itself_is_shown_as_text(micro, tmp_path, meta, call):
    with_meta(micro, tmp_path / "m", "unet", meta)
    code, facts, _ = call(tmp_path / "m")
    assert code == 0
    assert "part unet" in facts
    assert not any("\x1b" in value for value in facts.values())
    assert call(tmp_path / "m", "--json")[0] == 0


def test_a_damaged_model_is_one_error(call, micro, tmp_path):
    shutil.copytree(micro, tmp_path / "m")
    (tmp_path / "m" / "prior.safetensors").write_bytes(b"nothing")
    code, facts, err = call(tmp_path / "m")
    assert (code, facts, len(err.splitlines())) == (1, {}, 1)
    assert "prior.safetensors" in err


def test_numbers_in_files_are_kept_where_they_are_some():
    assert model.numbers_of({"a": 1, "b": {"c": 0.5, "d": {"e": 1}}, "f": "x", "g": math.nan}) == {
        "a": 1,
        "b": {"c": 0.5},
    }


# Published weights.


@pytest.mark.parametrize("name", ASSETS)
def test_published_weights_are_described_and_how_to_get_them(call, name):
    code, facts, _ = call(name)
    assert code == 0
    assert facts["weights"] == f"{name}: {ASSETS[name].title}"
    assert facts["state"].endswith(f"clipsonic download {name}")


# A sound.


def test_a_sound_shows_its_recipe_and_format(call, sound):
    path = sound("a photo of violin", "--mode", "zs", "--seed", 7, "--bits", 24)
    code, facts, _ = call(path)
    assert code == 0
    assert facts["text"] == "a photo of violin"
    assert (facts["mode"], facts["seed"]) == ("zs (zero-shot modality transfer)", "7")
    assert facts["format"] == "WAV PCM_24, 0.300 s, 16 kHz mono"
    (details,) = call(path, "--json")[1]
    assert Recipe.from_json(details["recipe"]) == read_recipe(path)


@pytest.mark.parametrize(
    "query",
    [
        ["a dog's bark", "--mode", "zs", "-w", "1.25"],
        ["rain", "--negative", "wind", "--sampler", "ddim", "--seed", "3"],
        ["--seed", "2", "--", "--loud rain"],
        ["--image", "picture.jpg", "--vocoder", "griffin-lim"],
        ["rain", "--negative", "picture.jpg"],
        ["rain", "--trim", "--rate", "48000", "--normalize", "-23.5"],
        ["rain", "--normalize", "peak", "--bits", "24"],
    ],
)
def test_its_command_makes_a_sound_again(call, micro, query, violin_picture, tmp_path, capsys):
    shutil.copy(violin_picture, tmp_path / "picture.jpg")
    query = ["--seed", "2", *query] if "--seed" not in query else query
    end = query.index("--") if "--" in query else len(query)
    made = ["generate", *query[:end], *FAST, "--model", "micro", "-o", "first.wav", *query[end:]]
    shutil.copytree(micro, tmp_path / "home" / "models" / "micro")
    assert run(made) == 0
    capsys.readouterr()
    (details,) = call("first.wav", "--json")[1]
    assert details["again"] == "clipsonic generate --like first.wav"
    words = shlex.split(details["command"])
    assert words[:2] == ["clipsonic", "generate"]
    assert run(["generate", "-o", "again.wav", *words[2:]]) == 0
    assert (tmp_path / "again.wav").read_bytes() == (tmp_path / "first.wav").read_bytes()


@pytest.mark.parametrize(
    ("form", "bits"), [("flac", "24"), ("flac", "16"), ("wav", "float"), ("ogg", None)]
)
def test_its_command_keeps_the_format(call, sound, form, bits):
    path = sound("rain", "--seed", 2, *(["--bits", bits] if bits else []), name=f"a.{form}")
    (details,) = call(path, "--json")[1]
    assert run([*shlex.split(details["command"])[1:]]) == 0
    first, again = soundfile.info(path), soundfile.info(f"rain-2.{form}")
    assert (again.format, again.subtype) == (first.format, first.subtype)
    assert soundfile.read(f"rain-2.{form}")[0].tolist() == soundfile.read(path)[0].tolist()


@pytest.mark.parametrize(
    ("options", "finish", "gain"),
    [
        (["--normalize", -23], "normalized to -23 LUFS as far as its peak allows", "normalized"),
        (["--normalize", "peak", "--trim"], "normalized to a peak of -1 dBFS", "normalized"),
        (["--rate", 8000], "converted to 8000 Hz", None),
        ([], "none", None),
    ],
)
def test_how_a_sound_was_finished_is_shown_and_why_its_level_changed(
    call, sound, options, finish, gain
):
    path = sound("rain", "--seed", 2, *options)
    (details,), facts = call(path, "--json")[1], call(path)[1]
    assert facts["finish"].endswith(finish)
    assert facts["finish"].startswith("silence at its ends removed, ") == details["finish"]["trim"]
    if gain:
        assert facts["gain"].endswith(
            " than the model made it, as it was normalized; eval undoes it"
        )
    elif details["gain"] != 1:
        assert facts["gain"].endswith(
            " quieter than the model made it, so that no player clips it; eval undoes it"
        )


def test_every_field_of_a_recipe_is_an_option_of_its_command_or_follows_from_it():
    derived = {"text", "image_sha256", "negative_image_sha256", "model_id", "candidates", "student"}
    assert {field.name for field in dataclasses.fields(Recipe)} == set(OPTIONS) | derived
    assert command(Recipe(text="dog")).startswith("clipsonic generate dog --mode pd ")
    instant = command(Recipe(text="dog", student=True))
    assert instant.startswith("clipsonic generate dog --preset instant --mode pd ")


@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
def test_sounds_of_all_formats_are_described(call, sound, suffix):
    facts = call(sound("rain", name=f"a{suffix}"))[1]
    assert facts["format"].startswith(suffix[1:].upper())
    assert facts["format"].endswith("0.300 s, 16 kHz mono")


def test_several_are_described_one_after_the_other(call, sound):
    code, (first, second), _ = call("mini", sound("rain"), "--json")
    assert code == 0
    assert first["name"] == "mini"
    assert second["path"].endswith("a.wav")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("minni", "Did you mean 'mini'? Known: mini, openai-clip"),
        ("gone.wav", "There is no model, weights or file 'gone.wav'"),
        ("plain.wav", "carries no recipe of clipsonic"),
        ("text.txt", "text.txt"),
        ("unet.safetensors", "give the folder it is in"),
        (".", "There is no model '.', and the folder . has no .safetensors file"),
        ("x" * 5000, "There is no model"),
    ],
)
def test_what_cannot_be_described_is_one_line(call, name, said, tmp_path):
    soundfile.write(tmp_path / "plain.wav", [0.0] * 100, 16_000)
    (tmp_path / "text.txt").write_text("hello")
    code, facts, err = call(name)
    assert (code, facts, len(err.splitlines())) == (2, {}, 1)
    assert said in err


def test_a_student_and_its_sounds_are_said_to_be(call, micro_student, tmp_path):
    facts = call(micro_student)[1]
    assert "4 network calls, w 0 to 4 (--preset instant)" in facts["part student"]
    (found,) = call(micro_student, "--json")[1]
    assert found["student_calls"] == 4
    part = next(part for part in found["parts"] if part["name"] == "student")
    assert (part["calls"], part["max_guidance"]) == (4, 4.0)
    sonic = ClipSonic.load(micro_student)
    sonic("rain", mode="zs", student=True, seconds=0.3).write(tmp_path / "x.wav")
    facts = call(tmp_path / "x.wav")[1]
    assert facts["sampler"] == "ddim in 4 steps, by the model's student"
