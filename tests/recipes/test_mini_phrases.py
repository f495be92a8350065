import random

import numpy as np
import phrases
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

VIOLIN = {"label": "violin", "kind": "mono", "programs": "0:40 8:40", "low": "55", "high": "88"}
PIANO = {"label": "piano", "kind": "poly", "programs": "0:0", "low": "48", "high": "84"}
WHISTLE = {"label": "train", "kind": "effect", "programs": "5:125", "low": "60", "high": "62"}
KIT = {"label": "drum kit", "kind": "perc", "programs": "", "low": "36 38 42 46 49 51", "high": ""}


@settings(max_examples=40)
@given(st.sampled_from([VIOLIN, PIANO, WHISTLE, KIT]), st.text(min_size=1, max_size=9))
def test_a_clip_follows_from_its_id_and_fits_into_its_time(label, clip_id):
    notes, program = phrases.compose(label, clip_id)
    assert phrases.compose(label, clip_id) == (notes, program)
    assert notes
    for start, length, key, velocity in notes:
        assert 0 <= start < phrases.SECONDS
        assert 0 < length <= phrases.SECONDS * max(phrases.HOLDS)
        assert 0 <= key <= 127
        assert 1 <= velocity <= 127


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_an_instrument_keeps_to_its_keys_and_programs(seed):
    notes, program = phrases.compose(VIOLIN, str(seed))
    assert program in ((0, 40), (8, 40))
    assert all(55 <= key <= 88 for _, _, key, _ in notes)
    starts = [start for start, *_ in notes]
    assert len(set(starts)) == len(starts)  # it plays one note at a time


def test_other_ids_are_other_phrases():
    assert len({str(phrases.compose(PIANO, str(i))) for i in range(20)}) == 20


def test_a_drum_kit_plays_on_the_percussion_channel_from_the_first_stroke():
    notes, program = phrases.compose(KIT, "a")
    assert program is None
    assert {key for _, _, key, _ in notes} <= {36, 38, 42, 46, 49, 51}
    assert notes[0][0] == 0


def test_a_phrase_moves_within_a_narrow_range():
    notes = phrases.melody(random.Random(0), 60, 61, chords=True)
    assert {key for _, _, key, _ in notes} <= {60, 61}


def onsets(label, clip_id):
    """Notes that begin in each 50 ms of a clip."""
    notes, _ = phrases.compose(label, clip_id)
    times = [start for start, *_ in notes]
    return np.histogram(times, bins=82, range=(0, phrases.SECONDS))[0].astype(float)


def test_instruments_of_one_number_have_rhythms_of_their_own():
    pairs = [
        np.corrcoef(onsets(VIOLIN, f"violin/train/{i}"), onsets(PIANO, f"piano/train/{i}"))[0, 1]
        for i in range(40)
    ]
    other = [
        np.corrcoef(onsets(VIOLIN, f"violin/train/{i}"), onsets(PIANO, f"piano/train/{i + 1}"))[
            0, 1
        ]
        for i in range(40)
    ]
    assert np.nanmean(pairs) == pytest.approx(np.nanmean(other), abs=0.15)


def test_clips_vary_in_tempo_articulation_dynamics_and_register():
    notes = [phrases.compose(VIOLIN, str(i))[0] for i in range(100)]
    assert 0.1 < sum(len(clip) <= 3 for clip in notes) / 100 < 0.5  # one-shots and long notes
    quick = [clip for clip in notes if len(clip) > 3]
    gaps = [np.diff([start for start, *_ in clip]) for clip in quick]
    holds = [clip[0][1] / gap[0] for clip, gap in zip(quick, gaps, strict=True)]
    assert min(holds) < 0.4
    assert max(holds) > 1.0
    assert np.ptp([gap.mean() for gap in gaps]) > 0.5
    assert np.ptp([np.mean([velocity for *_, velocity in clip]) for clip in notes]) > 40
    assert np.ptp([np.mean([key for _, _, key, _ in clip]) for clip in notes]) > 15
