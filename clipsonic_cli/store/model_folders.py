"""Where models lie: a model is a folder of bundles, one file a part.

    clip.safetensors  prior.safetensors  unet.safetensors  vocoder.safetensors  MODEL_CARD.md
    and, where it has them, prior-sd, unet-clip-text and unet-clap-text

Knows: names, folders and which parts are there. Does not know: what is in the files
(``store/bundle.py``); nothing is read here.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.modes import MODES
from clipsonic_cli.store.assets import part_here
from clipsonic_cli.store.home import expanded, find_folder, why_unreadable
from clipsonic_cli.store.manifest import standing_in

SUFFIX = ".safetensors"
BUNDLED = Path(__file__).parents[1] / "bundled"
TRAINING: Mapping[str, str] = {
    "unet": "clipsonic train --data DIR",
    "prior-sd": "clipsonic train --data DIR --stage prior",
    "vocoder": "clipsonic train --data DIR --stage vocoder",
    "unet-clip-text": "clipsonic train --data DIR --condition clip-text",
    "unet-clap-text": "clipsonic train --data DIR --condition clap-text",
}
"""The command that trains each part."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model on this machine.

    Args:
        path: Its folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """What finds it again: its name where it lies among the models, else its path."""
        known = self.path.parent in _shelves()
        return self.path.name if known else str(self.path)

    def part(self, stem: str) -> Path:
        """Return the file of a part, such as "unet", whether it is there or not.

        Where the model has none of its own, published weights that can stand in are given
        (``clipsonic download``); whether they fit is told by ``store/compatibility.py``.
        """
        own = self.path / f"{stem}{SUFFIX}"
        return own if own.is_file() else part_here(stem) or own

    def has(self, stem: str) -> bool:
        """Return whether a part is there."""
        return self.part(stem).is_file()

    def modes(self) -> list[str]:
        """Return the modes this model has all the parts of, in the order of Table 1."""
        return [mode.name for mode in MODES.values() if all(map(self.has, mode.weights))]

    def require(self, parts: Iterable[str]) -> None:
        """Refuses to go on without some parts.

        Args:
            parts: Stems, such as ``Mode.weights``.

        Raises:
            MissingWeights: Not all are there; names those, and what the model can do without.
        """
        absent = [stem for stem in parts if not self.has(stem)]
        if not absent:
            return
        able = ", ".join(self.modes()) or "none"
        files = ", ".join(f"{stem}{SUFFIX}" for stem in absent)
        raise MissingWeights(
            f"Model '{self.name}' lacks {files}. {_remedy(absent)} "
            f"Modes it is complete for: {able}.{why_unreadable()}"
        )


def _remedy(absent: list[str]) -> str:
    """Return the ways to get missing parts: the paper's by download, others by training."""
    published = {stem: standing_in(stem)[0].name for stem in absent if standing_in(stem)}
    ways = []
    if published:
        names = " ".join(published.values())
        ways.append(f"To get the paper's {', '.join(published)}: clipsonic download {names}.")
    ways += [
        f"To train {stem} on your own videos: {TRAINING[stem]}."
        for stem in absent
        if stem in TRAINING
    ]
    return " ".join(ways)


def find(name_or_path: str | Path) -> ModelFolder:
    """Find a model: the embedded ones first, then a person's own, then any folder.

    Args:
        name_or_path: A name of :func:`names`, or a folder with at least one part in it.

    Raises:
        UsageError: There is neither such a name nor such a folder; the nearest name is suggested.
    """
    name = str(name_or_path)
    if name in names():
        return next(ModelFolder(shelf / name) for shelf in _shelves() if _is_model(shelf / name))
    path = expanded(name_or_path)
    if _is_model(path):
        return ModelFolder(path.resolve())
    if path.is_dir():
        raise UsageError(f"Folder {path} is no model: it holds no {SUFFIX} file.")
    near = difflib.get_close_matches(name.lower(), names(), n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise UsageError(
        f"There is no model '{name}'.{hint} Known: {', '.join(names()) or 'none'}; "
        f"or give a folder of {SUFFIX} files.{why_unreadable()}"
    )


def names() -> list[str]:
    """Return the names of all models on this machine, the embedded ones first."""
    found = [
        folder.name
        for shelf in _shelves()
        for folder in sorted(shelf.iterdir())
        if _is_model(folder)
    ]
    return list(dict.fromkeys(found))


def _shelves() -> list[Path]:
    """Return the folders that models with a name lie in, the first to be asked first."""
    return [shelf for shelf in (BUNDLED, find_folder("models")) if shelf is not None]


def _is_model(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob(f"*{SUFFIX}"))
