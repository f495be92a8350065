"""Where the sounds of a run go: into files or to standard output, and to a player."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipsonic_cli.atomic import written
from clipsonic_cli.cli.generate.outputs import drawing_of
from clipsonic_cli.cli.generate.play import play

if TYPE_CHECKING:
    from clipsonic_cli.sound import Sound


@dataclass(slots=True, kw_only=True)
class Delivery:
    """What is done with every sound that is kept."""

    subtype: str | None = None
    """A name of ``audio.files``; None leaves it to the format."""
    overwrite: bool = False
    """Whether files that exist are replaced."""
    to_stdout: bool = False
    """Whether the file's bytes go to standard output instead."""
    spectrogram: bool = False
    """Whether each file has an image next to it, ``outputs.drawing_of``."""
    players: Sequence[Sequence[str]] = ()
    """See ``play.find_players``; none plays nothing."""

    @contextmanager
    def write(self, sound: "Sound", path: Path) -> Iterator[Path]:
        """Write a sound, and yield its file; that of standard output lasts as long as the block."""
        if not self.to_stdout:
            with created(path.parent):
                sound.write(path, subtype=self.subtype, overwrite=self.overwrite)
                if self.spectrogram:
                    with written(drawing_of(path)) as image:
                        sound.spectrogram().save(image, format="PNG")
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            path = sound.write(Path(folder) / path.name, subtype=self.subtype)
            sys.stdout.buffer.write(path.read_bytes())
            sys.stdout.buffer.flush()
            yield path

    def play(self, path: Path) -> str | None:
        """Play a file; return None, or why no player can, after which no other is played."""
        why = play(path, self.players) if self.players else None
        if why is not None:
            self.players = ()
        return why


@contextmanager
def created(folder: Path) -> Iterator[None]:
    """Create a folder where there is none, and remove it again if the block fails."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # there may be files of others by now
            for path in new:
                path.rmdir()
        raise
