"""What the README promises."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from clipsonic_cli.cli import app
from clipsonic_cli.modes import MODES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (?:.*&& )?(clipsonic generate .*?)(?:\s+#.*)?$", README, re.MULTILINE)


@pytest.mark.parametrize(
    "command",
    [
        'python -m pip install . && clipsonic generate "a photo of violin" --mode pd -w 1.5',
        'python -m pip install -e ".[dev]" && python -m pytest',
    ],
)
def test_the_two_commands_are_there(command):
    assert f"\n    {command}\n" in README


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_line_is_understood(line):
    generate = typer.main.get_command(app).commands["generate"]
    context = generate.make_context("generate", shlex.split(line)[2:])
    assert context.params["prompts"] or any(
        context.params[name] for name in ("image", "file", "like")
    )


def test_there_are_command_lines():
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("mode", MODES.values(), ids=list(MODES))
def test_every_mode_has_its_row(mode):
    kind = {"image": "picture", "text": "text"}[mode.query]
    assert f"| `{mode.name}` | {mode.title} | {kind} |" in README


def test_the_tree_shows_what_is_there():
    tree = README.split("## The house")[1].split("```")[1]
    named = set(re.findall(r"^[|`]-- (\S+?)/? ", tree, re.MULTILINE))
    package = ROOT / "clipsonic_cli"
    there = {
        path.name for path in package.iterdir() if not path.name.startswith(("__", "py.typed"))
    }
    assert named == there


def test_the_python_example_is_the_packages_own():
    import clipsonic_cli

    example = README.split("```python\n")[1].split("```")[0].strip().splitlines()
    doc = clipsonic_cli.__doc__ or ""
    assert all(line in doc for line in example if line)
