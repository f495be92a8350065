"""What a model is, by the headers of its parts; no weights are read."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.modes import MODES, STUDENT
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store.default_mode import default_text_mode
from clipsonic_cli.store.model_folders import BUNDLED, SUFFIX, ModelFolder
from clipsonic_cli.store.student import student_calls
from clipsonic_cli.text import counted


def describe_model(model: ModelFolder) -> dict[str, Any]:
    """Return a model as a JSON object."""
    parts = sorted(model.path.glob(f"*{SUFFIX}"))
    licences, text_mode, calls = [], "", None
    state = "built in" if model.path.parent == BUNDLED else "yours"
    try:
        headers = map(bundle.read_header, parts)
        stated = {str(header.meta["licence"]) for header in headers if "licence" in header.meta}
        licences = sorted(stated) or ["not stated"]
        text_mode = default_text_mode(model)
        calls = student_calls(model) if model.has(STUDENT) else None
    except ClipsonicError as error:
        state = f"damaged: {error}"
    modes = model.modes()
    return {
        "kind": "model",
        "name": model.name,
        "title": f"model for {', '.join(modes) or 'no mode yet'}"
        + (f"; texts by {text_mode}" if text_mode else "")
        + (f"; a student of {counted(calls, 'call')}" if calls else ""),
        "bytes": sum(part.stat().st_size for part in parts),
        "licence": ", ".join(licences) or "unknown",
        "state": state,
        "path": str(model.path),
        "parts": [part.stem for part in parts],
        "modes": modes,
        "text_mode": text_mode or None,
        "student_calls": calls,
    }


def what_is_missing(model: ModelFolder) -> str:
    """Format which parts a model lacks for each mode, and where they could be from."""
    here = {path.stem for path in model.path.glob(f"*{SUFFIX}")}
    near = [mode for mode in MODES.values() if here & {*mode.weights}] or list(MODES.values())
    modes: dict[tuple[str, ...], list[str]] = {}
    for mode in near:
        missing = tuple(part for part in mode.weights if not model.has(part))
        modes.setdefault(missing, []).append(mode.name)
    ways = sorted(modes, key=len)
    lacks = "; ".join(f"for {', '.join(modes[parts])}: {', '.join(parts)}" for parts in ways)
    files = ", ".join(f"{part}{SUFFIX}" for part in ways[0])
    return (
        f"'{model.name}' has {', '.join(sorted(here))}, with which alone it makes no sound. It "
        f"lacks, {lacks}. Copy {files} into {model.path}{_from_whom(model, ways[0])}."
    )


def _from_whom(model: ModelFolder, parts: Sequence[str]) -> str:
    """Format where the encoder is from that a model was trained with: "; ..."."""
    from clipsonic_cli.published import OPENAI_CLIP

    headers = [bundle.read_header(path) for path in model.path.glob(f"*{SUFFIX}")]
    encoders = {header.encoder for header in headers if header.encoder is not None}
    if OPENAI_CLIP in encoders:
        return "; its CLIP is the paper's: clipsonic download openai-clip"
    others = [model_folders.find(name) for name in model_folders.names() if name != model.name]
    for other, part in product(others, {"clip", "clap"} & {*parts}):
        path = other.part(part)
        if path.is_file() and bundle.read_header(path).encoder in encoders:
            return f"; the {part} it was trained with is that of '{other.name}': {path}"
    return f"; whoever shared it has them{f' (encoder: {min(encoders)})' if encoders else ''}"


def default_or_none() -> tuple[str | None, str | None]:
    """Return the name of the default model, or None and why there is none."""
    try:
        return model_folders.default()[0], None
    except ClipsonicError as error:
        return None, str(error)
