"""The help of every command, and the names listed where one is unknown."""

import itertools
import re
import shlex

import pytest
import typer

from clipsonic_cli.cli import app, parsing, run
from clipsonic_cli.modes import MODES

PROGRAM = typer.main.get_command(app)
COMMANDS = PROGRAM.commands
EVERY = [[], *([name] for name in COMMANDS)]


@pytest.fixture(params=(80, 120))
def width(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_no_help_names_types_of_python(command, width, capsys):
    assert run([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert not re.search(r"<[a-z]+(\[\w+\])?>|\bBOOLEAN\b|\bNone\b", text)
    assert max(map(len, text.splitlines())) <= width
    assert re.search(r"--help +-h +Show this message", text)


def test_a_mode_has_a_line_of_its_own_and_columns_are_narrow(width, capsys):
    run(["generate", "--help"])
    lines = capsys.readouterr().out.splitlines()
    starts = [line.split()[1] for line in lines if line.startswith("│  ") and len(line.split()) > 1]
    assert {f"{name}:" for name in MODES} - {next(iter(MODES)) + ":"} <= {*starts}
    (output,) = [line for line in lines if "--output" in line]
    assert re.search("--output +-o +PATH", output).end() < 40


@pytest.mark.parametrize("command", EVERY[1:], ids=" ".join)
def test_defaults_and_what_undoes_a_flag_are_in_the_text(command, width, capsys):
    for _ in range(2):
        run([*command, "--help"])
        text = " ".join(re.sub("│", " ", capsys.readouterr().out).split())
        assert "[default" not in text
        assert text.count("Opposite: --no-trim.") == (command == ["generate"])
        if command == ["generate"]:
            assert "their seeds count up. Default: 1." in text


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_paragraphs_of_a_help_have_no_ragged_lines(command, width, capsys):
    run([*command, "--help"])
    described = re.sub(r"(?m)^ (clipsonic|torchrun) .*$", "", capsys.readouterr().out)
    described = described.partition("╭")[0]
    for paragraph in re.split(r"\n *\n", described):
        lines = [line.strip() for line in paragraph.split("\n") if line.strip()]
        for line, following in itertools.pairwise(lines):
            assert len(line) + 1 + len(following.split()[0]) > width - 2


def examples():
    """Return the commands that helps show, as words."""
    texts = [app.info.help, *(command.help for command in COMMANDS.values())]
    lines = [line for text in texts for line in text.splitlines()]
    return [line for line in lines if re.match("(clipsonic|torchrun) ", line)]


@pytest.mark.parametrize("line", examples())
def test_examples_of_a_help_fit_80_columns_and_can_be_parsed(line):
    assert len(line) < 80
    _, _, words = line.replace("-m clipsonic_cli", "clipsonic").partition("clipsonic ")
    name, *arguments = shlex.split(words)
    parent = PROGRAM.make_context("clipsonic", [name, *arguments], resilient_parsing=True)
    assert COMMANDS[name].make_context(name, arguments, parent=parent)


def test_every_command_shows_an_example():
    assert {line.split()[1] for line in examples()} >= set(COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "hint", "known"),
    [
        (["serve"], "", "generate, train, eval, info, models, download"),
        (
            ["a photo of violin"],
            "",
            "generate, train, eval, info, models, download. For a sound of it",
        ),
        (["gen"], " Did you mean 'generate'?", "generate, train, eval, info, models, download"),
        (["evla"], " Did you mean 'eval'?", "generate, train, eval, info, models, download"),
        (["generate", "--qqq"], "", "--b"),
        (["generate", "-z"], "", "--b"),
    ],
)
def test_an_unknown_command_or_option_is_followed_by_those_there_are(
    arguments, hint, known, capsys
):
    assert run(arguments) == 2
    what = "option" if arguments[-1].startswith("-") or len(arguments) > 1 else "command"
    name = next(a for a in arguments if a.startswith("-") or what == "command")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"clipsonic: Unknown {what} '{name}'.{hint} Known: {known}")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("--verson", "'--version'? See clipsonic --help"),
        ("download --remov", "'--remove'"),
        ("eval --gui 1", "'--guidance'"),
        ("eval --dataset x", "'--data'"),
        ("generate dog --duration 2", "'--seconds'? See clipsonic generate --help"),
        ("generate dog --length=2", "'--seconds'"),
        ("generate dog -d 2", "'--seconds'"),
        ("generate dog --sample-rate 48000", "'--rate'"),
        ("generate dog --cfg 2", "'--guidance'"),
        ("generate dog --num 2", "'--count'"),
        ("generate dog --negativ 2", "'--negative'"),
    ],
)
def test_an_unknown_option_names_the_one_that_is_meant_and_no_other(arguments, meant, capsys):
    assert run(arguments.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    name = next(word for word in arguments.split() if word.startswith("-")).partition("=")[0]
    assert line.startswith(f"clipsonic: Unknown option '{name}'. Did you mean {meant}")
    assert "Known" not in line


def test_every_option_that_may_be_meant_exists():
    known = {name for command in COMMANDS.values() for p in command.params for name in p.opts}
    assert parsing.MEANT.keys() <= {*known, "PROMPT"}


@pytest.mark.parametrize("option", ["--text", "--prompt", "-p"])
def test_an_option_for_the_text_is_answered_by_the_argument(option, capsys):
    assert run(["generate", option, "dog"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"'{option}'; give the text without it: clipsonic generate 'a photo of" in line


def test_a_command_that_is_an_image_is_answered_by_generate(capsys):
    assert run(["my cat.jpg"]) == 2
    assert 'clipsonic generate --image "my cat.jpg".' in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["help"], ["help", "eval"], ["generate", "help"], ["info", "help"]]
)
def test_help_is_a_word_for_the_option(words, capsys):
    assert run(words) == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "eval"])
def test_a_word_of_no_option_is_named_with_the_option_it_may_be_meant_for(command, capsys):
    assert run([command, "./my", "music"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("clipsonic: ./my belongs to no option")
    assert f"Did you mean --data ./my? See clipsonic {command} --help." in line


def test_an_action_of_models_is_suggested_where_it_is_given_as_a_command(capsys):
    assert run(["list"]) == 2
    assert "Did you mean: clipsonic models list?" in capsys.readouterr().err
