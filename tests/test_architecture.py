"""What must not be loaded to answer a simple question, and that what is imported is there."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import clipsonic_cli

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


@pytest.mark.parametrize("words", ["generate --model", "download", "eval --metrics fad"])
def test_completion_loads_no_torch(words, monkeypatch):
    monkeypatch.setenv("_CLIPSONIC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"clipsonic {words} ")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) + 1))
    loaded = loaded_after("from clipsonic_cli.cli import run\ntry:\n run([])\nexcept SystemExit: 0")
    assert "typer" in loaded
    assert not loaded & {"torch", "numpy"}


def test_a_model_is_described_without_torch():
    loaded = loaded_after("from clipsonic_cli.cli import run; run(['info', 'mini'])")
    assert "clipsonic_cli" in loaded
    assert not loaded & {"torch", "numpy"}


@pytest.mark.parametrize("mode", ["db", "pd"])
def test_making_a_sound_loads_only_what_it_uses(mode, tmp_path):
    short = ["--steps", "1", "--seconds", "0.3", "-o", str(tmp_path / "a.wav")]
    arguments = ["generate", "rain", "--mode", mode, *short]
    loaded = loaded_after(f"from clipsonic_cli.cli import run\nrun({arguments!r})")
    assert (tmp_path / "a.wav").exists()
    assert "torch" in loaded
    training = {"accelerate", "dalle2_pytorch", "torchvision"}
    # sympy comes with PyTorch's compiler, whose import takes as long as all that is needed.
    others = {"matplotlib", "open_clip", "requests", "scipy", "sympy", "transformers", "urllib3"}
    assert not loaded & (training | others)


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_after("import clipsonic_cli, clipsonic_cli.modes, clipsonic_cli.config")
    assert not loaded & (HEAVY | {"typer", "rich"})


def test_the_package_lists_its_api_and_nothing_else():
    assert dir(clipsonic_cli) == sorted(clipsonic_cli.__all__)
    api = [name for name in dir(clipsonic_cli) if name != "__version__"]
    assert api == [
        "BadBundle",
        "ClipSonic",
        "ClipsonicError",
        "FetchFailed",
        "MissingWeights",
        "Recipe",
        "Sound",
        "UsageError",
        "read_recipe",
    ]
    for name in api:
        assert getattr(clipsonic_cli, name).__name__ == name
        assert getattr(clipsonic_cli, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Any2'"):
        _ = clipsonic_cli.Any2


def test_type_checkers_see_the_api():
    tree = ast.parse(Path(clipsonic_cli.__file__).read_text("utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert sorted([*seen, "__version__"]) == clipsonic_cli.__all__
    for name, module in seen.items():
        assert getattr(clipsonic_cli, name) is getattr(importlib.import_module(module), name)


def test_the_module_runs_as_the_command():
    command = [sys.executable, "-m", "clipsonic_cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("clipsonic ")


def imported_in_texts():
    """Yield what texts within test files import of the package: where, module and name."""
    line = re.compile(r"^from (clipsonic_cli[\w.]*) import ([\w, ]+)$", re.MULTILINE)
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for module, names in line.findall(node.value):
                    for name in names.split(","):
                        yield f"{path.name}:{node.lineno}", module, name.split()[0]


def is_there(module, name):
    try:
        if not hasattr(importlib.import_module(module), name):
            importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


def test_what_programs_in_texts_import_is_there():
    """Neither a checker of types nor one of style reads them, and some are of slow tests."""
    found = list(imported_in_texts())
    assert len(found) > 20
    assert [each for each in found if not is_there(*each[1:])] == []


def test_modules_of_tests_have_names_of_their_own():
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names))  # pytest imports them by name alone
