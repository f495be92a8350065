import io
import json
import re
import warnings

import pytest
from rich.console import Console as RichConsole

from clipsonic_cli.cli.console import Bars, Console, complain, name_options
from clipsonic_cli.text import printable


def screen(width=80):
    return RichConsole(file=io.StringIO(), force_terminal=True, width=width)


def test_a_stage_has_a_bar_with_its_count_and_time_left():
    console = screen()
    with Bars(console, "1/2 ", shown=True) as bars:
        bars("sample", 3, 25)
        bars.refresh()
    drawn = console.file.getvalue()
    assert "1/2 sample" in drawn
    assert "3/25" in drawn
    assert "-:--:--" in drawn  # no estimate yet


def test_bars_go_on_after_a_pause_and_erase_nothing_that_was_printed_in_it():
    console = screen()
    with Bars(console, "", shown=True) as bars:
        for stage in ("text", "prior", "sample"):
            bars(stage, 1.5, 3)
        bars.refresh()
        with bars.paused():
            assert not bars.live.is_started
            print("a.wav", file=console.file)
        bars.refresh()
    before, after = console.file.getvalue().split("a.wav\n")
    up = "\x1b[1A"
    assert up in before
    assert up not in after.partition("text")[0]
    assert "1/3" in after


def test_a_bar_is_erased_when_its_stage_is_done():
    console = screen()
    with Bars(console, "", shown=True) as bars:
        bars("train", 5, 9, note="loss 0.5", left=3725)
        for done in range(4):
            bars("samples", done, 3)
        bars("once", 1, 1)
        bars.refresh()
        assert [task.description for task in bars.tasks] == ["train"]
    drawn = console.file.getvalue()
    assert re.search(r"5/9\x1b\S* loss 0.5 \x1b\S*1:02:0", drawn)
    assert "once" not in drawn


def test_a_total_that_is_not_known_is_not_drawn():
    console = screen()
    with Bars(console, "", shown=True) as bars:
        bars("conversion", 0, 0)
        bars("walk", 12, 0)
        bars.refresh()
    drawn = console.file.getvalue()
    assert " 12 " in drawn
    assert "/?" not in drawn


def test_nothing_is_drawn_where_bars_are_not_shown():
    console = screen()
    with Bars(console, "", shown=False) as bars:
        bars("sample", 3, 25)
    assert console.file.getvalue() == ""


def test_results_go_to_standard_output_even_while_bars_are_drawn(capsys):
    console = Console(quiet=False)
    with Bars(screen(), "", shown=True):
        console.result("a.wav", {})
    assert capsys.readouterr().out == "a.wav\n"


def test_a_note_keeps_its_line_and_its_brackets(capsys):
    Console(quiet=False).note(f"[red]{'long ' * 60}[/red]")
    result = capsys.readouterr().err.splitlines()
    assert result == [f"[red]{'long ' * 60}[/red]"]


def test_quiet_says_no_notes(capsys):
    Console(quiet=True).note("hello")
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("quiet", "shown"), [(False, "note: two lines\n"), (True, "")])
def test_warnings_become_a_line_each_unless_quiet(capsys, quiet, shown):
    before = warnings.showwarning
    with Console(quiet=quiet).noting_warnings():
        for _ in range(3):
            warnings.warn("two\n  lines", stacklevel=1)
    assert capsys.readouterr().err == shown
    assert warnings.showwarning is before


@pytest.mark.parametrize("text", ["дождь", 'a "quoted"\nline', "\udcff.wav"])
def test_json_is_one_line_an_object(capsys, text):
    Console(quiet=False, as_json=True).result("ignored", {"text": text})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isascii()
    assert json.loads(line) == {"text": text}


def test_settings_in_messages_become_the_options_of_the_command():
    options = {"batch_size": "--batch-size", "name": "--as"}
    message = "`batch_size` is 0 in `file`; give another `name`, or a \\`."
    assert name_options(message, options) == (
        "--batch-size is 0 in `file`; give another --as, or a \\`."
    )


def test_notes_name_options(capsys):
    Console(quiet=False, options={"data": "--data"}).note("give `data`")
    assert capsys.readouterr().err == "give --data\n"


def test_a_complaint_is_one_line(capsys):
    complain("first\n  second\r\nthird")
    assert capsys.readouterr().err == "clipsonic: first second third\n"


def test_what_could_steer_a_terminal_is_spelt_out(capsys):
    complain("no \x1b[2J\n file '\udc80é☂'")
    assert capsys.readouterr().err == "clipsonic: no \\x1b[2J file '\\udc80é☂'\n"


@pytest.mark.parametrize("text", ["[/nope]", "[red]a", "\udcff", "\x1b[31m", ":smile:", "a\nb"])
def test_foreign_text_is_shown_as_it_is_everywhere(text, capsys):
    console = Console(quiet=False)
    console.note(text)
    with Bars(screen(), "", shown=True) as bars:
        bars(text, 1, 2)
    for form in (None, "markdown", "latex"):
        console.form = form
        console.table(text, ["label", text], [[text, "1"]], words={"label"})
    shown = capsys.readouterr()
    assert printable(text) in shown.err
    assert printable(text) in shown.out
    assert "\x1b" not in shown.err + shown.out
