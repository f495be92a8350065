"""Phrases and single notes of instruments, composed by chance.

A clip's notes follow from its id alone. The id holds the label, so that instruments differ in
rhythm, too.
"""

import random
from collections.abc import Sequence

SECONDS = 4.096
"""Length of a clip: 65,536 samples at 16 kHz."""
CELLS = (
    (1.0,),
    (1.0, 1.0, 2.0),
    (1.5, 0.5),
    (2.0, 1.0, 1.0),
    (1.0, 0.5, 0.5),
    (1.33, 0.67),
    (0.75, 0.25, 1.0),
    (3.0, 1.0, 2.0, 2.0),
)
"""Rhythms, in steps, that a phrase repeats."""
HOLDS = (0.25, 0.45, 0.8, 0.95, 1.0, 1.04)
"""Part of its time that a note is held, from staccato to legato."""
ONE_SHOTS = 0.25
"""Share of the clips that are single notes or strokes."""
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10))

Note = tuple[float, float, int, int]
"""Start in seconds, length in seconds, key, velocity."""


def melody(draw: random.Random, low: int, high: int, *, chords: bool) -> list[Note]:
    """Compose a phrase that fills a clip: register, tempo, articulation and dynamics are drawn.

    Args:
        draw: Source of every choice.
        low: Lowest key of the instrument.
        high: Highest key.
        chords: Whether the instrument plays several notes at once.
    """
    keys = _register(draw, low, high)
    styles = ["walk", "walk", "scale", "arpeggio", "repeat", "long"]
    style = draw.choice([*styles, "chord", "chord", "broken"] if chords else styles)
    step = min(max(60 / draw.uniform(56, 190) / draw.choice((1, 1, 2, 2, 4)), 0.1), 0.9)
    step = {"long": draw.choice((1.0, 1.5, 2.0)), "chord": max(step, 0.4)}.get(style, step)
    cell = draw.choice(CELLS) if style != "long" else (1.0,)
    hold, rests = draw.choice(HOLDS), draw.choice((0.0, 0.0, 0.1, 0.25))
    loudness, swell = draw.randint(50, 112), draw.choice((0, 0, 0, 30, -30))
    at, direction, time, notes = draw.randrange(len(keys)), draw.choice((-1, 1)), 0.0, []
    for count in range(1000):
        if time > SECONDS - 0.08:
            break
        length = step * cell[count % len(cell)]
        accent = 10 if count % len(cell) == 0 else draw.randint(-12, 6)
        velocity = min(124, max(36, round(loudness + swell * (time / SECONDS - 0.5) + accent)))
        offsets = {"chord": (0, 2, 4), "broken": ((0, 2, 4, 2)[count % 4],)}.get(style, (0,))
        for offset in offsets if count == 0 or draw.random() >= rests else ():
            key = keys[min(at + offset, len(keys) - 1)]
            notes.append((time, min(length, SECONDS - time) * hold, key, velocity))
        if style in ("scale", "arpeggio"):
            stride = 1 if style == "scale" else 2
            if not 0 <= at + stride * direction < len(keys):
                direction = -direction
            at += stride * direction
        elif style not in ("repeat", "broken") or count % 4 == 3:
            at += draw.choice((-3, -2, -1, -1, 1, 1, 2, 3))
        at = min(max(at, 0), len(keys) - 1)
        time += length
    return notes


def _register(draw: random.Random, low: int, high: int) -> list[int]:
    """Choose a part of an instrument's range, and return its keys of a random scale."""
    width = min(high - low, draw.choice((9, 14, 21, 60)))
    bottom = draw.randint(low, high - width)
    scale, tonic = draw.choice(SCALES), draw.randrange(12)
    span = range(bottom, bottom + width + 1)
    return [key for key in span if (key - tonic) % 12 in scale] or list(span)


def one_shot(draw: random.Random, low: int, high: int, *, chords: bool) -> list[Note]:
    """Compose one to three notes or chords with silence after them; see :func:`melody`."""
    times = draw.choice((1, 1, 2, 3))
    length = SECONDS / times
    tones = (0, draw.choice((3, 4)), 7) if chords and draw.random() < 0.5 else (0,)
    notes = []
    for number in range(times):
        key, velocity = draw.randint(low, max(low, high - tones[-1])), draw.randint(45, 122)
        hold = length * draw.choice((0.05, 0.15, 0.4, 0.7, 0.9))
        notes += [(number * length, hold, min(key + tone, high), velocity) for tone in tones]
    return notes


def rhythm(draw: random.Random, keys: Sequence[int], *, kit: bool) -> list[Note]:
    """Compose a percussion phrase that fills a clip.

    Args:
        draw: Source of every choice.
        keys: Keys of the percussion channel.
        kit: Kick and snare keep a beat (the first two keys), instead of free strokes.
    """
    step = 60 / draw.uniform(64, 180) / 2
    density = draw.choice((0.85, 0.85, 0.5))
    if not kit:
        step = max(0.1, step / draw.choice((0.25, 0.5, 1, 1, 2)))
    cymbal = draw.choice(keys[2:4]) if kit else keys[0]
    notes: list[Note] = []
    for count in range(max(1, int(SECONDS / step))):
        strokes = []
        if kit:
            if count % 8 == 0 or draw.random() < 0.2:
                strokes.append(keys[0])
            if count % 8 == 4 or draw.random() < 0.06:
                strokes.append(keys[1])
            if draw.random() < density:
                strokes.append(cymbal)
            if count % 16 > 13 and draw.random() < 0.6:
                strokes.append(draw.choice(keys[4:]))
        elif count == 0 or draw.random() < density:
            strokes.append(draw.choice(keys))
        accent = 12 if count % 4 == 0 else 0
        notes += [(count * step, step, key, draw.randint(50, 112) + accent) for key in strokes]
    return notes


def effect(draw: random.Random, low: int, high: int) -> list[Note]:
    """Trigger a sound effect one to four times."""
    times = draw.choice((1, 2, 3, 4))
    length = SECONDS / times
    return [
        (
            i * length,
            length * draw.uniform(0.8, 1.0),
            draw.randint(low, high),
            draw.randint(80, 120),
        )
        for i in range(times)
    ]


def compose(label: dict[str, str], clip_id: str) -> tuple[list[Note], tuple[int, int] | None]:
    """Return a clip's notes and its (bank, program), or None on the percussion channel.

    A share of the clips are one-shots, the others phrases. The id holds the label, so that no two
    instruments play the same.
    """
    draw = random.Random(clip_id)
    low = [int(key) for key in label["low"].split()]
    alone = draw.random() < ONE_SHOTS
    if label["kind"] == "perc":
        kit = label["label"] == "drum kit"
        if alone and not kit:
            return [(*note[:2], draw.choice(low), note[3]) for note in _strokes(draw)], None
        return rhythm(draw, low, kit=kit), None
    bank, program = draw.choice(programs(label))
    high = int(label["high"])
    if label["kind"] == "effect":
        return effect(draw, low[0], high), (bank, program)
    write = one_shot if alone else melody
    return write(draw, low[0], high, chords=label["kind"] == "poly"), (bank, program)


def _strokes(draw: random.Random) -> list[Note]:
    """Return single strokes with silence after them."""
    return one_shot(draw, 0, 0, chords=False)


def programs(label: dict[str, str]) -> list[tuple[int, int]]:
    """Return the (bank, program) pairs of a label; none of percussion."""
    pairs = (pair.split(":") for pair in label["programs"].split())
    return [(int(bank), int(program)) for bank, program in pairs]
