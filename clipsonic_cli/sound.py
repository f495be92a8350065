"""A generated sound, and the recipe that travels inside its file."""

import base64
import html
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from clipsonic_cli import __version__
from clipsonic_cli.audio import files, level
from clipsonic_cli.audio.finish import finished, resampled
from clipsonic_cli.audio.mel_image import draw_mel
from clipsonic_cli.audio.tags import read_texts
from clipsonic_cli.config import Finish, MelSpec, Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.ranges import shown
from clipsonic_cli.text import printable
from clipsonic_cli.types import Waveform

PLAYER_SAMPLES = 1 << 21
"""Most samples that a player in a notebook holds: 131 s at 16 kHz, 5.6 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound(Waveform):
    """A waveform and how it was made.

    A notebook shows it as a player.
    """

    recipe: Recipe
    """Complete: made alone (``batch_size=1``) on the same machine, by the same PyTorch with as many
    threads, it gives the same samples; else they differ by rounding."""
    finishing: Finish = field(default_factory=Finish)
    """What :meth:`finish` has done."""
    scale: float = 1.0
    """What normalizing multiplied the samples by."""

    @property
    def gain(self) -> float:
        """What samples in a file are multiplied by, all in all: 1.0 for most sounds.

        That is by :meth:`finish`, and by :meth:`write` so that no player clips. An Ogg file may
        take a little less; ``audio.level.read_gain`` reads what a file has.
        """
        return self.scale * level.peak_guard(self.samples)[1]

    def numpy(self) -> np.ndarray:
        """Return a copy of the samples, (N,) float32."""
        return self.samples.detach().cpu().float().numpy().copy()

    def finish(
        self,
        *,
        trim: bool = False,
        rate: int | None = None,
        normalize: float | Literal["peak"] | None = None,
    ) -> "Sound":
        """Return the sound trimmed, resampled and normalized, in this order; its file says so.

        Args:
            trim: Remove silence at both ends: what is over 50 dB below the peak.
            rate: Sample rate in Hz, 8000 to 192000. No frequencies are added.
            normalize: Loudness in LUFS (ITU-R BS.1770-4), -60 to 0, or "peak" for a peak of
                -1 dBFS, which no loudness exceeds. ``clipsonic eval`` undoes the gain.

        Raises:
            UsageError: A number is out of its range.
        """
        added = Finish(trim=trim, rate=rate, normalize=normalize)
        samples, sample_rate, gain = finished(self.samples.cpu(), self.sample_rate, added)
        before = self.finishing
        return replace(
            self,
            samples=samples,
            sample_rate=sample_rate,
            scale=self.scale * gain,
            finishing=Finish(
                trim=trim or before.trim,
                rate=rate or before.rate,
                normalize=before.normalize if normalize is None else normalize,
            ),
        )

    def spectrogram(self) -> Image.Image:
        """Draw the log-mel up to 8 kHz over time, with the query as title."""
        spec = MelSpec()
        samples = resampled(self.samples.cpu(), self.sample_rate, spec.sample_rate)
        waveform = Waveform(samples=samples, sample_rate=spec.sample_rate)
        return draw_mel(waveform, spec, title=printable(self.recipe.query.name))

    def _repr_html_(self) -> str:
        """Return a player of the sound for notebooks."""
        samples = self.samples[:PLAYER_SAMPLES]
        wav = files.encode(
            level.peak_guard(samples)[0], self.sample_rate, ".wav", "PCM_16", metadata=None
        )
        length = f"{self.seconds:.2f} s"
        if len(samples) < len(self.samples):
            length = f"first {len(samples) / self.sample_rate:.0f} s of {length}"
        title = html.escape(f"{printable(self.recipe.query.name)} ({length})")
        return (
            f"<figure><figcaption>{title}</figcaption><audio controls "
            f'src="data:audio/wav;base64,{base64.b64encode(wav).decode()}"></audio></figure>'
        )

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
            {
                "clipsonic": __version__,
                "recipe": asdict(self.recipe),
                "finish": asdict(self.finishing),
            },
            scale=self.scale,
            subtype=subtype,
            metadata={
                "title": printable(self.recipe.query.name),
                "software": f"clipsonic {__version__}",
            },
            overwrite=overwrite,
        )
        return Path(path)


def read_recipe(path: str | Path) -> Recipe:
    """Read the recipe that a sound file carries, also one that was converted since.

    Raises:
        UsageError: The file is missing, not audio, not made by clipsonic, or converted by a program
            that leaves texts out.
    """
    return read_making(Path(path))[0]


def read_making(path: Path) -> tuple[Recipe, Finish]:
    """Read the recipe of a sound file, and how it was finished; see :func:`read_recipe`."""
    why = "another program may have taken it out; give the file as clipsonic wrote it"
    for text in read_texts(path):
        if not text.lstrip().startswith("{"):
            continue
        try:
            comment = json.loads(text)
            recipe = Recipe.from_json(comment["recipe"])
            recipe.validate()
            # Version 0.1.0 finished nothing.
            finish = from_dict(Finish, comment.get("finish", asdict(Finish())), "finish")
        except (UsageError, ValueError, TypeError, LookupError, RecursionError) as error:
            why = f"what looks like one cannot be used: {error}".rstrip(".")
        else:
            return recipe, finish
    raise UsageError(f"'{path}' carries no recipe of clipsonic ({why}).")
