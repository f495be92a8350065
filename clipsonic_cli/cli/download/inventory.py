"""Weights and models, on this machine or not: tables for people, objects for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from clipsonic_cli.atomic import free_bytes
from clipsonic_cli.cli.console import Console
from clipsonic_cli.cli.models.describe import describe_model
from clipsonic_cli.store import assets, model_folders
from clipsonic_cli.store.home import data_home
from clipsonic_cli.store.manifest import Asset
from clipsonic_cli.text import first, megabytes

COLUMNS = ("name", "what", "size", "licence", "state")


def show(
    console: Console, rows: Sequence[Asset], folders: Sequence[model_folders.ModelFolder]
) -> None:
    """Print assets and models: a table, or with ``--json`` an object each."""
    entries = [*map(describe_asset, rows), *map(describe_model, folders)]
    if console.as_json:
        for entry in entries:
            console.result("", entry)
        return
    shown = [
        entry | {"what": entry["title"], "size": megabytes(entry["bytes"])} for entry in entries
    ]
    lines = [[entry[column] for column in COLUMNS] for entry in shown]
    console.table("", COLUMNS, lines, words={*COLUMNS} - {"size"})


def note_models(console: Console) -> None:
    """Print the models that are here, with the mode by which texts go in each."""
    entries = map(describe_model, map(model_folders.find, model_folders.names()))
    shown = [
        f"{entry['name']} (texts by {entry['text_mode']})" if entry["text_mode"] else entry["name"]
        for entry in entries
    ]
    console.note(f"Models that are here ({len(shown)}): {first(shown)}; see clipsonic models")


def describe_asset(row: Asset) -> dict[str, Any]:
    """Return an asset as a JSON object: what it is, its files, and whether it is here."""
    state = assets.state(row)
    return {
        "kind": "weights",
        "name": row.name,
        "title": row.title,
        "bytes": assets.on_disk(row) if state == "here" else row.size,
        "licence": row.licence,
        "state": state,
        "page": row.page,
        "modes": row.modes,
        "metrics": row.metrics,
        "files": [asdict(file) for file in row.files],
    }


def show_plan(console: Console, rows: Sequence[Asset], shares: Sequence[str]) -> None:
    """Print what would be fetched, and how much space is free."""
    absent = [row for row in rows if assets.state(row) != "here"]
    for row in absent:
        line = f"{row.name}  {megabytes(row.size)}  {row.licence}"
        console.result(line, describe_asset(row))
    for share in shares:
        console.result(share, {"kind": "model", "name": share})
    total, free = sum(row.size for row in absent), free_bytes(data_home())
    console.note(f"{megabytes(total)} to fetch into {data_home()}, {megabytes(free)} are free")
