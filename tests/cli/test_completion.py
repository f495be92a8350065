"""What a shell is told to complete, asked as bash asks it."""

import shutil

import pytest
import typer

from clipsonic_cli.cli import app, run
from clipsonic_cli.config import DEVICES, DTYPES
from clipsonic_cli.store import model_folders
from clipsonic_cli.store.manifest import ASSETS


@pytest.fixture
def complete(monkeypatch, capsys):
    def complete(line):
        words = line.split(" ")
        monkeypatch.setenv("_CLIPSONIC_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        with pytest.raises(SystemExit) as ended:
            run([])
        assert ended.value.code == 0
        return capsys.readouterr().out.split()

    return complete


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "generate train eval info models download"),
        ("models ", "default remove"),
        ("models default m", "mini"),
        ("generate --mode ", "iq zs pd sd clip-tta clap-tta"),
        ("generate -m c", "clip-tta clap-tta"),
        ("generate --preset ", "default fast paper"),
        ("eval --preset p", "paper"),
        ("train --preset ", "default paper"),
        ("generate --sampler ", "dpmpp unipc ddim ddpm"),
        ("generate --vocoder b", "bigvgan"),
        ("generate --device ", " ".join(DEVICES)),
        ("eval --dtype ", " ".join(DTYPES)),
        ("generate --format ", "wav flac ogg"),
        ("generate --model ", "mini"),
        ("train --stage ", "unet prior vocoder"),
        ("train --condition clip", "clip-image clip-text"),
        ("train --base ", "published mini"),
        ("train --warm-start ", "mini improved-diffusion bigvgan-44k"),
        ("train --tracker ", "tensorboard wandb"),
        ("eval --metrics ", "fad clap-windows similarity nearest-frame label-rank kl is aes"),
        ("eval --metrics fad kad c", "clap clap-windows"),
        ("eval --modes iq zs p", "pd"),
        ("eval --metrics fad --spl", "--split --split-seed"),
        ("eval --queries ", "imagehear"),
        ("eval --split ", "train valid test"),
        ("eval --table ", "1 2 5"),
        ("download --for c", "clap-tta clip-tta clap clap-windows"),
        ("download cl", "clap clap-transformers"),
        ("generate --s", "--sampler --steps --seconds --seed --spectrogram --skip-existing"),
        ("generate --keep-by ", "clap aes"),
        ("generate --normalize ", "peak none"),
    ],
)
def test_a_value_is_completed(complete, line, expected):
    assert set(expected.split()) <= set(complete(f"clipsonic {line}"))


def test_models_of_ones_own_are_completed(complete, micro, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    shutil.copytree(micro, tmp_path / "models" / "music")
    assert complete("clipsonic generate --model m") == ["mini", "music"]
    assert complete("clipsonic download --remove m") == ["mini", "music"]


def test_a_value_near_to_none_leaves_files_to_the_shell(complete):
    assert complete("clipsonic generate --model ./ru") == []


def options_with_names():
    """Yield the options whose help lists their values, by command."""
    for name, command in typer.main.get_command(app).commands.items():
        for param in command.params:
            if param.metavar in ("NAME", "MODE") and param.name not in ("name", "names"):
                yield f"{name} {param.opts[0]}"


@pytest.mark.parametrize("option", list(options_with_names()))
def test_every_option_that_takes_a_name_completes_it(complete, option):
    assert complete(f"clipsonic {option} ")


def test_all_names_of_weights_are_completed(complete):
    assert complete("clipsonic download ") == [*ASSETS, *model_folders.names()]
