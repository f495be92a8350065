"""Sounds of the data set: phrases played by a General MIDI soundfont, and arranged recordings.

Every clip is mono, 16 kHz, 65,536 samples (128 frames of 512), peak 0.95, and follows from its id
alone: the same id gives the same sound.
"""

import random
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from steps import run

RATE = 16_000
SAMPLES = 65_536
SECONDS = SAMPLES / RATE
TICKS_A_SECOND = 960  # 480 ticks a quarter note at MIDI's default of 120 a minute
SLOT = SECONDS + 2.0  # a phrase and the silence in which it dies away
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10))

Note = tuple[float, float, int, int]
"""Start in seconds, length in seconds, key, velocity."""
Samples = NDArray[np.float32]


def melody(draw: random.Random, low: int, high: int, *, chords: bool) -> list[Note]:
    """Composes a phrase that fills a clip.

    Args:
        draw: Source of every choice.
        low: Lowest key of the instrument.
        high: Highest key.
        chords: Whether the instrument plays several notes at once.
    """
    scale, tonic = draw.choice(SCALES), draw.randrange(12)
    keys = [key for key in range(low, high + 1) if (key - tonic) % 12 in scale]
    styles = ["walk", "walk", "scale", "arpeggio", "repeat", "long"]
    style = draw.choice([*styles, "chord", "chord", "broken"] if chords else styles)
    step = min(max(60 / draw.uniform(70, 160) / draw.choice((1, 1, 2, 2, 4)), 0.12), 0.9)
    if style == "long":
        step = draw.choice((1.0, 1.5, 2.0))
    if style == "chord":
        step = max(step, 0.4)
    hold, loudness = draw.choice((0.6, 0.8, 0.95, 1.0)), draw.randint(72, 115)
    at, direction, time, notes = draw.randrange(len(keys)), draw.choice((-1, 1)), 0.0, []
    for count in range(1000):
        if time > SECONDS - 0.08:
            break
        length = step * (draw.choice((1, 1, 1, 2)) if style == "walk" else 1)
        velocity = min(127, max(45, loudness + draw.randint(-12, 12)))
        offsets = {"chord": (0, 2, 4), "broken": ((0, 2, 4, 2)[count % 4],)}.get(style, (0,))
        for offset in offsets:
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


def rhythm(draw: random.Random, keys: Sequence[int], *, kit: bool) -> list[Note]:
    """Composes a percussion phrase that fills a clip.

    Args:
        draw: Source of every choice.
        keys: Keys of the percussion channel.
        kit: Kick and snare keep a beat (the first two keys), instead of free strokes.
    """
    step = 60 / draw.uniform(80, 160) / 2
    if not kit:
        step = max(0.12, step / draw.choice((0.5, 1, 1, 2)))
    cymbal = draw.choice(keys[2:4]) if kit else keys[0]
    notes: list[Note] = []
    for count in range(int(SECONDS / step)):
        strokes = []
        if kit:
            if count % 8 == 0 or draw.random() < 0.2:
                strokes.append(keys[0])
            if count % 8 == 4 or draw.random() < 0.06:
                strokes.append(keys[1])
            if draw.random() < 0.85:
                strokes.append(cymbal)
            if count % 16 > 13 and draw.random() < 0.6:
                strokes.append(draw.choice(keys[4:]))
        elif count == 0 or draw.random() < 0.85:
            strokes.append(draw.choice(keys))
        notes += [(count * step, step, key, draw.randint(70, 122)) for key in strokes]
    return notes


def effect(draw: random.Random, low: int, high: int) -> list[Note]:
    """Triggers a sound effect one to four times."""
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
    """Return a clip's notes and its (bank, program), or None on the percussion channel."""
    draw = random.Random(clip_id)
    low = [int(key) for key in label["low"].split()]
    if label["kind"] == "perc":
        return rhythm(draw, low, kit=label["label"] == "drum kit"), None
    programs = [tuple(map(int, pair.split(":"))) for pair in label["programs"].split()]
    bank, program = draw.choice(programs)
    if label["kind"] == "effect":
        return effect(draw, low[0], int(label["high"])), (bank, program)
    notes = melody(draw, low[0], int(label["high"]), chords=label["kind"] == "poly")
    return notes, (bank, program)


