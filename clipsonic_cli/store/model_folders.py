"""Find models: folders of bundles, one file per part. Reads none of the files.

clip.safetensors  prior.safetensors  unet.safetensors  vocoder.safetensors  MODEL_CARD.md
and optionally student, statistics, bridge, prior-sd, unet-clip-text and unet-clap-text
"""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipsonic_cli import bounded
from clipsonic_cli.atomic import written
from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.modes import MODES
from clipsonic_cli.registry import did_you_mean
from clipsonic_cli.store.assets import part_here
from clipsonic_cli.store.home import NoHome, data_home, expanded, find_folder, why_unreadable
from clipsonic_cli.store.manifest import standing_in

SUFFIX = ".safetensors"
RUNS = Path("runs")
"""The folder of runs, in the working directory."""
RUN_FILE = "run.json"
"""Its configuration, in the folder of a run."""
MAX_RUN = 1 << 20
"""Bytes of that file, at most."""
BUNDLED = Path(__file__).parents[1] / "bundled"
TRAINING: Mapping[str, str] = {
    "unet": "clipsonic train --data DIR",
    "student": "clipsonic train --data DIR --stage student",
    "statistics": "clipsonic train --data DIR --stage statistics",
    "bridge": "clipsonic train --data DIR --stage bridge",
    "prior-sd": "clipsonic train --data DIR --stage prior",
    "vocoder": "clipsonic train --data DIR --stage vocoder",
    "unet-clip-text": "clipsonic train --data DIR --condition clip-text",
    "unet-clap-text": "clipsonic train --data DIR --condition clap-text",
}
"""The command that trains each part."""
BUILT_IN = "mini"
"""The default model of an installation."""
VARIABLE = "CLIPSONIC_MODEL"
"""Names the default model of a process."""
DEFAULT_FILE = "default-model"
"""Names the default model of a person, in :func:`~clipsonic_cli.store.home.data_home`."""
MAX_NAME = 8192
"""Bytes of that file, at most."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model on this machine, in the folder ``path``."""

    path: Path

    @property
    def name(self) -> str:
        """A name for :func:`find`: the folder's for an installed model, else its path."""
        known = self.path.parent in _shelves()
        return self.path.name if known else str(self.path)

    def part(self, stem: str) -> Path:
        """Return the file of a part such as "unet", which need not exist.

        Where the model lacks it, published weights can stand in (``clipsonic download``), if they
        fit (``store/compatibility.py``).
        """
        own = self.path / f"{stem}{SUFFIX}"
        return own if own.is_file() else part_here(stem) or own

    def has(self, stem: str) -> bool:
        """Return whether a part exists."""
        return self.part(stem).is_file()

    def modes(self) -> list[str]:
        """Return the modes whose parts all exist, in the order of Table 1."""
        return [mode.name for mode in MODES.values() if all(map(self.has, mode.weights))]

    def require(self, parts: Iterable[str]) -> None:
        """Check that parts exist, such as ``Mode.weights``.

        Raises:
            MissingWeights: Names the missing ones, how to get them, and the complete modes.
        """
        absent = [stem for stem in parts if not self.has(stem)]
        if not absent:
            return
        able = ", ".join(self.modes()) or "none"
        files = ", ".join(f"{stem}{SUFFIX}" for stem in absent)
        raise MissingWeights(
            f"Model '{self.name}' lacks {files}. {_remedy(self, absent)} "
            f"Modes it is complete for: {able}.{why_unreadable()}"
        )


def _remedy(model: ModelFolder, absent: list[str]) -> str:
    """Format how to get missing parts of a model: the paper's by download, others by training."""
    published = {stem: standing_in(stem)[0].name for stem in absent if standing_in(stem)}
    ways = []
    if published:
        names = " ".join(published.values())
        ways.append(f"To get the paper's {', '.join(published)}: clipsonic download {names}.")
    ways += [
        f"To {'gather' if stem == 'statistics' else 'train'} {stem} on your own videos: "
        f"{_training(model, stem)}."
        for stem in absent
        if stem in TRAINING
    ]
    return " ".join(ways)


