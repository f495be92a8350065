"""All readers of files that may be anybody's."""

from pathlib import Path

import readers_of_data
import readers_of_models
import readers_of_runs
from reader import Reader


def table(models: Path) -> dict[str, Reader]:
    """Return the readers by name.

    Args:
        models: A small model's folder.
    """
    rows = [*readers_of_models.rows(models), *readers_of_runs.rows(), *readers_of_data.rows()]
    return {row.name: row for row in rows}
