"""Where the sounds of an evaluation come from; here from folders (``model_source.py``: a model)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from clipsonic_cli.data.listing import left_out_line
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.audio_files import other_files, sound_files
from clipsonic_cli.evaluation.prompts import find_prompts, read_prompts
from clipsonic_cli.evaluation.systems import Needs, System, SystemSet
from clipsonic_cli.text import counted, duration
from clipsonic_cli.types import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The sounds of an evaluation."""

    systems: tuple[str, ...]
    sounds: int
    there: int
    """How many of them need not be made."""
    seconds: float | None = None
    """About how long the others take on this machine; None for few."""

    def __str__(self) -> str:
        """Format the work for people."""
        about = "" if self.seconds is None else f", about {duration(self.seconds)}"
        to_make = self.sounds - self.there
        return f"{counted(to_make, 'sound')} to make ({self.there:,} there already){about}"


class Prepared(Protocol):
    """A source that was checked."""

    @property
    def notes(self) -> Sequence[str]:
        """Differences from what was requested, as far as known."""

    def preview(self, out: Path) -> Work:
        """Count the sounds; writes nothing."""

    def collect(self, out: Path, report: Report, note: Callable[[str], None]) -> SystemSet:
        """Return the systems; write the sounds that are not there yet into a folder.

        ``note`` receives what is going to be made.
        """


class Source(Protocol):
    """Where the sounds of an evaluation come from."""

    @property
    def has_truth(self) -> bool:
        """Whether the true sounds come along."""

    @property
    def has_queries(self) -> bool:
        """Whether sounds are made from queries, which have vectors."""

    @property
    def statistics(self) -> Path | None:
        """Statistics of true sounds that came with a model, for want of any other reference."""

    def prepare(self, needs: Needs, device: torch.device) -> Prepared:
        """Check all that needs no weights.

        Raises:
            UsageError: Something is missing or out of range.
            MissingWeights: A model has none of the modes.
            BadBundle: Parts of a model do not fit each other.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Folders of sounds, a system each."""

    folders: tuple[Path, ...] = ()
    prompts: Path | None = None
    """A list of the prompt of each sound."""
    images: tuple[Path, ...] = ()
    """Folders, besides the sounds' own, of images that recipes inside the files may name."""

    has_truth = False
    has_queries = False
    statistics = None

    def prepare(self, needs: Needs, device: torch.device) -> Prepared:  # noqa: ARG002 - no network runs
        """Find the sounds; none is read, but recipes inside files are."""
        listed = None if self.prompts is None else read_prompts(self.prompts)
        systems: list[System] = []
        notes: list[str] = []
        left_out: dict[str, str] = {}
        for folder in self.folders:
            sounds = sound_files(folder)
            found = find_prompts(sounds, listed, folders=(folder, *self.images))
            if listed is not None and not found.texts:
                raise UsageError(
                    f"'{self.prompts}' names none of the sounds in '{folder}', such as "
                    f"'{next(iter(sounds))}'; name them alike."
                )
            name = folder.resolve().name or str(folder)
            if any(system.name == name for system in systems):
                raise UsageError(f"Two folders are called '{name}'; rename one to tell them apart.")
            systems.append(
                System(name=name, sounds=sounds, prompts=found.texts, images=found.images)
            )
            if needs.prompts:
                notes += [f"{name}: {note}" for note in found.notes]
            if others := other_files(folder):
                notes.append(f"{name}: {left_out_line(others)}")
                left_out |= {f"{name}/{file}": why for file, why in others.items()}
        settings: dict[str, Any] = {"generated": [str(folder) for folder in self.folders]}
        if self.prompts is not None:
            settings["prompts"] = str(self.prompts)
        return _Found(
            SystemSet(
                systems=tuple(systems), settings=settings, notes=tuple(notes), left_out=left_out
            )
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """Sounds that are all there."""

    systems: SystemSet

    @property
    def notes(self) -> Sequence[str]:
        return self.systems.notes

    def preview(self, _out: Path) -> Work:
        systems = self.systems.systems
        count = sum(len(system.sounds) for system in systems)
        return Work(systems=tuple(s.name for s in systems), sounds=count, there=count)

    def collect(self, _out: Path, _report: Report, _note: Callable[[str], None]) -> SystemSet:
        return self.systems
