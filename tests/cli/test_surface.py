"""The surface of the program: a new option, spelling or command is added to the lists here, too."""

import ast
import re
from pathlib import Path

import pytest
import typer

import clipsonic_cli
from clipsonic_cli.cli import app
from clipsonic_cli.cli.options import spellings
from clipsonic_cli.cli.parsing import OLD_NAMES, renamed

SURFACE = {
    "": """
        --debug --help --install-completion --show-completion --version -h
    """,
    "download": """
        --all --as --debug --dry-run --for --help --json --list --quiet --remove --verify --yes -h
        -q -y
    """,
    "eval": """
        --clip-seconds --count --data --data-format --debug --device --dry-run --dtype
        --figure --generated --guidance --guidance-rule --help --json --key --latex
        --listening-test --markdown --metrics --mode --model --modes --output --pictures --preset
        --prompts
        --queries --quiet --ratings --reference --sampler --save-stats --seconds --seed --split
        --split-seed --steps --table --trials --vocoder --workers -d -h -m -n -o -q -s -w
    """,
    "generate": """
        --batch-size --bits --count --debug --device --dtype --exact --file --file-format --format
        --guidance --guidance-rule --help --image --json --keep --keep-by --like --mode --model
        --negative --no-trim --normalize --output --overwrite --play --preset --quiet --rate
        --sampler --seconds --seed --skip-existing --spectrogram --steps --trim --vocoder
        -f -h -i -m -n -o -q -s -w
    """,
    "info": """
        --debug --help --json --quiet -h -q
    """,
    "models": """
        --debug --help --json --quiet --unset --yes -h -q -y
    """,
    "train": """
        --base --batch-size --calls --compile --cond-cosine --condition --critics-from --crops
        --data --data-format --debug --device --drop --dry-run --frame-rate --help --json
        --licence --lr --mean-of --micro-batch --min-snr --minutes --multi-scale --name --no-compile
        --output --overwrite --precision --preset --prompt --quiet --resume --sample-every
        --save-every --seed --size --stage --steps --test-share --text-share --tracker --valid-share
        --validate-every --vocoder --warm-start --window --workers --zero-snr -d -h -o -q
    """,
}
"""All spellings of the options of each command; the program itself is ""."""

program = typer.main.get_command(app)
parent = program.make_context("clipsonic", [], resilient_parsing=True)


def test_the_commands_are_those_of_the_list():
    assert sorted(program.commands) == sorted(SURFACE)[1:]


@pytest.mark.parametrize("name", SURFACE)
def test_a_command_has_exactly_the_options_of_the_list(name):
    command, context = program, parent
    if name:
        command = program.commands[name]
        context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    options = [o for o in command.get_params(context) if o.param_type_name == "option"]
    spellings = [text for option in options for text in (*option.opts, *option.secondary_opts)]
    assert sorted(spellings) == sorted(SURFACE[name].split())


PACKAGE = Path(clipsonic_cli.__file__).parent
MODULES = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "cli"]


def strings(path):
    """Return the texts of a module that are no docstrings; f-strings have "{name}" for values."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    owners = [node for node in nodes if isinstance(node, ast.Expr | ast.JoinedStr)]
    owned = {id(child) for node in owners for child in ast.iter_child_nodes(node)}
    texts = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in owned]
    joined = [ast.unparse(node)[2:-1] for node in nodes if isinstance(node, ast.JoinedStr)]
    return joined + [node.value for node in texts if isinstance(node.value, str)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_below_the_command_line_options_stand_in_whole_commands_only(path):
    commands = re.compile(r"(\bclipsonic \w+|\bpip install|\{command\}) .*|^train --\w+ ")
    assert not [t for t in strings(path) if re.search(r"(?<![\w-])--[a-z]", commands.sub("", t))]


def test_settings_that_messages_name_are_options_of_a_command():
    options = set().union(*map(spellings, program.commands.values()))
    named = {name for path in MODULES for t in strings(path) for name in re.findall(r"`(\w+)`", t)}
    assert len(named) > 9
    assert named <= options


@pytest.mark.parametrize(("command", "names"), OLD_NAMES.items())
def test_old_names_are_read_as_their_options_and_not_shown(command, names):
    known = SURFACE[command].split()
    assert set(names.values()) <= set(known)
    assert not set(names) & set(known) - {"--format"}
    for old, new in names.items():
        assert renamed([old, "x", f"{old}=y", "--", old], names) == [
            new,
            "x",
            f"{new}=y",
            "--",
            old,
        ]