def play(soundfont: Path, phrases: Sequence[tuple[list[Note], tuple[int, int] | None]]) -> Samples:
    """Play phrases through fluidsynth in one run.

    Args:
        soundfont: A General MIDI soundfont.
        phrases: Notes and (bank, program) of each.

    Returns:
        (len(phrases), 65,536) float32 at 16 kHz, peak 0.95.
    """
    events: list[tuple[int, int, bytes]] = []
    for index, (notes, program) in enumerate(phrases):
        begin = index * SLOT
        channel = 9 if program is None else 0
        # All sound off: a bell of the phrase before must not ring on in this one.
        events.append((int(begin * TICKS_A_SECOND), -1, bytes((0xB0 | channel, 120, 0))))
        if program is not None:
            tick = int(begin * TICKS_A_SECOND)
            events.append((tick, 0, bytes((0xB0, 0, program[0]))))
            events.append((tick, 1, bytes((0xC0, program[1]))))
        for start, length, key, velocity in notes:
            on = int((begin + 0.02 + start) * TICKS_A_SECOND)
            off = max(on + 1, int((begin + min(start + length, SECONDS - 0.02)) * TICKS_A_SECOND))
            events.append((on, 3, bytes((0x90 | channel, key, velocity))))
            events.append((off, 2, bytes((0x80 | channel, key, 0))))
    with tempfile.TemporaryDirectory() as folder:
        midi, wave = Path(folder, "phrases.mid"), Path(folder, "phrases.wav")
        midi.write_bytes(_midi_file(events, last=int(len(phrases) * SLOT * TICKS_A_SECOND)))
        options = ["synth.midi-bank-select=gs", "synth.dynamic-sample-loading=1"]
        settings = [word for option in options for word in ("-o", option)]
        command = ["fluidsynth", "-niq", "-R", "0", "-C", "0", "-g", "0.6", "-r", "44100"]
        files = ["-O", "float", "-T", "wav", "-F", str(wave), str(soundfont), str(midi)]
        run([*command, *settings, *files], keep=True)
        played, rate = soundfile.read(wave, dtype="float32")
    mono = soxr.resample(played.mean(axis=1), rate, RATE)
    mono = np.pad(mono, (0, max(0, int(len(phrases) * SLOT * RATE) + SAMPLES - len(mono))))
    starts = [int(index * SLOT * RATE) for index in range(len(phrases))]
    return np.stack([level(mono[start : start + SAMPLES]) for start in starts])


def _midi_file(events: list[tuple[int, int, bytes]], last: int) -> bytes:
    """Serialises (tick, order, message) events as a Standard MIDI File of one track."""
    track, now = b"", 0
    for tick, _, message in [*sorted(events, key=lambda e: e[:2]), (last, 9, b"\xff\x2f\x00")]:
        delta, digits = max(0, tick - now), b""
        now = max(now, tick)
        while True:
            digits = bytes((delta & 127 | (128 if digits else 0),)) + digits
            delta >>= 7
            if not delta:
                break
        track += digits + message
    return struct.pack(">4sIHHH4sI", b"MThd", 6, 0, 1, 480, b"MTrk", len(track)) + track


def arrange(recordings: Sequence[Samples], clip_id: str) -> Samples:
    """Make a clip from recordings of one thing: a crop of a long one, or a short one repeated.

    Args:
        recordings: Each (N,) float32 at 16 kHz, silence trimmed, peak 0.95.
        clip_id: Seeds which recording, where, how often, and small changes of pitch and level.

    Returns:
        (65,536,) float32, peak 0.95.
    """
    draw = random.Random(clip_id)
    clip = np.zeros(SAMPLES, np.float32)
    take = draw.choice(recordings)
    if len(take) >= SAMPLES // 2:
        take = _pitch(take, draw.uniform(0.96, 1.04))
        start = draw.randint(0, max(0, len(take) - SAMPLES))
        crop = take[start : start + SAMPLES]
        at = draw.randint(0, SAMPLES - len(crop))
        clip[at : at + len(crop)] = crop
        return level(clip)
    now, gap = draw.uniform(0.0, 0.25) * RATE, draw.uniform(0.08, 0.7)
    while now < SAMPLES - 1000:
        if draw.random() < 0.3:
            take = draw.choice(recordings)
        sound = _pitch(take, draw.uniform(0.94, 1.06))[: SAMPLES - int(now)]
        clip[int(now) : int(now) + len(sound)] += sound * draw.uniform(0.6, 1.0)
        now += len(sound) + gap * draw.uniform(0.5, 1.5) * RATE
    return level(clip)


def _pitch(samples: Samples, factor: float) -> Samples:
    """Play faster (and higher) by a factor."""
    changed: Samples = soxr.resample(samples, RATE * factor, RATE)
    return changed


def level(samples: Samples) -> Samples:
    """Scale to a peak of 0.95, as BigVGAN's data is."""
    peak = float(np.abs(samples).max(initial=0.0))
    return (samples * (0.95 / peak)).astype(np.float32) if peak > 1e-5 else samples


def read_recording(path: Path) -> Samples:
    """Read a recording as (N,) float32 at 16 kHz, silence at both ends trimmed, peak 0.95."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = level(soxr.resample(samples.mean(axis=1), rate, RATE))
    loud = np.flatnonzero(np.abs(mono) > 0.01)
    return mono[loud[0] : loud[-1] + 1] if len(loud) else mono[:0]
