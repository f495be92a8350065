"""Play sounds by what the system has: no package is needed, and no shell."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from clipsonic_cli.errors import UsageError

WINDOWS = ("Windows",)
"""Stands for the player inside Python on Windows."""
PLAYERS = (
    ("afplay",),
    ("pw-play",),
    ("paplay",),
    ("aplay", "-q"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
    ("play", "-q"),
)
"""Programs that play the WAV file that follows; the first that can is used. They are of macOS,
PipeWire, PulseAudio, ALSA, ffmpeg and SoX."""
FAILED = re.compile(r"\b(failed|cannot|could not|unable)\b", re.IGNORECASE)
"""What a player says that could not play; ffplay then ends as if it had."""
PATIENCE = 30.0
"""Seconds that a player may take longer than its sound."""


def find_players() -> list[Sequence[str]]:
    """Return the players that are on this machine; a UsageError if there is none."""
    if sys.platform == "win32":  # pragma: no cover
        return [WINDOWS]
    found: list[Sequence[str]] = [
        (path, *arguments) for name, *arguments in PLAYERS if (path := shutil.which(name))
    ]
    if not found:
        names = ", ".join(name for name, *_ in PLAYERS)
        raise UsageError(f"--play finds none of {names}; install one of them, or leave it out.")
    return found


def play(sound: Path, players: Sequence[Sequence[str]]) -> str | None:
    """Play a sound file to its end, by the first player that can.

    Returns:
        None, or why the last of them could not.
    """
    import soundfile

    why = None
    samples, sample_rate = soundfile.read(sound)
    with tempfile.TemporaryDirectory() as folder:
        # Every player reads such a file; aplay would play a FLAC as noise.
        wav = Path(folder) / "sound.wav"
        soundfile.write(wav, samples, sample_rate, subtype="PCM_16")
        for player in players:
            why = _play(player, wav, len(samples) / sample_rate + PATIENCE)
            if why is None:
                break
    return why


def _play(player: Sequence[str], wav: Path, seconds: float) -> str | None:
    """Play a WAV file by one player, in so much time at most; return None, or why it could not."""
    if sys.platform == "win32":  # pragma: no cover
        import winsound

        try:
            winsound.PlaySound(str(wav), winsound.SND_FILENAME)
        except RuntimeError as error:
            return str(error)
        return None
    name = Path(player[0]).name
    try:
        done = subprocess.run(
            [*player, str(wav)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{name} did not end in {seconds:.0f} s"
    except OSError as error:
        return f"{name}: {error.strerror}"
    said = " ".join(done.stderr.decode(errors="replace").split())
    if done.returncode == 0 and not FAILED.search(said):
        return None
    return f"{name}: {said[:200] or f'exit code {done.returncode}'}"
