"""The paper's Tables 1 and 2 and its Figure 3 for the embedded model, by `clipsonic eval`.

    python recipes/mini/tables.py --out runs/mini

Needs the held-out list of ``videos.py`` and the model. The sounds lie in ``OUT/eval`` and are used
again: interrupted, the same command goes on. Writes what is found into ``results/``: a csv each,
the figure, and ``tables.md`` with the command of each; with ``--only``, some of them. Two cores,
hours; no GPU.
"""

import argparse
import csv
import shlex
import shutil
import sys
from pathlib import Path

from steps import need, run

RESULTS = Path(__file__).parent / "results"
REPORTS = {
    "table-1": ["-n", "100", "--table", "1"],
    "table-2": ["-n", "300", "--table", "2"],
    "figure-3": ["-n", "300", "--figure", "3"],
}
"""Arguments of ``clipsonic eval`` by the name of its reports."""
COLUMNS = ("system", "w", "score", "value", "95 % interval", "sounds", "s each")


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description="The paper's tables for the embedded model.")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--only", choices=REPORTS, nargs="+", default=[*REPORTS])
    arguments = parser.parse_args()
    out: Path = arguments.out
    data, made = need(out, "held-out.jsonl", "videos.py"), out / "eval"
    page = RESULTS / "tables.md"
    sections = read_sections(page.read_text(encoding="utf-8") if page.exists() else "")
    for name in arguments.only:
        command = ["clipsonic", "eval", "--model", arguments.model, "--data", str(data)]
        command += [*REPORTS[name], "--dtype", "bfloat16", "--output", str(made)]
        run([sys.executable, "-m", "clipsonic_cli", *command[1:], "--quiet"], keep=True)
        for path in sorted(made.glob(f"{name}.*")):
            if path.suffix in (".csv", ".svg", ".png"):
                shutil.copyfile(path, RESULTS / path.name)
        sections[name] = section(name, command, RESULTS / f"{name}.csv")
    page.write_text("\n".join(sections[name] for name in REPORTS if name in sections), "utf-8")


def read_sections(page: str) -> dict[str, str]:
    """Return the parts of a page by the names of their reports."""
    parts = [f"## {part}".rstrip() + "\n" for part in page.split("## ")[1:]]
    return {part.splitlines()[0][3:].lower().replace(" ", "-"): part for part in parts}


def section(name: str, command: list[str], scores: Path) -> str:
    """Return a part of the page: the command and its scores.

    Args:
        name: A key of :data:`REPORTS`.
        command: What was run.
        scores: The csv that ``clipsonic eval`` wrote.
    """
    lines = [f"## {name.replace('-', ' ').capitalize()}", "", f"    {shlex.join(command)}", ""]
    lines += [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    with scores.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            interval = f"{number(row['low'])} to {number(row['high'])}" if row["low"] else "-"
            cells = (
                row["system"],
                row["guidance"] or "-",
                row["metric"],
                number(row["value"]),
                interval,
                row["n"],
                f"{float(row['seconds']):.1f}" if row["seconds"] else "-",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def number(text: str) -> str:
    """Return a number of a csv as people read it."""
    return f"{float(text):.3f}"


if __name__ == "__main__":
    main()
