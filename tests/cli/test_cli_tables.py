"""Tables of numbers on screens of any width."""

import re

import pytest

from clipsonic_cli.cli.console import Console
from clipsonic_cli.cli.tables import telling

NUMBERS = ("system", "w", "fad", "clap", "n", "Hz", "paper: VGGSound FAD", "paper: MUSIC")
ROWS = [
    ("CLIPSonic-PD (pretrained diffusion prior)", "1.5", *["0.1234 (0.1 to 0.2)"] * 2),
    ("mel spectrogram reconstruction " + "x" * 40, "-", "19.30 (1.00 to 20.00)", "-"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 90, 100, 110, 120, 160, 250])
def test_words_are_folded_before_numbers_and_details_left_out_before_both(
    capfd, monkeypatch, width
):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = [(*row, "300", "16000", "3.43", "13.51") for row in ROWS]
    console = Console(quiet=False)
    left_out = console.table("t", NUMBERS, rows, words=("system",), details=("Hz",))
    out = re.sub(r"\x1b\[[\d;]*m", "", capfd.readouterr().out)
    assert left_out == (("Hz",) if width < 120 else ())
    assert "…" not in out
    words = [word for row in rows for cell in row[1:] for word in cell.split()]
    assert {word for word in words if word != "16000" or not left_out} <= {*out.split()}
    assert (out.count("0.1234 (0.1 to 0.2)") == 2) == (width >= 90)
    if width >= 80:
        assert max(map(len, out.splitlines())) <= width


def test_columns_that_are_empty_in_all_rows_are_not_drawn(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = [("a", "-", "1", ""), ("b", "-", "-", "")]
    assert Console(quiet=False).table("", ("system", "w", "fad", "bias"), rows) == ()
    out = capfd.readouterr().out
    assert [name in out for name in ("system", "fad", "bias")] == [True, True, False]
    assert telling(("a", "b"), []) == [0, 1]
    assert telling(("a", "b"), [("-", "1")], details=("b",)) == [0]
