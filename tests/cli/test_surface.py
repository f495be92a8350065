"""The surface of the program: a new option, spelling or command is added to the lists here, too."""

import pytest
import typer

from clipsonic_cli.cli import app

SURFACE = {
    "": "--debug --help --install-completion --show-completion --version -h",
    "download": "--all --as --debug --dry-run --for --help --json --list --quiet --remove --verify "
    "--yes -h -q -y",
    "eval": "--clip-seconds --count --data --debug --device --dtype --figure --format --generated "
    "--guidance --help --json --key --listening-test --metrics --mode --model --modes --out "
    "--pictures --preset --prompts --quiet --ratings --reference --sampler --save-stats --seconds "
    "--seed --split --split-seed --steps --table --trials --vocoder --workers -d -h -m -n -o -q "
    "-s -w",
    "generate": "--bits --debug --device --dtype --file --format --guidance --help --image --json "
    "--keep --like --mode --model --negative --output --overwrite --preset --quiet --sampler "
    "--seconds --seed --skip-existing --steps --variations --vocoder -f -h -i -m -n -o -q -s -w",
    "train": "--base --batch-size --compile --cond-noise --condition --data --debug --device "
    "--drop --format --frame-rate --help --json --licence --lr --mean-of --micro-batch --min-snr "
    "--minutes --multi-scale --name --no-compile --out --overwrite --precision --preset --prompt "
    "--quiet --resume --sample-every --save-every --seed --size --stage --steps --tracker "
    "--validate-every --warm-start --window --workers --zero-snr -d -h -o -q",
}
"""All spellings of the options of each command, sorted; the program itself is ""."""

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
    assert sorted(spellings) == SURFACE[name].split()
