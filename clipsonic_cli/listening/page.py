"""The listening test: a web page on which people rate sounds without knowing their systems."""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.atomic import check_writable, written
from clipsonic_cli.data.sound_files import read_sound_file
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.listening.ratings import KEY_FORMAT
from clipsonic_cli.report.html import escaped, filled, photo_uri, sound_uri
from clipsonic_cli.types import Query, Report, silent

TEMPLATE = Path(__file__).with_name("page.html")
PAGE = "index.html"
KEY = "key.json"  # the end of its name
MAX_BYTES = 100_000_000  # of a page, for browsers and mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A file to be rated, mixed to mono, and the query it should be relevant to."""

    prompt: Query
    sound: Path


def write_listening_test(
    systems: Mapping[str, Sequence[Trial]],
    folder: Path,
    *,
    seed: int,
    title: str = "Listening test",
    report: Report = silent,
) -> Path:
    """Write a page on which people rate fidelity and relevance of every sound, from 1 to 5.

    The page, which is returned, is one file without links to the network, for browsers and
    phones. Sounds are 16-bit FLAC at their own sample rate and level, without names and metadata
    that would reveal their system; every rater gets them in another order. Raters save files for
    :func:`~clipsonic_cli.listening.ratings.read_ratings`.

    The key, which raters must not see, is written next to the folder (:func:`key_of`), so that the
    folder can be passed on as a whole. A test or key that is there already is a UsageError, as its
    key would be lost. The same ``seed`` of the codes of sounds and the same sounds give the same
    page. ``report`` receives ("Listening test", done, total) sounds.

    Source:
        CLIPSonic section 3, "Subjective test": the two questions and their scale. The words of the
        first scale are those of ITU-T P.800; the paper gives none.
    """
    if not systems or not all(systems.values()):
        raise ValueError("need one system or more, each with one sound or more")
    check_unused(folder)
    # Fill the page.
    shown, samples = _blind(systems, random.Random(seed), report)
    # Answers name their test, so that the key of another one does not fit.
    test = hashlib.sha256(json.dumps([title, shown]).encode()).hexdigest()[:16]
    data = json.dumps({"id": test, **shown}).replace("<", "\\u003c")  # so that it ends no element
    text = filled(TEMPLATE, {"title": escaped(title), "test": data})
    if len(text) > MAX_BYTES:
        raise UsageError(
            f"A page of {len(samples)} sounds would have {len(text) / 1e6:.0f} MB, over the limit "
            f"of {MAX_BYTES // 1_000_000}; take fewer or shorter sounds."
        )
    # Write key and page.
    page = folder / PAGE
    meanings = {"format": KEY_FORMAT, "test": test, "title": title, "seed": seed}
    meanings |= {"systems": list(systems), "samples": samples}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The key is first: a page without it is useless.
        for path, content in ((key_of(folder), json.dumps(meanings, indent=1)), (page, text)):
            with written(path) as temporary:
                temporary.write_text(content, "utf-8")
    except OSError as error:
        raise ClipsonicError(
            f"Cannot write the listening test in '{folder}': {error.strerror}; give another folder."
        ) from error
    return page


def key_of(folder: Path) -> Path:
    """Return the file of the key: "listen-key.json" next to the folder "listen"."""
    if folder.name in ("", ".."):  # as of "." and "/"
        folder = folder.resolve()
    return folder.parent / f"{folder.name}-{KEY}"


def check_unused(folder: Path) -> None:
    """Check that a folder can take a listening test and has none, of this or an older version."""
    for path in (folder / PAGE, folder / KEY, key_of(folder)):
        if path.exists():
            raise UsageError(
                f"'{path}' is of a listening test already, and answers to it need its key; give "
                "another folder."
            )
    for place in (folder, key_of(folder).parent):
        check_writable(place)


def _blind(
    systems: Mapping[str, Sequence[Trial]], rng: random.Random, report: Report
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Return what the page holds, in random order under random codes, and what each code means."""
    trials = [(system, trial) for system, made in systems.items() for trial in made]
    rng.shuffle(trials)
    names = [f"{number:06x}" for number in rng.sample(range(16**6), len(trials))]
    prompts = list(dict.fromkeys(trial.prompt for _, trial in trials))
    shown, meanings = [], {}
    for done, (name, (system, trial)) in enumerate(zip(names, trials, strict=True), start=1):
        # Encoded again, sounds lose format, names and recipe, which would reveal the system.
        audio = read_sound_file(trial.sound)
        sound = sound_uri(torch.from_numpy(audio.samples), audio.sample_rate)
        shown.append({"id": name, "prompt": prompts.index(trial.prompt), "sound": sound})
        meanings[name] = {"system": system, "prompt": trial.prompt.name, "sound": trial.sound.name}
        report("Listening test", done, len(trials))
    queries = [
        {"text": str(query.text)} if query.image is None else {"image": photo_uri(query.image, 960)}
        for query in prompts
    ]
    return {"prompts": queries, "samples": shown}, meanings
