"""The model a training adds to: what it takes from another, and where the result is stored.

RUN/model/        the part in training and copies of what is not trained: a complete model
models/NAME/      the finished model, by name
"""

import itertools
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clipsonic_cli.atomic import why_unwritable, written
from clipsonic_cli.data.splits import SplitDraw, same_test_clips
from clipsonic_cli.errors import BadBundle, MissingWeights, UsageError
from clipsonic_cli.modes import MODES, STUDENT, TAUGHT
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store.assets import part_here
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.store.home import REMEDY, NoHome, data_home, why_unreadable
from clipsonic_cli.store.manifest import standing_in
from clipsonic_cli.store.model_folders import BUILT_IN, SUFFIX, ModelFolder

PUBLISHED = "published"
CARD = "MODEL_CARD.md"


def check_name(name: str) -> None:
    """Check that a user's model can have a name."""
    if not name or Path(name).name != name or name.startswith(".") or not name.isprintable():
        raise UsageError(f"{name!r} cannot be a model's name; use letters, digits and hyphens.")
    if (model_folders.BUNDLED / name).is_dir():
        raise UsageError(f"'{name}' is built in. Choose another with `name`.")


def target(name: str) -> ModelFolder | None:
    """Return a finished model's folder, existing or not; None without a home for models."""
    try:
        return ModelFolder(data_home() / "models" / name)
    except NoHome:
        return None


def why_unpublished(name: str) -> str | None:
    """Return why a model cannot be published, with the remedy; None if it can."""
    try:
        folder = data_home() / "models" / name
    except NoHome as error:
        return str(error)
    reason = why_unwritable(folder)
    return None if reason is None else f"{folder} cannot be written ({reason}). {REMEDY}"


def check_free(name: str, part: str, run: str | None) -> None:
    """Check that no run but ``run``, an id, has trained a part of a model; None for a new run."""
    model = target(name)
    if model is None:
        return
    path = model.path / f"{part}{SUFFIX}"
    if os.path.isfile(path):  # noqa: PTH113 - False where it is hidden
        other = bundle.read_header(path).meta.get("run")
        if other is not None and other != run:
            raise UsageError(
                f"The model '{name}' has a part '{part}' that another run trained ({path}). "
                "Choose another with `name`, or `overwrite` it."
            )


def other_splits(name: str, data: str, splits: SplitDraw | None) -> str | None:
    """Format a note if a part of a model was trained on clips of a data set that now are held out.

    ``data`` is the data set's name, ``splits`` how its splits are drawn now; None if they are not.
    """
    model = target(name)
    if model is None or splits is None:
        return None
    for path in sorted(model.path.glob(f"*{SUFFIX}")):
        trained_on = _meta_of(path).get("data")
        if not isinstance(trained_on, dict) or trained_on.get("name") != data:
            continue
        drawn = trained_on.get("drawn")
        if isinstance(drawn, dict) and not same_test_clips(drawn, asdict(splits)):
            return (
                f"note: the {path.stem} of '{name}' was trained on other splits of these clips; to "
                f"hold out the same ones give `seed` {drawn.get('seed')} and `test_share` "
                f"{drawn.get('test_share')}"
            )
    return None


def base_of(name: str | None, model: str, *, paper: bool, gpu: bool) -> ModelFolder:
    """Return the model that gives the CLIP, the prior and the vocoder.

    That is the base requested by ``name``; else the model that is added to, if it exists; else
    published weights alone, where they are requested or on this machine and fast; else the built-in
    model.
    """
    own = target(model)
    if name is not None and name != PUBLISHED:
        return model_folders.find(name, also=[PUBLISHED])
    if name is None and own is not None and os.path.isdir(own.path):  # noqa: PTH112
        return own
    if name == PUBLISHED or paper or (gpu and part_here("clip") is not None):
        shelf = Path() if own is None else own.path.parent
        return ModelFolder(shelf / PUBLISHED)  # no folder: published weights stand in
    return model_folders.find(BUILT_IN)


