"""Published weights, for ``clipsonic info``."""

from clipsonic_cli.cli.console import Facts
from clipsonic_cli.cli.download.inventory import describe_asset
from clipsonic_cli.store import assets
from clipsonic_cli.store.manifest import Asset
from clipsonic_cli.text import megabytes


def describe(row: Asset) -> Facts:
    """Describe published weights, here or not."""
    entry = describe_asset(row)
    here = entry["state"] == "here"
    serves = [*row.modes, *row.metrics, *(f"train --stage {stage}" for stage in row.stages)]
    facts = {
        "weights": f"{row.name}: {row.title}",
        "licence": row.licence,
        "page": row.page,
        "size": megabytes(entry["bytes"]),
        "needed for": ", ".join(serves),
        "state": str(assets.folder(row))
        if here
        else f"{entry['state']}; to get them: clipsonic download {row.name}",
    }
    return facts, entry
