"""The report as a page: scores, Figure 3 and sounds to compare, in one file."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.audio.level import peak_guard
from clipsonic_cli.audio.mel_image import draw_mel
from clipsonic_cli.config import MelSpec
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.audio_files import read_as_made
from clipsonic_cli.evaluation.results import Results, Sample, heading, save
from clipsonic_cli.report.html import drawing_uri, escaped, filled, photo_uri, sound_uri
from clipsonic_cli.report.sampling import differences, sampling_note
from clipsonic_cli.report.score_tables import framed, plain_table, score_tables
from clipsonic_cli.report.tables import BIAS, INTERVAL, NONE, all_scores, one_window
from clipsonic_cli.types import Report, Waveform, silent

TEMPLATE = Path(__file__).with_name("page.html")
TRUTH = "truth"
MAX_BYTES = 50_000_000
"""Most bytes of all samples, for browsers and mail."""
MAX_SECONDS = 30.0
"""Longest excerpt of a sound; the page states where more is left out."""
IMAGE_PIXELS = 480
"""Longer side of a query's image."""


def write_html(
    results: Results,
    path: Path,
    *,
    figure: str | None = None,
    samples: int = 24,
    report: Report = silent,
) -> Path:
    """Write a report that is one file, without scripts and links to the network.

    It holds all scores with intervals, the paper's own marked as such; the figure; notes; for some
    queries the sound of every system as a player and a mel; and the settings. The same results and
    sounds give the same bytes.

    Args:
        results: What to show. A sound or an image that cannot be read is named in its place.
        path: The file; its folder must exist.
        figure: An SVG without style sheets, as :func:`~clipsonic_cli.report.figure.figure_3`
            draws it; trusted.
        samples: Most queries, spread evenly over all; fewer where :data:`MAX_BYTES` are full, which
            the page states.
        report: Receives ``("report", done, total)`` queries.

    Returns:
        The path.

    Raises:
        ClipsonicError: The file cannot be written.
        ValueError: ``samples`` is negative.
    """
    if samples < 0:
        raise ValueError(f"need samples of 0 or more, got {samples}")
    reference = results.settings.get("reference")
    parts = {
        "title": escaped(results.name),
        "summary": "" if reference is None else f"Compared with {escaped(reference)}.",
        "scores": _scores(results),
        "figure": "" if figure is None else _figure(figure),
        "notes": _notes([*results.notes, *one_window(results)]),
        "samples": _samples(results.samples, samples, report),
        "settings": _settings(results),
    }
    page = filled(TEMPLATE, parts)
    save(path, page)
    return path


def _section(name: str, title: str, content: str) -> str:
    head = f'<h2 id="{name}">{escaped(title)}</h2>'
    return f'<section aria-labelledby="{name}">{head}{content}</section>'


def _scores(results: Results) -> str:
    """Format the tables and, folded below them, all that is needed to compare a score."""
    if not any(row.scores for row in results.rows):
        return ""
    scores = [score for row in results.rows for score in row.scores]
    legend = (
        f"In brackets: {INTERVAL} n: sounds. ★: the best of a column of as many sounds each, "
        "reconstructions aside; where intervals overlap, the order is open."
    )
    if any(score.bias is not None for score in scores):
        legend += f" {BIAS}"
    legend += (
        " The paper’s own numbers are for orientation: they are of its models, its data and 512 "
        "sounds at w = 1.5."
    )
    if odd := differences(results):
        legend += f" Not as in the paper: {'; '.join(odd)}."
    if (sampling := sampling_note(results)) is not None:
        legend = f"{sampling} {legend}"
    if not all(score.as_paper for score in scores):
        legend += (
            " Scores with a network’s name in brackets are of that network, and compare with none "
            "of the paper’s."
        )
    table = all_scores(results)
    folded = f"<details><summary>Every score in full</summary>{plain_table(table, 'Every score')}"
    content = f'{score_tables(results)}<p class="soft">{escaped(legend)}</p>{folded}</details>'
    return _section("scores", "Scores", content + _outliers(results))


def _outliers(results: Results) -> str:
    """Format the sounds that are farthest from the reference, folded."""
    caption = "Sounds farthest from the reference"
    pairs = [
        (
            heading(row.system, row.guidance),
            ", ".join(f"{name} ({distance:.3g})" for name, distance in row.outliers.items()),
        )
        for row in results.rows
        if row.outliers
    ]
    if not pairs:
        return ""
    table = _two_columns(caption, ("system", "sounds (distance)"), pairs)
    return f"<details><summary>{caption}</summary>{table}</details>"


