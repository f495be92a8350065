"""Figure 3: scores against guidance, as an SVG that any page can hold, or as a PNG."""

import io
import math
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args
from xml.etree import ElementTree

from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.results import Results, save
from clipsonic_cli.models.optional import install_command
from clipsonic_cli.modes import MODES
from clipsonic_cli.report import paper
from clipsonic_cli.report.sampling import differences, sampling_note
from clipsonic_cli.report.tables import arrow
from clipsonic_cli.types import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Suffix = Literal[".svg", ".png"]
INK = "#1a1f26"  # colour of all but curves; a dark page replaces it
# Each has a contrast of 3 to 1 or more on white and on a dark page.
COLOURS = (
    *("#2473c9", "#c65a11", "#1d8757", "#a352bd", "#b9476a", "#7a7316"),
    *("#0e8292", "#6a62d2", "#96603c", "#647480", "#c43d3d", "#4c7d1f"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
# Strokes of curves over w, and of levels without w.
DASHES = (
    *("-", (0, (6, 2)), (0, (6, 2, 1.2, 2)), ":", (0, (10, 2, 2, 2, 2, 2)), (0, (14, 3))),
    *((0, (3, 1)), (0, (9, 1, 1, 1)), (0, (4, 4)), (0, (14, 2, 4, 2)), (0, (2, 4))),
    (0, (7, 1, 3, 1)),
)
LEVELS = ((0, (2, 2)), (0, (8, 3, 1, 3)), (0, (1, 3)), (0, (12, 3)))
WIDTH, HEIGHT, LEGEND = 4.2, 3.4, 0.7  # inches: a panel, and the height of the legend below
STROKE, LETTER = 0.95, 0.085  # inches: about the width of a legend line, and of a letter
RC = {
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.spines.right", "axes.spines.top", "axes.formatter.useoffset"), False),
    "font.size": 10,
    "svg.fonttype": "none",  # text stays text: smaller, and readable by screen readers
    "svg.hashsalt": "clipsonic",
    "text.parse_math": False,  # a folder may be called $x$
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The scores of one system in one panel."""

    system: str
    guided: bool
    points: Sequence[tuple[float | None, Score]]
    """By ascending w; a single one, of None, where nothing was guided."""


def check_matplotlib() -> None:
    """Check that matplotlib is installed; a UsageError says how to install it."""
    if find_spec("matplotlib") is None:
        raise UsageError(
            f"Figures are drawn with matplotlib, which is not installed: {install_command('eval')}"
        )


def write_figures(results: Results, stem: Path) -> list[Path]:
    """Write :func:`figure_3` in every format, next to each other."""
    paths = [stem.with_suffix(suffix) for suffix in get_args(Suffix)]
    for path, suffix in zip(paths, get_args(Suffix), strict=True):
        save(path, figure_3(results, suffix=suffix))
    return paths


def figure_3(
    results: Results, metrics: Sequence[str] | None = None, *, suffix: Suffix = ".svg"
) -> bytes:
    """Draw scores against the guidance scale w: a panel for each metric, a line for each system.

    Systems differ by marker and stroke, so that grey print is enough, and a mode looks the same in
    every figure; bands are 95 % intervals. Systems without w are horizontal lines. Scores by
    another backbone than the usual one have a panel of their own, without the paper's numbers,
    which are faint at w = 1.5. The same results give the same bytes with the same matplotlib. An
    SVG needs no style sheet and no font file, so that a page with a strict policy can hold it.

    Without ``metrics``, such as "fad" and "clap", it shows all that have a w. It is a
    UsageError if none has one, or if matplotlib is not installed.

    Source:
        CLIPSonic figure 3; its numbers are not printed, so that those of table 1 are drawn.
    """
    if metrics is None:
        metrics = list(dict.fromkeys(score.metric for r in results.rows for score in r.scores))
    panels = _panels(results, metrics)
    if not panels:
        raise UsageError(
            f"Figure 3 shows {', '.join(metrics) or 'scores'} against w, and no such score has "
            "one; evaluate a model with `guidance` 1 1.5 2 3."
        )
    check_matplotlib()
    from matplotlib import style
    from matplotlib.figure import Figure

    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    with style.context(["default", RC]), warnings.catch_warnings():
        # For names in letters that the font lacks; browsers have other fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows + LEGEND), layout="constrained")
        figure.patch.set_gid("ground")  # page.css makes it transparent
        titles = _draw(figure, results, panels, columns, rows)
        buffer = io.BytesIO()
        if suffix == ".png":
            figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
            return buffer.getvalue()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _plain(buffer.getvalue(), _description(panels), titles)


def _panels(results: Results, metrics: Sequence[str]) -> dict[str, list[Curve]]:
    """Return the curves of each label of which one has a w, in the order of metrics."""
    panels: dict[str, list[Curve]] = {}
    scores = [(row, score) for row in results.rows for score in row.scores]
    for label in dict.fromkeys(s.label for m in metrics for _, s in scores if s.metric == m):
        points_of: dict[tuple[str, bool], list[tuple[float | None, Score]]] = {}
        for row, score in scores:
            if score.label == label:
                points = points_of.setdefault((row.system, row.guidance is not None), [])
                points.append((row.guidance, score))
        if any(guided for _, guided in points_of):
            panels[label] = curves = []
            for (system, guided), points in points_of.items():
                points = sorted(points, key=lambda point: point[0] or 0.0) if guided else points[:1]
                curves.append(Curve(system=system, guided=guided, points=points))
    return panels


def _draw(
    figure: "Figure", results: Results, panels: dict[str, list[Curve]], columns: int, rows: int
) -> dict[str, str]:
    """Draw all panels and the legend; return the text of each line, by its id."""
    curves = [curve for panel in panels.values() for curve in panel]
    # Known systems come first, present or not, so that each looks the same in every figure.
    places = {True: list(MODES), False: [paper.RECONSTRUCTION]}
    values = sorted({w for curve in curves for w, _ in curve.points if w is not None})
    handles: dict[tuple[str, bool], Line2D] = {}
    titles: dict[str, str] = {}
    has_paper = False
    # Draw each panel.
    for number, (label, panel) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        for curve in panel:
            systems = places[curve.guided]
            if curve.system not in systems:
                systems.append(curve.system)
            line = (_line if curve.guided else _level)(axes, curve, systems.index(curve.system))
            gid = f"curve-{number + 1}-{len(titles) + 1}"
            line.set_gid(gid)
            titles[gid] = _text(curve)
            handles.setdefault((curve.system, curve.guided), line)
        has_paper |= _draw_paper(axes, [(c, handles[c.system, True]) for c in panel if c.guided])
        first = panel[0].points[0][1]
        better = f"{first.better} is better" if first.ranks else "orders no systems"
        axes.set_ylabel(f"{label}   {arrow(first)} {better}")
        axes.set_xlabel("guidance w")
        if len(values) <= 8:
            axes.set_xticks(values, [f"{w:g}" for w in values])
        if len(values) == 1:
            axes.set_xlim(values[0] - 0.5, values[0] + 0.5)
        axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
    # Collect notes.
    notes = [f"n = {_sounds(panels)}"]
    if any(score.interval for curve in curves for _, score in curve.points):
        notes.append("bands and bars: 95 % intervals")
    if has_paper:
        notes.append("faint: the paper's own where they fit, on VGGSound (V) and MUSIC (M)")
        if odd := differences(results):
            notes.append(f"not as in the paper: {', '.join(odd)}")
    if (sampling := sampling_note(results)) is not None:
        notes.append(sampling.removesuffix("."))
    # Draw the legend.
    names = [_printable(system) for system, _ in handles]
    one_row = sum(STROKE + LETTER * len(name) for name in names) <= WIDTH * columns
    figure.legend(
        list(handles.values()),
        names,
        loc="outside lower center",
        ncols=len(names) if one_row else 2 * columns,
        handlelength=4,
        frameon=False,
        title=textwrap.fill("; ".join(notes), int(WIDTH * columns / LETTER)),
        title_fontsize=9,
    )
    return titles


def _line(axes: "Axes", curve: Curve, index: int) -> "Line2D":
    """Draw a system with w."""
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    values = [w for w, _ in curve.points if w is not None]
    (line,) = axes.plot(
        values,
        [score.value for _, score in curve.points],
        color=colour,
        marker=marker,
        markersize=6,
        linestyle=DASHES[index % len(DASHES)],
        linewidth=1.8,
        zorder=3,
    )
    known = [(w, *s.interval) for w, s in curve.points if w is not None and s.interval]
    if known:
        ws, low, high = zip(*known, strict=True)
        if len(known) > 1:
            axes.fill_between(ws, low, high, color=colour, alpha=0.15, linewidth=0, zorder=1)
        axes.vlines(ws, low, high, color=colour, alpha=0.6, linewidth=1.2, zorder=2)
    return line


def _draw_paper(axes: "Axes", drawn: Sequence[tuple[Curve, "Line2D"]]) -> bool:
    """Draw the paper's numbers where they fit the axis; return whether any do."""
    low, high = axes.get_ylim()
    low, high = low - (high - low) / 4, high + (high - low) / 4
    has_any = False
    for curve, line in drawn:
        score = curve.points[0][1]
        for data, numbers in paper.TABLE_1.get(curve.system, {}).items() if score.as_paper else ():
            value = numbers.get(score.metric)
            if value is None or not low <= value <= high:
                continue
            has_any = True
            axes.plot(
                paper.W,
                value,
                marker=line.get_marker(),
                markerfacecolor="none",
                markeredgecolor=line.get_color(),
                markersize=8,
                alpha=0.6,
            )
            axes.annotate(data[0], (paper.W, value), (7, -3), textcoords="offset points", alpha=0.7)
    return has_any


def _level(axes: "Axes", curve: Curve, index: int) -> "Line2D":
    """Draw a system without w."""
    ((_, score),) = curve.points
    stroke = LEVELS[index % len(LEVELS)]
    if score.interval:
        axes.axhspan(*score.interval, color=INK, alpha=0.08, linewidth=0, zorder=0)
    return axes.axhline(score.value, color=INK, linestyle=stroke, linewidth=1.4, zorder=2)


def _plain(svg: bytes, description: str, titles: dict[str, str]) -> bytes:
    """Return an SVG without metadata, prologue and styles, which strict policies refuse.

    Every property that matplotlib writes as a style is an attribute of SVG too.
    """
    root = ElementTree.fromstring(svg)
    for element in list(root.iter()):
        element.tag = element.tag.rpartition("}")[2]
        if (target := element.attrib.pop("{http://www.w3.org/1999/xlink}href", None)) is not None:
            element.set("href", target)
        for part in element.attrib.pop("style", "").split(";"):
            name, _, value = part.partition(":")
            if value:
                element.set(name.strip(), value.strip())
        if (gid := element.get("id")) in titles:
            title = ElementTree.Element("title")
            title.text = titles[gid]
            element.insert(0, title)
        for child in list(element):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                element.remove(child)
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "role": "img",
        "aria-label": description,
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    text: str = ElementTree.tostring(root, encoding="unicode")
    return text.encode() + b"\n"


def _description(panels: dict[str, list[Curve]]) -> str:
    """Format the figure as text."""
    parts = [
        f"{label} ({curves[0].points[0][1].better} is better) of {'; '.join(map(_text, curves))}"
        for label, curves in panels.items()
    ]
    return f"Scores against guidance w, n = {_sounds(panels)}. {'. '.join(parts)}."


def _sounds(panels: dict[str, list[Curve]]) -> str:
    """Format the number of sounds of a point, or its range."""
    counts = {score.n for panel in panels.values() for curve in panel for _, score in curve.points}
    return " to ".join(f"{n}" for n in sorted({min(counts), max(counts)})) + " sounds"


def _text(curve: Curve) -> str:
    """Format a curve as text: "pd: 2.643 at w=1, 2.714 at w=1.5"."""
    points = (f"{s.value:.4g}" + ("" if w is None else f" at w={w:g}") for w, s in curve.points)
    return f"{_printable(curve.system)}: {', '.join(points)}"


def _printable(text: str) -> str:
    """Return a text that XML can hold."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
