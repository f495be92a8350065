"""Where models lie: a model is a folder of bundles, one file a part.

    clip.safetensors  prior.safetensors  unet.safetensors  vocoder.safetensors  MODEL_CARD.md
    and, where it has them, prior-sd, unet-clip-text and unet-clap-text

Knows: names, folders and which parts are there. Does not know: what is in the files
(``store/bundle.py``); nothing is read here.
"""

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.modes import MODES

SUFFIX = ".safetensors"
BUNDLED = Path(__file__).parents[1] / "bundled"


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
        """Gives the file of a part, such as "unet", whether it is there or not."""
        return self.path / f"{stem}{SUFFIX}"

    def has(self, stem: str) -> bool:
        """Whether a part is there."""
        return self.part(stem).is_file()

    def modes(self) -> list[str]:
        """Gives the modes this model has all the parts of, in the order of Table 1."""
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
            f"Modes it is complete for: {able}."
        )


def _remedy(absent: list[str]) -> str:
    """Gives the way to get missing parts."""
    if any("clap" in stem for stem in absent):
        return "This version can neither get nor train CLAP parts."
    steps = ["clip.py" if stem == "clip" else f"train.py {stem}" for stem in absent]
    commands = " && ".join(f"python recipes/mini/{step} --out DIR" for step in steps)
    return f"To train it, after data.py and clip.py of recipes/mini in a clone: {commands}."


def find(name_or_path: str | Path) -> ModelFolder:
    """Finds a model: the embedded ones first, then a person's own, then any folder.

    Args:
        name_or_path: A name of :func:`names`, or a folder with at least one part in it.

    Raises:
        UsageError: There is neither such a name nor such a folder; the nearest name is suggested.
    """
    name = str(name_or_path)
    if name in names():
        return next(ModelFolder(shelf / name) for shelf in _shelves() if _is_model(shelf / name))
    path = Path(name_or_path).expanduser()
    if _is_model(path):
        return ModelFolder(path.resolve())
    if path.is_dir():
        raise UsageError(f"Folder {path} is no model: it holds no {SUFFIX} file.")
    near = difflib.get_close_matches(name.lower(), names(), n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise UsageError(
        f"There is no model '{name}'.{hint} Known: {', '.join(names()) or 'none'}; "
        f"or give a folder of {SUFFIX} files."
    )


def names() -> list[str]:
    """Gives the names of all models on this machine, the embedded ones first."""
    found = [
        folder.name
        for shelf in _shelves()
        if shelf.is_dir()
        for folder in sorted(shelf.iterdir())
        if _is_model(folder)
    ]
    return list(dict.fromkeys(found))


def _shelves() -> list[Path]:
    """Gives the folders that models with a name lie in, the first to be asked first."""
    home = os.environ.get("CLIPSONIC_HOME")
    own = Path(home).expanduser() if home else user_data_path("clipsonic", appauthor=False)
    return [BUNDLED, (own / "models").absolute()]


def _is_model(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob(f"*{SUFFIX}"))