def _figure(svg: str) -> str:
    caption = (
        "<figcaption>Figure 3: scores against the guidance scale w. The numbers are those of the "
        "tables.</figcaption>"
    )
    wide = '<div class="wide" role="region" tabindex="0" aria-label="Figure 3">'
    return _section("figure", "Guidance", f"<figure>{wide}{svg}</div>{caption}</figure>")


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    listed = "".join(f"<li>{escaped(note)}</li>" for note in notes)
    return _section("notes", "Notes", f"<ul>{listed}</ul>")


def _settings(results: Results) -> str:
    if not results.settings:
        return ""
    pairs = [(name, _text(value)) for name, value in results.settings.items()]
    table = _two_columns("What decided the numbers", ("setting", "value"), pairs)
    return _section("settings", "Settings", table)


def _two_columns(caption: str, heads: tuple[str, str], pairs: Iterable[tuple[str, str]]) -> str:
    """Format a table of names and texts, which may be long."""
    rows = "".join(
        f'<tr><th scope="row">{escaped(name)}</th><td class="text">{escaped(text)}</td></tr>'
        for name, text in pairs
    )
    head = f'<th scope="col">{heads[0]}</th><th scope="col" class="text">{heads[1]}</th>'
    content = f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
    return framed(f"<table>{content}</table>", caption)


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
    size = 0
    for number in range(count):
        article = _sample(playable[number * len(playable) // count], number + 1)
        size += len(article)  # ASCII but for prompts
        if size > MAX_BYTES:
            break
        articles.append(article)
        report("report", number + 1, count)
    shown = f"{len(articles)} of {len(playable)} queries"
    if len(articles) < count:
        shown += (
            f"; {count} were requested, but a page holds {MAX_BYTES / 1e6:g} MB of samples at most"
        )
    intro = (
        f'<p class="soft">{shown}. Players hold 16-bit FLAC; colours of the mels mean the same '
        "level everywhere, from 80 dB below full scale (dark) to full scale (light).</p>"
    )
    return _section("samples", "Samples", intro + "".join(articles))


def _sample(sample: Sample, number: int) -> str:
    """Format a query and its sounds, the clip's own first."""
    query = sample.name if sample.prompt is None else sample.prompt
    title = f'<h3 id="sample-{number}">{escaped(query)}</h3>'
    if sample.prompt is not None:
        title += f'<p class="soft">{escaped(sample.name)}</p>'
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
        uri = photo_uri(sample.image, IMAGE_PIXELS)
    except UsageError as error:
        return f'<p class="warn">{escaped(error)}</p>'
    alt = f"Image of the query {sample.name}"
    return f'<img class="image" src="{uri}" alt="{escaped(alt)}">'


def _sound(system: str, path: Path, query: str) -> str:
    """Format a player and a mel of a sound, or why it cannot be read."""
    kind = ' class="truth"' if system == TRUTH else ""
    name = "truth: the clip’s own sound" if system == TRUTH else system
    try:
        audio, spec = read_as_made(path), MelSpec()
        samples, sample_rate = torch.from_numpy(audio.samples), audio.sample_rate
        shown = samples[: round(MAX_SECONDS * sample_rate)]
        resampled = torch.from_numpy(read_as_made(path, spec.sample_rate).samples)
        mel_input = resampled[: round(MAX_SECONDS * spec.sample_rate)]
    except UsageError as error:
        why = f'<p class="warn">{escaped(error)}</p>'
        return f"<figure{kind}><figcaption><b>{escaped(name)}</b></figcaption>{why}</figure>"
    seconds = f"{len(samples) / sample_rate:.1f} s"
    if len(shown) < len(samples):
        seconds = f"first {MAX_SECONDS:g} of {seconds}"
    if (gain := peak_guard(shown)[1]) < 1:
        seconds += f", played {-20 * math.log10(gain):.1f} dB quieter than it was scored"
    mel = draw_mel(Waveform(samples=mel_input, sample_rate=spec.sample_rate), spec)
    alt = escaped(f"Mel spectrogram of {system}, for {query}")
    label = escaped(f"{system}, for {query}")
    return (
        f'<figure{kind}><figcaption><b>{escaped(name)}</b> <span class="soft">{seconds}</span>'
        f'</figcaption><img src="{drawing_uri(mel)}" width="{mel.width}" '
        f'height="{mel.height}" alt="{alt}"><audio controls preload="none" '
        f'src="{sound_uri(shown, sample_rate)}" aria-label="{label}"></audio></figure>'
    )
