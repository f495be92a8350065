"""What a model is, by the headers of its parts; no weights are read."""

from typing import Any

from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.store.model_folders import BUNDLED, SUFFIX, ModelFolder


def describe_model(model: ModelFolder) -> dict[str, Any]:
    """Return a model as a JSON object."""
    parts = sorted(model.path.glob(f"*{SUFFIX}"))
    licences, state = [], "built in" if model.path.parent == BUNDLED else "yours"
    try:
        headers = map(bundle.read_header, parts)
        stated = {str(header.meta["licence"]) for header in headers if "licence" in header.meta}
        licences = sorted(stated) or ["not stated"]
    except ClipsonicError as error:
        state = f"damaged: {error}"
    modes = model.modes()
    return {
        "kind": "model",
        "name": model.name,
        "title": f"model for {', '.join(modes) or 'no mode yet'}",
        "bytes": sum(part.stat().st_size for part in parts),
        "licence": ", ".join(licences) or "unknown",
        "state": state,
        "path": str(model.path),
        "parts": [part.stem for part in parts],
        "modes": modes,
    }


def default_or_none() -> tuple[str | None, str | None]:
    """Return the name of the default model, or None and why there is none."""
    try:
        return model_folders.default()[0], None
    except ClipsonicError as error:
        return None, str(error)