def _training(model: ModelFolder, stem: str) -> str:
    """Format the command that adds a part to a model, or to a new one that begins with its parts.

    Statistics come with a U-Net, also when the run that trained it goes on.
    """
    run = model.path.parent
    if stem == "statistics" and _stage_of(run) == "unet":
        return f"clipsonic train --resume {shlex.quote(str(run))}"
    shelf = find_folder("models")
    own = shelf is not None and model.path.parent == shelf
    return f"{TRAINING[stem]} --{'name' if own else 'base'} {shlex.quote(model.name)}"


def _stage_of(run: Path) -> str | None:
    """Read which stage a run trains; None where the folder holds none that can be read."""
    try:
        stage = bounded.read_json(run / RUN_FILE, MAX_RUN)["stage"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return stage if isinstance(stage, str) else None


def find(name_or_path: str | Path, *, also: Iterable[str] = ()) -> ModelFolder:
    """Find a model by a name of :func:`names`, or by a folder with at least one part.

    ``also`` has what else the caller knows, for the message.

    Raises:
        UsageError: There is neither; the nearest name is suggested.
    """
    name = str(name_or_path)
    if name in names():
        return next(ModelFolder(shelf / name) for shelf in _shelves() if _is_model(shelf / name))
    path = expanded(name_or_path)
    if _is_model(path):
        return ModelFolder(path.resolve())
    known = [*names(), *also]
    is_folder = os.path.isdir(path)  # noqa: PTH112 - is_dir raises for a long name
    folder = f", and the folder {path} has no {SUFFIX} file" if is_folder else ""
    raise UsageError(
        f"There is no model '{name}'{folder}.{nearest(name, known)} Known: {', '.join(known)}; "
        f"or give a folder of {SUFFIX} files.{why_unreadable()}"
    )


def nearest(name: str, known: Sequence[str]) -> str:
    """Format the model of the run that a name or folder is of, or else the nearest known name."""
    for folder in (expanded(name) / "model", RUNS / name / "model"):
        if _is_model(folder):
            return f" Did you mean '{folder}'?"
    return did_you_mean(name, known)


def default() -> tuple[str, str | None]:
    """Return the model to use where none is named, and what chose it; None if nobody did.

    Raises:
        UsageError: There is no such model.
    """
    name, origin = os.environ.get(VARIABLE), VARIABLE
    if not name:
        name, origin = stored_default(), "clipsonic models default"
    if name is None:
        return BUILT_IN, None
    try:
        find(name)
    except UsageError as error:
        remedy = "clipsonic models default --unset"
        remedy = f"unset {VARIABLE}" if origin == VARIABLE else remedy
        raise UsageError(
            f"The default model, chosen by {origin}, is missing. {error} Or: {remedy}"
        ) from None
    return name, origin


def stored_default() -> str | None:
    """Read the name of the default model that :func:`store_default` wrote, or None."""
    try:
        content = bounded.read_bytes(data_home() / DEFAULT_FILE, MAX_NAME)
    except (NoHome, OSError):
        return None
    return os.fsdecode(content).removesuffix("\n") or None


def store_default(name: str | None) -> None:
    """Write the name of the default model; None makes it the built-in one again.

    Raises:
        UsageError: There is no such model.
        NoHome, OSError: The file cannot be written.
    """
    path = data_home() / DEFAULT_FILE
    if name is None or find(name).name == BUILT_IN:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as temporary:
        temporary.write_bytes(os.fsencode(find(name).name) + b"\n")


def names() -> list[str]:
    """Return the names of all models on this machine, the embedded ones first."""
    folders = [folder for shelf in _shelves() for folder in sorted(shelf.iterdir())]
    return list(dict.fromkeys(folder.name for folder in folders if _is_model(folder)))


def _shelves() -> list[Path]:
    """Return the folders of models with a name, in order of search."""
    return [shelf for shelf in (BUNDLED, find_folder("models")) if shelf is not None]


def _is_model(folder: Path) -> bool:
    return os.path.isdir(folder) and any(  # noqa: PTH112 - is_dir raises for a long name
        folder.glob(f"*{SUFFIX}")
    )
