"""Pages of results: a table to which every run of a benchmark adds a row."""

import datetime
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]


def device_name(device: str = "cpu") -> str:
    """Return the name of a device: the card's, or the processor's with the threads in use."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{processor()}, {torch.get_num_threads()} threads"


def processor() -> str:
    """Return the processor's name, or its architecture where the system does not tell."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """Return the commit of this checkout, with a "+" where the package differs from it."""

    def git(*command: str) -> str:
        ran = subprocess.run(["git", "-C", ROOT, *command], capture_output=True, text=True)
        return ran.stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + "+" * bool(
        git("status", "-s", "--", "clipsonic_cli")
    )


def add_row(
    page: Path, script: str, row: Mapping[str, object], *, device: str = "cpu", note: str = ""
) -> None:
    """Append a row to a page, which is created if missing.

    Args:
        page: A Markdown file.
        script: The benchmark's file.
        row: Column to value; the date, commit, torch and device are added.
        device: "cpu" or "cuda".
        note: What is said above a new page's table.

    Raises:
        SystemExit: The page has other columns.
    """
    about = {
        "date": datetime.datetime.now(datetime.UTC).date(),
        "commit": commit(),
        "torch": torch.__version__,
        "machine": device_name(device),
    }
    cells = {**about, **row}
    columns = f"| {' | '.join(cells)} |"
    name = Path(script).name
    begin = [f"# {name}", "", f"Written by `python benchmarks/{name} --write`, a row a run.", ""]
    begin += [note, ""] if note else []
    lines = page.read_text("utf-8").splitlines() if page.exists() else begin
    if columns not in lines:
        if page.exists():
            raise SystemExit(f"{page} has other columns; give another file.")
        lines += [columns, f"|{'---|' * len(cells)}"]
    lines.append(f"| {' | '.join(str(cell) for cell in cells.values())} |")
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
