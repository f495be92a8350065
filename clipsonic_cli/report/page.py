"""The report as a page: scores, Figure 3 and sounds to compare, in one file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.audio.level import peak_guard
from clipsonic_cli.audio.mel_image import draw_mel
from clipsonic_cli.config import MelSpec
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.audio_files import read_as_made
from clipsonic_cli.evaluation.results import Results, Sample, heading, save
from clipsonic_cli.report import html
from clipsonic_cli.report.notes import BIAS, INTERVAL, one_window
from clipsonic_cli.report.sampling import differences, sampling_note
from clipsonic_cli.report.score_tables import score_tables
from clipsonic_cli.report.tables import NONE, all_scores
from clipsonic_cli.text import decibels
from clipsonic_cli.types import Report, Waveform, silent

TEMPLATE = Path(__file__).with_name("page.html")
TRUTH = "truth"
MAX_BYTES = 50_000_000  # of all samples, for browsers and mail
LONG = ' class="text"'  # of cells that wrap
MAX_SECONDS = 30.0  # longest excerpt of a sound; the page states where more is left out


def write_html(
    results: Results,
    path: Path,
    *,
    title: str = "",
    figure: str | None = None,
    samples: int = 24,
    report: Report = silent,
) -> Path:
    """Write a report that is one file, without scripts and links to the network; return its path.

    It holds all scores with intervals, the paper's own marked as such; the figure; notes; for some
    queries the sound of every system as a player and a mel; and the settings. The same results and
    sounds give the same bytes. A sound or an image that cannot be read is named in its place.

    Without ``title`` it is that of an evaluation. ``figure`` is an SVG without style sheets, as
    :func:`~clipsonic_cli.report.figure.figure_3` draws it; trusted. ``samples`` is the most
    queries, spread evenly over all; the page states if :data:`MAX_BYTES` allow fewer. ``report``
    receives ``("report", done, total)`` queries.
    """
    if samples < 0:
        raise ValueError(f"need samples of 0 or more, got {samples}")
    reference = results.settings.get("reference")
    settings = [(name, _text(value)) for name, value in results.settings.items()]
    table = html.text_table("What decided the numbers", ("setting", "value"), settings, LONG)
    text = filled(
        title or f"Evaluation of {results.name}",
        summary="" if reference is None else f"Compared with {html.escaped(reference)}.",
        scores=_scores(results),
        figure="" if figure is None else _figure(figure),
        notes=(*results.notes, *one_window(results)),
        samples=_samples(results.samples, samples, report),
        settings=section("settings", "Settings", table) if settings else "",
    )
    save(path, text)
    return path


def filled(title: str, *, notes: Sequence[str] = (), **parts: str) -> str:
    """Fill the page with a title, notes and the HTML of its other parts, which may be left out."""
    listed = "".join(f"<li>{html.escaped(note)}</li>" for note in notes)
    parts = dict.fromkeys(("summary", "scores", "figure", "samples", "settings"), "") | parts
    parts["title"] = html.escaped(title)
    parts["notes"] = section("notes", "Notes", f"<ul>{listed}</ul>") if listed else ""
    return html.filled(TEMPLATE, parts)


def section(name: str, title: str, content: str) -> str:
    """Format a section of the page; ``content`` is HTML, and ``name`` the id of its heading."""
    head = f'<h2 id="{name}">{html.escaped(title)}</h2>'
    return f'<section aria-labelledby="{name}">{head}{content}</section>'


def _scores(results: Results) -> str:
    """Format the tables and, folded below them, all that is needed to compare a score."""
    scores = [score for row in results.rows for score in row.scores]
    if not scores:
        return ""
    # Collect what a reader must know.
    legend = [] if (sampling := sampling_note(results)) is None else [sampling]
    legend.append(
        f"In brackets: {INTERVAL} n: sounds. ★: the best of a column of as many sounds each, "
        "reconstructions aside; where intervals overlap, the order is open."
    )
    if not all(score.ranks for score in scores):
        legend.append("?: the network may not know the labels, so that no system is the best.")
    if any(score.bias is not None for score in scores):
        legend.append(BIAS)
    legend.append(
        "The paper’s own numbers are for orientation: they are of its models, its data and 512 "
        "sounds at w = 1.5."
    )
    if odd := differences(results):
        legend.append(f"Not as in the paper: {'; '.join(odd)}.")
    if not all(score.as_paper for score in scores):
        legend.append(
            "Scores with a network’s name in brackets are of that network, and compare with none "
            "of the paper’s."
        )
    # Format the tables.
    content = f'{score_tables(results)}<p class="soft">{html.escaped(" ".join(legend))}</p>'
    every = all_scores(results)
    table = html.text_table("Every score", every.columns, every.rows)
    content += _folded("Every score in full", table)
    outliers = [
        (
            heading(row.system, row.guidance),
            ", ".join(f"{name} ({distance:.3g})" for name, distance in row.outliers.items()),
        )
        for row in results.rows
        if row.outliers
    ]
    if outliers:
        caption = "Sounds farthest from the reference"
        columns = ("system", "sounds (distance)")
        content += _folded(caption, html.text_table(caption, columns, outliers, LONG))
    return section("scores", "Scores", content)


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>{content}</details>"


def _figure(svg: str) -> str:
    caption = (
        "<figcaption>Figure 3: scores against the guidance scale w. The numbers are those of the "
        "tables.</figcaption>"
    )
    wide = '<div class="wide" role="region" tabindex="0" aria-label="Figure 3">'
    return section("figure", "Guidance", f"<figure>{wide}{svg}</div>{caption}</figure>")


def _text(value: Any) -> str:
    """Format a setting."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_text(each)}" for name, each in value.items())
    return NONE if value is None else json.dumps(value)


