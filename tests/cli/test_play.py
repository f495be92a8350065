"""Playing, by players that note what they are given."""

import sys

import pytest
import soundfile

from clipsonic_cli.cli.generate import play
from clipsonic_cli.cli.generate.play import find_players
from clipsonic_cli.errors import UsageError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="players are scripts of a shell")


@pytest.fixture
def player(tmp_path, monkeypatch):
    """Install a player by name, which runs a line of shell script; no other is found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(play, "PLAYERS", [(f"x-{name}", *rest) for name, *rest in play.PLAYERS])

    def install(name, script):
        path = folder / f"x-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return install


@pytest.fixture
def flac(tmp_path):
    soundfile.write(tmp_path / "-a.flac", [0.5, -0.5] * 100, 16_000)
    return tmp_path / "-a.flac"


def test_without_a_player_there_is_one_error(player):
    with pytest.raises(UsageError, match=r"finds none of x-afplay, x-pw-play, .*; install one"):
        find_players()


def test_a_player_gets_a_wav_of_16_bits_and_its_options(player, flac, tmp_path):
    player("aplay", f'echo "$1" > {tmp_path}/option; cp "$2" {tmp_path}/played.wav; echo hello')
    assert play.play(flac, find_players()) is None
    assert (tmp_path / "option").read_text() == "-q\n"
    assert soundfile.info(tmp_path / "played.wav").subtype == "PCM_16"
    assert soundfile.read(tmp_path / "played.wav")[0].tolist() == [0.5, -0.5] * 100


def test_the_next_player_is_tried_where_one_fails(player, flac, tmp_path):
    player("pw-play", "echo no server >&2; exit 1")
    player("play", f"touch {tmp_path}/played")
    assert play.play(flac, find_players()) is None
    assert (tmp_path / "played").exists()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo no device >&2; exit 1", "x-aplay: no device"),
        ("exit 3", "x-aplay: exit code 3"),
        (
            "echo SDL: no device >&2; echo audio open failed >&2",
            "x-aplay: SDL: no device audio open failed",
        ),
        ("exec sleep 60", "x-aplay did not end in 0 s"),
    ],
)
def test_why_no_player_can_is_returned(player, flac, monkeypatch, script, why):
    monkeypatch.setattr(play, "PATIENCE", 0.2)
    player("aplay", script)
    assert play.play(flac, find_players()) == why


def test_a_player_that_cannot_be_run_is_no_fault(flac, tmp_path):
    (tmp_path / "program").mkdir()
    assert play.play(flac, [(str(tmp_path / "program"),)]) == "program: Permission denied"
