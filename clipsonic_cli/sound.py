"""A generated sound, and the recipe that travels inside its file."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from clipsonic_cli import __version__
from clipsonic_cli.audio import level
from clipsonic_cli.audio.tags import read_texts
from clipsonic_cli.config import Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.ranges import shown
from clipsonic_cli.text import printable
from clipsonic_cli.types import Waveform


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound(Waveform):
    """A waveform and how it was made."""

    recipe: Recipe
    """Complete: made alone (``batch_size=1``) on the same machine, by the same PyTorch with as many
    threads, it gives the same samples; else they differ by rounding."""

    @property
    def gain(self) -> float:
        """What :meth:`write` multiplies the samples by so that no player clips: 1.0 for most.

        An Ogg file may take a little less; ``audio.level.read_gain`` reads what a file has.
        """
        return level.peak_guard(self.samples)[1]

    def write(
        self, path: str | Path, *, subtype: str | None = None, overwrite: bool = False
    ) -> Path:
        """Write a sound file that carries its recipe; :func:`read_recipe` returns it.

        A sound that peaks above -1 dBFS is scaled to that, in every format; the file says by how
        much, and ``clipsonic eval`` undoes it.

        Args:
            path: Ends in .wav, .flac or .ogg.
            subtype: "pcm16", "pcm24" or "float"; None is the first that the format has.
            overwrite: Replace an existing file.

        Returns:
            The path.

        Raises:
            UsageError: The file cannot be written there.
            ClipsonicError: Writing failed; nothing is left behind.
        """
        if not isinstance(path, str | os.PathLike):
            raise UsageError(f"The path is {shown(path)}; it must be a str or a Path.")
        level.write(
            Path(path),
            self.samples,
            self.sample_rate,
            {"clipsonic": __version__, "recipe": asdict(self.recipe)},
            subtype=subtype,
            metadata={
                "title": printable(self.recipe.query.name),
                "software": f"clipsonic {__version__}",
            },
            overwrite=overwrite,
        )
        return Path(path)


def read_recipe(path: Path) -> Recipe:
    """Read the recipe that a sound file carries, also one that was converted since.

    Raises:
        UsageError: The file is missing, not audio, not made by clipsonic, or converted by a program
            that leaves texts out.
    """
    why = "another program may have taken it out; give the file as clipsonic wrote it"
    for text in read_texts(path):
        if not text.lstrip().startswith("{"):
            continue
        try:
            recipe = Recipe.from_json(json.loads(text)["recipe"])
            recipe.validate()
        except (UsageError, ValueError, TypeError, LookupError, RecursionError) as error:
            why = f"what looks like one cannot be used: {error}".rstrip(".")
        else:
            return recipe
    raise UsageError(f"'{path}' carries no recipe of clipsonic ({why}).")