def _samples(samples: Sequence[Sample], count: int, report: Report) -> str:
    """Format as many queries as fit, and state how many do."""
    playable = [sample for sample in samples if sample.paths]
    count = min(count, len(playable))
    if not count:
        return ""
    articles: list[str] = []
    for number in range(count):
        article = _sample(playable[number * len(playable) // count], number + 1)
        if sum(map(len, articles)) + len(article) > MAX_BYTES:  # ASCII but for prompts
            break
        articles.append(article)
        report("report", number + 1, count)
    shown = f"{len(articles)} of {len(playable)} queries"
    if len(articles) < count:
        limit = f"{MAX_BYTES / 1e6:g} MB of samples at most"
        shown += f"; {count} were requested, but a page holds {limit}"
    intro = (
        f'<p class="soft">{shown}. Players hold 16-bit FLAC; colours of the mels mean the same '
        "level everywhere, from 80 dB below full scale (dark) to full scale (light).</p>"
    )
    # Queries of one or two sounds stand next to each other.
    most = max(len(sample.paths) for sample in playable)
    grid = f'<div class="queries of-{most}">{"".join(articles)}</div>'
    return section("samples", "Samples", intro + grid)


def _sample(sample: Sample, number: int) -> str:
    """Format a query and its sounds, the clip's own first."""
    query = sample.name if sample.prompt is None else sample.prompt
    title = f'<h3 id="sample-{number}">{html.escaped(query)}</h3>'
    if sample.prompt is not None:
        title += f'<p class="soft">{html.escaped(sample.name)}</p>'
    names = sorted(sample.paths, key=lambda name: name != TRUTH)
    sounds = "".join(_sound(name, sample.paths[name], query) for name in names)
    return (
        f'<article aria-labelledby="sample-{number}"><div class="query">{_image(sample)}'
        f'<div>{title}</div></div><div class="sounds">{sounds}</div></article>'
    )


def _image(sample: Sample) -> str:
    """Format the image of a query, or why it cannot be shown."""
    if sample.image is None:
        return ""
    try:
        uri = html.photo_uri(sample.image, 480)
    except UsageError as error:
        return f'<p class="warn">{html.escaped(error)}</p>'
    return f'<img class="image" src="{uri}" alt="Image of the query {html.escaped(sample.name)}">'


def _sound(system: str, path: Path, query: str) -> str:
    """Format a player and a mel of a sound, or why it cannot be read."""
    kind = ' class="truth"' if system == TRUTH else ""
    name = "truth: the clip’s own sound" if system == TRUTH else system
    caption = f"<b>{html.escaped(name)}</b>"
    spec = MelSpec()
    try:
        audio, resampled = read_as_made(path), read_as_made(path, spec.sample_rate)
    except UsageError as error:
        why = f'<p class="warn">{html.escaped(error)}</p>'
        return f"<figure{kind}><figcaption>{caption}</figcaption>{why}</figure>"
    # Describe what is played.
    samples, sample_rate = torch.from_numpy(audio.samples), audio.sample_rate
    shown = samples[: round(MAX_SECONDS * sample_rate)]
    seconds = f"{len(samples) / sample_rate:.1f} s"
    if len(shown) < len(samples):
        seconds = f"first {MAX_SECONDS:g} of {seconds}"
    if (gain := peak_guard(shown)[1]) < 1:
        seconds += f", played {decibels(gain)} than it was scored"
    # Draw the mel.
    mel_input = torch.from_numpy(resampled.samples)[: round(MAX_SECONDS * spec.sample_rate)]
    mel = draw_mel(Waveform(samples=mel_input, sample_rate=spec.sample_rate), spec)
    label = html.escaped(f"{system}, for {query}")
    return (
        f'<figure{kind}><figcaption>{caption} <span class="soft">{seconds}</span></figcaption>'
        f'<img src="{html.drawing_uri(mel)}" width="{mel.width}" height="{mel.height}" '
        f'alt="Mel spectrogram of {label}"><audio controls preload="none" '
        f'src="{html.sound_uri(shown, sample_rate)}" aria-label="{label}"></audio></figure>'
    )
