"""The listening test: one web page on which people rate sounds without knowing who made them.

Knows: what a rater is shown, and the key that tells afterwards which system made which sound. Does
not know: what the answers say (``listening/ratings.py``).
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clipsonic_cli.atomic import written
from clipsonic_cli.data.sound_files import read_sound_file
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.listening.ratings import KEY_FORMAT
from clipsonic_cli.report.html import escaped, filled, photo_uri, sound_uri
from clipsonic_cli.types import Query, Report, silent

TEMPLATE = Path(__file__).with_name("page.html")
PAGE = "index.html"
KEY = "key.json"
MAX_BYTES = 100_000_000
"""Of a page: browsers, and mail, take no more gladly."""
PICTURE_PIXELS = 960
"""The longer side of a picture as it is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One sound to be rated.

    Args:
        prompt: What it is to be relevant to.
        sound: The file, of any format that is read; other channels than one are mixed.
    """

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
    """Writes a page that asks for fidelity and relevance of every sound, from 1 to 5.

    The page is one file, which holds all sounds and pictures: it opens in a browser from a mail,
    from a disk or on a phone, and contacts nobody. Sounds are 16-bit FLAC at their own sample rate
    and level, without names and metadata, so that nothing but the ear tells who made them; every
    rater hears them in another order. What a rater gives back is a file for
    :func:`~clipsonic_cli.listening.ratings.read_ratings`.

    Args:
        systems: By name, the sounds of each; commonly every system has the same prompts.
        folder: Gets the page, ``index.html``, and ``key.json``, which raters must not see; made if
            it is not there.
        seed: Draws the names the sounds go by; the same seed and sounds give the same page.
        title: What raters see above it.
        report: Told the sounds done.

    Returns:
        The page.

    Raises:
        ValueError: There is no system, or one without sounds.
        UsageError: A sound or a picture cannot be read, all of them are too large for a page, or
            the folder holds a test already, whose key would be lost.
        ClipsonicError: The folder cannot be written.

    Source:
        CLIPSonic section 3, "Subjective test": the two questions and their scale. The
        words of the first scale are those of ITU-T P.800; the paper gives none.
    """
    if not systems or not all(systems.values()):
        raise ValueError("need one system or more, each with one sound or more")
    page, key = folder / PAGE, folder / KEY
    for path in (page, key):
        if path.exists():
            raise UsageError(
                f"'{folder}' holds a listening test already, and answers to it need its {KEY}; "
                f"give another folder."
            )
    shown, samples = _blind(systems, random.Random(seed), report)
    # Answers name the test they belong to, so that no key of another one opens them.
    test = hashlib.sha256(json.dumps([title, shown]).encode()).hexdigest()[:16]
    data = json.dumps({"id": test, **shown}).replace("<", "\\u003c")  # so it ends no element
    text = filled(TEMPLATE, {"title": escaped(title), "test": data})
    if len(text) > MAX_BYTES:
        raise UsageError(
            f"A page of {len(samples)} sounds would have {len(text) / 1e6:.0f} MB, over the limit "
            f"of {MAX_BYTES // 1_000_000}; take fewer or shorter sounds."
        )
    opened = {
        "format": KEY_FORMAT,
        "test": test,
        "title": title,
        "seed": seed,
        "systems": list(systems),
        "samples": samples,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written(key) as temporary:  # first: a page without its key is worth nothing
            temporary.write_text(json.dumps(opened, indent=1), "utf-8")
        with written(page) as temporary:
            temporary.write_text(text, "utf-8")
    except OSError as error:
        raise ClipsonicError(
            f"Cannot write the listening test in '{folder}': {error.strerror}; give another folder."
        ) from error
    return page


def _blind(
    systems: Mapping[str, Sequence[Trial]], chance: random.Random, report: Report
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Gives what the page shows, in an order that tells nothing, and what each name stands for."""
    trials = [(system, trial) for system, made in systems.items() for trial in made]
    chance.shuffle(trials)
    names = [f"{number:06x}" for number in chance.sample(range(16**6), len(trials))]
    prompts = list(dict.fromkeys(trial.prompt for _, trial in trials))
    shown, opened = [], {}
    for done, (name, (system, trial)) in enumerate(zip(names, trials, strict=True), start=1):
        prompt = prompts.index(trial.prompt)
        shown.append({"id": name, "prompt": prompt, "sound": _sound(trial.sound)})
        opened[name] = {"system": system, "prompt": trial.prompt.name, "sound": trial.sound.name}
        report("Listening test", done, len(trials))
    return {"prompts": [_prompt(prompt) for prompt in prompts], "samples": shown}, opened


def _prompt(query: Query) -> dict[str, str]:
    """Gives a prompt as the page shows it."""
    if query.image is None:
        return {"text": str(query.text)}
    return {"image": photo_uri(query.image, PICTURE_PIXELS)}


def _sound(path: Path) -> str:
    """Gives a sound as the page holds it: its own format, names and recipe would tell who."""
    audio = read_sound_file(path)
    return sound_uri(torch.from_numpy(audio.samples), audio.sample_rate)
