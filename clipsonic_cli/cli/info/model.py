"""A model, by the headers of its parts, for ``clipsonic info``; no weights are read."""

from collections.abc import Mapping
from typing import Any

from clipsonic_cli.cli.console import Facts
from clipsonic_cli.cli.models.describe import default_or_none, describe_model
from clipsonic_cli.config import StudentConfig
from clipsonic_cli.modes import DEFAULT_MODE, MODES
from clipsonic_cli.store import bundle
from clipsonic_cli.store.bundle import Header
from clipsonic_cli.store.default_mode import default_text_mode
from clipsonic_cli.store.known import known_labels, known_nouns
from clipsonic_cli.store.model_folders import SUFFIX, ModelFolder
from clipsonic_cli.text import counted, megabytes

CARD = "MODEL_CARD.md"
MAX_NUMBERS = 100
"""Numbers by name that are shown, at most."""
MAX_NUMBER = 1e15


def describe(model: ModelFolder) -> Facts:
    """Describe a model: what it can do, its labels, parts, scores and licence.

    Raises:
        BadBundle: A part is damaged.
    """
    paths = {path.stem: path for path in sorted(model.path.glob(f"*{SUFFIX}"))}
    headers = {stem: bundle.read_header(path) for stem, path in paths.items()}
    unet = next((headers[mode.unet] for mode in MODES.values() if mode.unet in headers), None)
    card = model.path / CARD
    details = describe_model(model) | {
        "default": default_or_none()[0] == model.name,
        "card": str(card) if card.is_file() else None,
        "sound": None if unet is None else sound_of(unet),
        "labels": known_labels(unet, headers.get("statistics")),
        "nouns": known_nouns(headers.get("statistics")),
        "parts": [
            part_of(stem, header, paths[stem].stat().st_size) for stem, header in headers.items()
        ],
    }
    labels, nouns = details["labels"], details["nouns"]
    default = ", the default" if details["default"] else ""
    facts = {
        "model": f"{details['name']} ({details['state']}{default})",
        "folder": details["path"],
        "modes": _modes(model, details["modes"]),
        "sound": _sound(details["sound"]),
        "labels": f"{len(labels)}: {', '.join(labels)}" if labels else "none are listed",
        **({"frames": f"are most like: {', '.join(nouns)}"} if nouns else {}),
        "licence": f"{details['licence']} (of the weights); what that means for sounds: "
        f"{'see the card' if details['card'] else 'ask who made the model'}",
        "card": details["card"] or "none",
        "size": megabytes(details["bytes"]),
    }
    return facts | {f"part {part['name']}": _part(part) for part in details["parts"]}, details


def sound_of(unet: Header) -> dict[str, float]:
    """Return the sample rate, the highest frequency in Hz, and the length made in one piece."""
    mel = unet.mel
    assert mel is not None  # a U-Net's header has one
    return {
        "sample_rate": mel.sample_rate,
        "highest_hz": min(mel.f_max, mel.sample_rate / 2),
        "native_seconds": bundle.native_seconds(unet),
    }


def part_of(stem: str, header: Header, size: int) -> dict[str, Any]:
    """Return a part as a JSON object: its kind, licence, training and scores."""
    meta = header.meta
    best = meta.get("best")
    held_out = best.get("held_out_loss") if isinstance(best, dict) else meta.get("held_out")
    vocoder = meta.get("default_vocoder")
    return {
        "name": stem,
        "kind": header.kind,
        "bytes": size,
        "licence": str(meta.get("licence", "not stated")),
        "steps": numbers_of(meta.get("steps")),
        "minutes": numbers_of(meta.get("minutes")),
        "held_out": numbers_of(held_out),
        "scores": numbers_of(meta.get("scores") or meta.get("accuracy")),
        **_student(header),
        "default_vocoder": vocoder if isinstance(vocoder, str) else None,
    }


def _student(header: Header) -> dict[str, Any]:
    """Return the calls and the largest w of a student; None of another part."""
    config = header.config if isinstance(header.config, StudentConfig) else None
    return {name: getattr(config, name, None) for name in ("calls", "max_guidance")}


def numbers_of(value: Any, depth: int = 2) -> Any:
    """Return a number, or a dictionary of them of so many levels; None for all else in a file."""
    if isinstance(value, dict) and depth:
        items = list(value.items())[:MAX_NUMBERS]
        numbers = {name: numbers_of(one, depth - 1) for name, one in items}
        return {name: number for name, number in numbers.items() if number is not None}
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and -MAX_NUMBER < value < MAX_NUMBER else None


def _modes(model: ModelFolder, modes: list[str]) -> str:
    """Format the modes of a model, and which are the defaults."""
    image = DEFAULT_MODE["image"]
    usual = {"text": default_text_mode(model), "image": image if image in modes else ""}
    defaults = [f"{kind}: {mode}" for kind, mode in usual.items() if mode]
    named = ", ".join(f"{name} ({MODES[name].title})" for name in modes) or "none yet"
    return f"{named}; by default {', '.join(defaults)}" if defaults else named


def _sound(sound: Mapping[str, float] | None) -> str:
    """Format what sounds are like."""
    if sound is None:
        return "none: there is no U-Net"
    return (
        f"{sound['sample_rate'] / 1000:g} kHz mono, nothing above {sound['highest_hz'] / 1000:g} "
        f"kHz; {sound['native_seconds']:.1f} s in one piece, longer ones in windows"
    )


def _part(part: Mapping[str, Any]) -> str:
    """Format a part."""
    pieces = [part["kind"], megabytes(part["bytes"]), part["licence"]]
    pieces += [f"{_values(part[name])} {name}" for name in ("steps", "minutes") if part[name]]
    if part["held_out"]:
        pieces.append(f"held-out loss {_values(part['held_out'])}")
    if part["scores"]:
        pieces.append(f"scores: {_values(part['scores'])}")
    if part["calls"] is not None:
        calls = counted(part["calls"], "network call")
        pieces.append(f"{calls}, w 0 to {part['max_guidance']:g} (--preset instant)")
    if part["kind"] == "vocoder":
        default = part["default_vocoder"] or "griffin-lim, with which this was not compared"
        pieces.append(f"the vocoder is {default}")
    return ", ".join(pieces)


def _values(value: Any) -> str:
    """Format numbers by name, which may be nested: "bigvgan (log mel l1 0.53, accuracy 0.53)"."""
    if not isinstance(value, dict):
        return f"{value:,.10g}"
    named = {name.replace("_", " "): one for name, one in value.items()}
    return ", ".join(
        f"{name} ({_values(one)})" if isinstance(one, dict) else f"{name} {_values(one)}"
        for name, one in named.items()
    )