def encoder_of(base: ModelFolder, model: str, kind: str) -> Header:
    """Read the header of the base's CLIP or CLAP, which must be that of the model added to."""
    if not base.path.is_dir() and not base.has(kind):
        raise MissingWeights(_unfetched(kind))
    base.require([kind])
    header, own = bundle.read_header(base.part(kind)), target(model)
    if own is not None and os.path.isdir(own.path) and own.has(kind):  # noqa: PTH112
        theirs = bundle.read_header(own.part(kind)).encoder if own != base else header.encoder
        if theirs != header.encoder:
            raise UsageError(
                f"The model '{model}' has another {kind.upper()} ({theirs}) than '{base.name}' "
                f"({header.encoder}), so that its parts would not fit. Choose another with `name`, "
                "or leave out `base`."
            )
    return header


def _unfetched(kind: str) -> str:
    """Format which published weights a training is conditioned on, and how to get them."""
    asset = standing_in(kind)[0]
    purpose = "train" if kind == "clip" else "clap-tta"
    return (
        f"The paper's preset, and `base` published, need {asset.title} ({asset.size / 1e9:.2f} "
        f"GB), not on this machine yet: clipsonic download --for {purpose}. Or give a model that "
        f"has one as `base`{', such as mini' * (kind == 'clip')}.{why_unreadable()}"
    )


def take_over(base: ModelFolder, folder: Path, part: str) -> None:
    """Copy what is not trained into the run's ``model/``, so that the part can be used at once.

    A model that begins with its own U-Net takes over no other U-Net or student, nor statistics or
    bridge of the frames that was trained on; and none takes over a prior that was supervised by the
    texts of another data set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not base.path.is_dir():
        return
    parts = {name for mode in MODES.values() for name in mode.weights} | {STUDENT, "vocoder"}
    parts -= {"prior-sd", part}
    if part.startswith("unet"):
        parts -= {name for name in parts if name.startswith("unet")}
        parts -= {STUDENT, "statistics", "bridge"}
    for path in sorted(base.path.iterdir()):
        notice = path.suffix == ".md" and path.name != CARD
        wanted = notice or (path.suffix == SUFFIX and path.stem in parts)
        if wanted and not (folder / path.name).exists():
            copy(path, folder / path.name)


def publish(folder: Path, name: str, part: str) -> tuple[ModelFolder, list[Path]]:
    """Copy a finished part, and what the model lacks, from the run's ``model/`` to the models.

    The statistics go with the U-Net that reads frames; a student of the one before is put aside.

    Returns:
        The model; and the copies of parts that are replaced, if the same run did not train them.

    Raises:
        NoHome: There is no folder for models.
        OSError: It cannot be written, or the disk is full.
    """
    model, former = ModelFolder(data_home() / "models" / name), []
    model.path.mkdir(parents=True, exist_ok=True)
    replaced = {part, CARD.removesuffix(".md")} | ({"statistics"} if part == "unet" else set())
    for path in sorted(folder.iterdir()):
        to = model.path / path.name
        if path.suffix == SUFFIX and path.stem in replaced and to.exists():
            former += _keep_former(to, path)
        if path.stem in replaced or not to.exists():
            copy(path, to)
    student = model.path / f"{STUDENT}{SUFFIX}"
    if part == TAUGHT and student.exists():
        aside = _free_name(student)
        student.rename(aside)
        former.append(aside)
    return model, former


def _keep_former(path: Path, new: Path) -> list[Path]:
    """Copy a part that is going to be replaced, if it is not of the same run; return the copy."""
    if _meta_of(path).get("run") == _meta_of(new).get("run") is not None:
        return []
    former = _free_name(path)
    copy(path, former)
    return [former]


def _free_name(path: Path) -> Path:
    """Return a name for a former part, such as unet.safetensors.1, that no file has."""
    names = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def _meta_of(path: Path) -> dict[str, Any]:
    """Return the meta of a part; nothing of a damaged file."""
    try:
        return bundle.read_header(path).meta
    except BadBundle:
        return {}


def copy(source: Path, to: Path) -> None:
    """Copy a file, whole or not at all."""
    with written(to) as temporary:
        shutil.copyfile(source, temporary)
