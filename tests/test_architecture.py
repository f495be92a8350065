"""What must not be loaded to answer a simple question."""

import subprocess
import sys

import pytest

HEAVY = {
    "PIL",
    "accelerate",
    "av",
    "dalle2_pytorch",
    "filelock",
    "numpy",
    "open_clip",
    "requests",
    "safetensors",
    "soundfile",
    "soxr",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
    "urllib3",
}


def loaded_after(code: str) -> set[str]:
    program = (
        f"{code}\nimport sys\nprint('LOADED', *{{name.split('.')[0] for name in sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["generate", "--help"],
        ["download", "--help"],
        [],
        ["generate", "rain", "--mode", "x"],
    ],
)
def test_simple_answers_load_nothing_heavy(arguments):
    loaded = loaded_after(f"from clipsonic_cli.cli import run\nrun({arguments!r})")
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_after("import clipsonic_cli, clipsonic_cli.modes, clipsonic_cli.config")
    assert not loaded & (HEAVY | {"typer", "rich"})


def test_the_module_runs_as_the_command():
    command = [sys.executable, "-m", "clipsonic_cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("clipsonic ")
