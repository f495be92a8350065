import random

import numpy as np
import pytest
import render
import soundfile
from hypothesis import given
from hypothesis import strategies as st

VIOLIN = {"label": "violin", "kind": "mono", "programs": "0:40 8:40", "low": "55", "high": "88"}
PIANO = {"label": "piano", "kind": "poly", "programs": "0:0", "low": "48", "high": "84"}
WHISTLE = {"label": "train", "kind": "effect", "programs": "5:125", "low": "60", "high": "62"}
KIT = {"label": "drum kit", "kind": "perc", "programs": "", "low": "36 38 42 46 49 51", "high": ""}


@given(st.sampled_from([VIOLIN, PIANO, WHISTLE, KIT]), st.text(min_size=1, max_size=9))
def test_a_clip_follows_from_its_id_and_fits_into_its_time(label, clip_id):
    notes, program = render.compose(label, clip_id)
    assert render.compose(label, clip_id) == (notes, program)
    assert notes
    for start, length, key, velocity in notes:
        assert 0 <= start < render.SECONDS
        assert length > 0
        assert 0 <= key <= 127
        assert 1 <= velocity <= 127


@given(st.integers(0, 10_000))
def test_an_instrument_keeps_to_its_keys_and_programs(seed):
    notes, program = render.compose(VIOLIN, str(seed))
    assert program in ((0, 40), (8, 40))
    assert all(55 <= key <= 88 for _, _, key, _ in notes)
    starts = [start for start, *_ in notes]
    assert len(set(starts)) == len(starts)  # it plays one note at a time


def test_other_ids_are_other_phrases():
    phrases = {str(render.compose(PIANO, str(i))) for i in range(20)}
    assert len(phrases) == 20


def test_a_drum_kit_plays_on_the_percussion_channel_from_the_first_stroke():
    notes, program = render.compose(KIT, "a")
    assert program is None
    assert {key for _, _, key, _ in notes} <= {36, 38, 42, 46, 49, 51}
    assert notes[0][0] == 0


def test_a_midi_file_has_events_in_order_with_times_in_base_128():
    events = [(200, 3, b"\x90\x3c\x40"), (0, 0, b"\xb0\x00\x00"), (200, 2, b"\x80\x3c\x00")]
    made = render._midi_file(events, last=200 + 128 * 128)
    header = b"MThd\0\0\0\x06\0\0\0\x01\x01\xe0MTrk"
    track = b"\x00\xb0\x00\x00\x81\x48\x80\x3c\x00\x00\x90\x3c\x40"
    track += b"\x81\x80\x00\xff\x2f\x00"
    assert made == header + len(track).to_bytes(4, "big") + track


@pytest.mark.parametrize("samples", [3000, render.SAMPLES // 2, 3 * render.SAMPLES])
def test_recordings_of_any_length_fill_a_clip_and_repeat_by_id(samples):
    take = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    first, again, other = (render.arrange([take], name) for name in ("a", "a", "b"))
    assert (first.shape, first.dtype) == ((render.SAMPLES,), np.float32)
    assert np.abs(first).max() == pytest.approx(0.95)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_silence_stays_silence():
    assert not render.level(np.zeros(10, np.float32)).any()


def test_a_recording_is_resampled_mixed_and_trimmed(tmp_path):
    time = np.arange(44_100) / 44_100
    tone = 0.1 * np.sin(2 * np.pi * 440 * time)
    silent = np.zeros(22_050)
    stereo = np.stack([np.concatenate([silent, tone, silent])] * 2, axis=1)
    soundfile.write(tmp_path / "x.wav", stereo, 44_100)
    read = render.read_recording(tmp_path / "x.wav")
    assert len(read) == pytest.approx(render.RATE, abs=200)
    assert np.abs(read).max() == pytest.approx(0.95)
    spectrum = np.abs(np.fft.rfft(read))
    assert spectrum.argmax() * render.RATE / len(read) == pytest.approx(440, abs=2)


def test_a_phrase_moves_within_a_narrow_range():
    notes = render.melody(random.Random(0), 60, 61, chords=True)
    assert {key for _, _, key, _ in notes} <= {60, 61}
