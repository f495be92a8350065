"""Which mode answers a query where none is named. Reads a header, and imports no torch."""

from collections.abc import Mapping

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.modes import DEFAULT_MODE, MODES, Kind
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.text import printable

KEY, FITS = "default_mode", "fits"
"""In the meta of statistics: a mode for texts, and how well each way from text fits the frames."""
USUAL = "the default"
"""Why a mode is the default of a model that names none."""


def default_mode(model: ModelFolder, kind: Kind) -> tuple[str, str]:
    """Return a model's mode for a kind of query, and why it is this one, for people.

    The meta of its statistics may name, for texts, what fitted the frames best when they were
    compared (``training/text_modes.py``); else it is that of ``modes.DEFAULT_MODE``.

    Raises:
        BadBundle: The meta names no mode for texts, or the file is damaged.
    """
    usual = DEFAULT_MODE[kind], USUAL
    if kind != "text" or not model.has("statistics"):
        return usual
    meta = bundle.read_header(model.part("statistics")).meta
    if KEY not in meta:
        return usual
    name = meta[KEY]
    if not isinstance(name, str) or name not in MODES or MODES[name].query != kind:
        raise BadBundle(
            f"The statistics name {printable(repr(name)):.40} as the default mode; known: "
            f"{', '.join(row.name for row in MODES.values() if row.query == kind)}."
        )
    if not all(map(model.has, MODES[name].weights)):
        return usual
    return name, f"the model's default, which fits its frames best{_cosine(meta, name)}"


def default_text_mode(model: ModelFolder) -> str:
    """Format a model's mode for texts, with its figure: "db (cosine 0.53)"; "" where it has none.

    Raises:
        BadBundle: The meta names no mode for texts, or the file is damaged.
    """
    name, why = default_mode(model, "text")
    if name not in model.modes():
        return ""
    if why == USUAL:
        return name
    return f"{name}{_cosine(bundle.read_header(model.part('statistics')).meta, name)}"


def _cosine(meta: Mapping[str, object], name: str) -> str:
    """Format the mean cosine of a mode's vectors with frames, which statistics' meta may have."""
    fits = meta.get(FITS)
    fit = fits.get(name) if isinstance(fits, dict) else None
    return f" (cosine {fit:.2f})" if isinstance(fit, float) else ""
