"""What the README promises."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from clipsonic_cli.cli import app
from clipsonic_cli.modes import MODES
from clipsonic_cli.store.manifest import ASSETS, needed_for
from clipsonic_cli.text import megabytes

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (?:.*&& )?(clipsonic \w+.*?)(?:\s+#.*)?$", README, re.MULTILINE)


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
    _, name, *arguments = shlex.split(line)
    command = typer.main.get_command(app).commands[name]
    params = command.make_context(name, arguments).params
    given = [params.get(each) for each in ("prompts", "image", "file", "like")]
    assert any(given) or name != "generate"


@pytest.mark.parametrize("row", ASSETS.values(), ids=list(ASSETS))
def test_all_published_weights_have_their_row(row):
    assert f"| `{row.name}` | {row.title} | {megabytes(row.size)} | {row.licence} |" in README


def test_every_purpose_in_the_readme_is_known():
    for purpose in re.findall(r"--for (\"[^\"]+\"|[\w-]+)", README):
        assert needed_for(purpose.strip('"'))


def test_there_are_command_lines():
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("mode", MODES.values(), ids=list(MODES))
def test_every_mode_has_its_row(mode):
    assert f"| `{mode.name}` | {mode.title} | {mode.query} |" in README


def test_the_scores_are_those_that_were_measured():
    results = json.loads((ROOT / "recipes/mini/results/results.json").read_text(encoding="utf-8"))
    share = {kind: f"{value:.0%}".replace("%", " %") for kind, value in results["accuracy"].items()}
    pictured = f"{results['real_where_iq_has_pictures']:.0%}".replace("%", " %")
    text = " ".join(README.split())
    assert f"{share['pd']} of the sounds it makes from a label's text right" in text
    assert f"{share['iq']} of those from an image (of real clips {share['real']}" in text
    assert f"and {pictured})" in text


def test_the_tree_shows_what_is_there():
    tree = README.split("## Layout")[1].split("```")[1]
    named = set(re.findall(r"^[|`]-- (\S+?)/? ", tree, re.MULTILINE))
    package = ROOT / "clipsonic_cli"
    there = {
        path.name for path in package.iterdir() if not path.name.startswith(("__", "py.typed"))
    }
    assert named == there


def test_every_departure_from_the_paper_is_named():
    from clipsonic_cli.training.departures import DEPARTURES

    text = " ".join(README.split())
    named = text.split("It departs from them in this")[1].split(": ", 1)[1].split(". ")[0]
    assert named == "; ".join(each.name for each in DEPARTURES)


def test_the_python_example_is_the_packages_own():
    import clipsonic_cli

    example = README.split("```python\n")[1].split("```")[0].strip().splitlines()
    doc = clipsonic_cli.__doc__ or ""
    assert all(line in doc for line in example if line)
