"""Sounds of the data set: phrases played by a General MIDI soundfont, and arranged recordings.

Every clip is mono, 16 kHz, 65,536 samples (128 frames of 512), of even loudness, and follows from
its id alone: the same id gives the same sound.
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
from phrases import SECONDS, Note
from steps import run

RATE = 16_000
SAMPLES = 65_536
TICKS_A_SECOND = 960  # 480 ticks a quarter note at MIDI's default of 120 a minute
SLOT = SECONDS + 2.0  # a phrase and the silence in which it dies away
ROOMS = 0.35
"""Share of training clips that are played in a room."""
TILT = 2.0
"""Most that a training clip is made brighter or duller, in dB an octave."""
PEAK, LOUDNESS = 0.95, 10 ** (-18 / 20)
"""Highest peak of a clip, and highest root mean square of its loudest 0.4 s."""

AUDIBLE = 0.1
"""Amplitude that a crop of a recording reaches, so that none is of a pause."""

Samples = NDArray[np.float32]


def presets(soundfont: Path) -> set[tuple[int, int]]:
    """Return the (bank, program) pairs that a soundfont has.

    Raises:
        ValueError: It has no list of presets.
    """
    blob = soundfont.read_bytes()
    at = blob.rfind(b"phdr")
    if not blob.startswith(b"RIFF") or at < 0:
        raise ValueError(f"{soundfont} is no soundfont: it has no list of presets")
    (size,) = struct.unpack_from("<I", blob, at + 4)
    records = struct.iter_unpack("<20sHH14s", blob[at + 8 : at + 8 + size // 38 * 38])
    return {(bank, program) for _, program, bank, _ in list(records)[:-1]}  # the last ends the list


def play(soundfont: Path, phrases: Sequence[tuple[list[Note], tuple[int, int] | None]]) -> Samples:
    """Play phrases through fluidsynth in one run.

    Args:
        soundfont: A General MIDI soundfont.
        phrases: Notes and (bank, program) of each.

    Returns:
        (len(phrases), 65,536) float32 at 16 kHz, of even loudness; silent where the soundfont lacks
        the sound.
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
    return np.stack([even(mono[start : start + SAMPLES]) for start in starts])


def _midi_file(events: list[tuple[int, int, bytes]], last: int) -> bytes:
    """Serialise (tick, order, message) events as a Standard MIDI File of one track."""
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
        (65,536,) float32, of even loudness.
    """
    draw = random.Random(clip_id)
    clip = np.zeros(SAMPLES, np.float32)
    take = draw.choice(recordings)
    if len(take) >= SAMPLES // 2:
        take = _pitch(take, draw.uniform(0.96, 1.04))
        loud = np.flatnonzero(np.abs(take) > AUDIBLE)
        start = int(loud[draw.randrange(len(loud))]) - draw.randrange(SAMPLES)
        start = min(max(0, start), max(0, len(take) - SAMPLES))
        crop = take[start : start + SAMPLES]
        at = draw.randint(0, min(RATE // 2, SAMPLES - len(crop)))
        clip[at : at + len(crop)] = crop
        return even(clip)
    now, gap = draw.uniform(0.0, 0.25) * RATE, draw.uniform(0.08, 0.7)
    while now < SAMPLES - 1000:
        if draw.random() < 0.3:
            take = draw.choice(recordings)
        sound = _pitch(take, draw.uniform(0.94, 1.06))[: SAMPLES - int(now)]
        clip[int(now) : int(now) + len(sound)] += sound * draw.uniform(0.6, 1.0)
        now += len(sound) + gap * draw.uniform(0.5, 1.5) * RATE
    return even(clip)


def _pitch(samples: Samples, factor: float) -> Samples:
    """Play faster (and higher) by a factor."""
    changed: Samples = soxr.resample(samples, RATE * factor, RATE)
    return changed


def level(samples: Samples) -> Samples:
    """Scale to a peak of 0.95."""
    peak = float(np.abs(samples).max(initial=0.0))
    return (samples * (0.95 / peak)).astype(np.float32) if peak > 1e-5 else samples


def even(samples: Samples) -> Samples:
    """Scale to a loudness of :data:`LOUDNESS`, or to a peak of :data:`PEAK` where that is less."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak <= 1e-4:
        return np.zeros_like(samples)
    block = int(0.4 * RATE)
    power = np.square(np.pad(samples, (0, -len(samples) % block))).reshape(-1, block).mean(axis=1)
    gain = min(PEAK / peak, LOUDNESS / float(np.sqrt(power.max())))
    return (samples * gain).astype(np.float32)


def varied(samples: Samples, clip_id: str, *, speed: bool) -> Samples:
    """Vary a training clip: its colour, where it is played, and its speed.

    The spectrum is tilted around 1 kHz, as by another make or microphone; for rooms see
    :func:`in_room`.

    Args:
        samples: (N,).
        clip_id: Seed of the changes.
        speed: Whether it is played up to 10 % slower or faster, for what has no pitch of its own.

    Returns:
        (N,) float32, of even loudness.
    """
    draw = random.Random(f"{clip_id} varied")
    size = len(samples)
    if speed:
        samples = _pitch(samples, draw.uniform(0.9, 1.1))[:size]
        samples = np.pad(samples, (0, size - len(samples)))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / RATE), 60) / 1000)
    tilt = 10 ** (draw.uniform(-TILT, TILT) * octaves / 20)
    coloured = np.fft.irfft(np.fft.rfft(samples) * tilt, size).astype(np.float32)
    return in_room(even(coloured), clip_id)


def in_room(samples: Samples, clip_id: str) -> Samples:
    """Play a share of the clips, chosen by id, in a room: a synthesised reverberation.

    The room's response is noise that decays by 60 dB in 0.2 to 1.4 s, duller the later, after a
    delay of up to 25 ms.

    Args:
        samples: (N,).
        clip_id: Seed of the choice, the room and the distance.

    Returns:
        (N,) float32, of even loudness.
    """
    draw = random.Random(f"{clip_id} room")
    if draw.random() >= ROOMS:
        return samples
    decay, wet = draw.uniform(0.2, 1.4), draw.uniform(0.15, 0.6)
    time = np.arange(int(decay * RATE)) / RATE
    noise = np.random.default_rng(draw.getrandbits(32)).standard_normal((2, len(time)))
    dull = np.convolve(noise[1], np.hanning(16) / 4, mode="same")
    share = np.minimum(1.0, 2 * time / decay)
    response = ((1 - share) * noise[0] + share * dull) * 10 ** (-3 * time / decay)
    response = np.pad(response, (int(draw.uniform(0, 0.025) * RATE), 0))
    response /= np.sqrt(np.square(response).sum())
    size = 1 << (len(samples) + len(response)).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    echo = np.fft.irfft(spectrum)[: len(samples)]
    return even(((1 - wet) * samples + wet * echo).astype(np.float32))


def read_recording(path: Path) -> Samples:
    """Read a recording as (N,) float32 at 16 kHz: no offset, peak 0.95, silent ends trimmed."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    mono = level(soxr.resample(mono - mono.sum() / max(1, len(mono)), rate, RATE))
    loud = np.flatnonzero(np.abs(mono) > 0.01)
    return mono[loud[0] : loud[-1] + 1] if len(loud) else mono[:0]
