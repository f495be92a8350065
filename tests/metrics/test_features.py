import errno
import io
import itertools
import math
import os
import tempfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from noisy_sets import RATE, Bands, embedded, generator, sweep, tone

from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.metrics.features import (
    Features,
    Windows,
    embed_prompts,
    embed_sounds,
    from_vectors,
    per_sound_mean,
)
from clipsonic_cli.types import Waveform


def sound(samples, rate=RATE):
    return Waveform(samples=torch.as_tensor(samples, dtype=torch.float32), sample_rate=rate)


def test_rows_are_those_the_backbone_gave_in_the_order_of_the_sounds():
    features = embed_sounds([("b", tone(300, 1.1)), ("a", tone(900, 0.5))], Bands())
    assert (features.names, features.counts) == (("b", "a"), (4, 2))
    expected = [Bands().embed(tone(hz, 1).samples, RATE) for hz in (300, 900)]
    for rows, wanted in zip(features.sounds(), expected, strict=True):
        assert torch.equal(rows, wanted[: len(rows)])
    assert (features.sample_rate, features.notes) == (
        RATE,
        ("The sounds last from 0.50 to 1.10 s.",),
    )
    assert features.seconds == pytest.approx(0.8)


def test_sounds_that_cannot_be_embedded_are_left_out_and_named():
    bad = {
        "nan.wav": [0.0, math.nan],
        "inf.wav": [math.inf],
        "none.wav": [],
        "short.wav": torch.zeros(100),
    }
    sounds = [("good.wav", tone(300)), *((name, sound(samples)) for name, samples in bad.items())]
    features = embed_sounds(sounds, Bands())
    assert features.names == ("good.wav",)
    assert features.notes == (
        "2 sounds (nan.wav, inf.wav) left out: samples that are not finite.",
        "1 sound (none.wav) left out: no samples.",
        "1 sound (short.wav) left out: too short for 'bands'.",
    )


def test_a_sound_that_breaks_the_backbone_is_left_out():
    features = embed_sounds(
        [("good", tone(300)), ("loud", sound(torch.full((RATE,), 1e38)))], Scale()
    )
    assert features.names == ("good",)
    assert "1 sound (loud) left out: too large for the precision of 'scale'." in features.notes


class Scale(Bands):
    name = "scale"

    def embed(self, samples, sample_rate):
        return samples[None, :8] * 1e3


def test_silence_is_embedded_and_noted():
    features = embed_sounds([("a", sound(torch.zeros(RATE))), ("b", tone(300))], Bands())
    assert features.names == ("a", "b")
    assert features.notes == ("1 sound (a) is silent, and scored all the same.",)
    assert features.notes[0].brief == "silent sounds (1) are scored all the same"


def test_sounds_beyond_full_scale_are_kept_and_named_with_their_peak():
    at_integers = Waveform(samples=tone(300).samples * 32767, sample_rate=RATE)
    full = Waveform(samples=tone(300).samples * 2, sample_rate=RATE)
    features = embed_sounds([("ok", full), ("loud", at_integers)], Bands())
    assert features.names == ("ok", "loud")
    assert features.notes == ("1 sound (loud) beyond full scale, with peaks of up to 1.638e+04.",)


def test_mixed_sample_rates_are_noted():
    features = embed_sounds([("a", tone(300, rate=8000)), ("b", tone(300))], Bands())
    assert features.sample_rate is None
    assert features.notes == (
        "The sounds have different sample rates: 1 at 8000 Hz, 1 at 16000 Hz.",
    )


def test_many_names_are_cut_to_a_line():
    features = embed_sounds([("ok", tone(300)), *((f"{i}", sound([])) for i in range(50))], Bands())
    assert features.notes == ("50 sounds (0, 1, 2, ...) left out: no samples.",)


@pytest.mark.parametrize(
    ("sounds", "why"),
    [([], "There are none."), ([("a.wav", sound([]))], "1 sound (a.wav) left out: no samples.")],
)
def test_a_set_of_nothing_is_rejected_in_one_line(sounds, why):
    with pytest.raises(UsageError) as caught:
        embed_sounds(sounds, Bands())
    assert str(caught.value) == f"No sound can be scored. {why} Give one sound or more."


def test_progress_is_reported_for_every_sound():
    reports = []
    embedded(3, report=lambda *args: reports.append(args), total=3)
    assert reports == [("bands", 1, 3), ("bands", 2, 3), ("bands", 3, 3)]


def test_the_rows_are_on_the_disk_and_can_be_computed_with():
    features = embedded(4)
    assert features.rows.untyped_storage().nbytes() == 16 * 8 * 4
    assert torch.equal(
        features.means(), torch.stack([r.double().mean(0) for r in features.sounds()])
    )
    torch.testing.assert_close(features.gaussian().cov, torch.cov(features.rows.double().T))


@given(st.floats(0.5, 12))
def test_windows_cover_a_sound_but_for_less_than_a_hop(seconds):
    rate = 100
    cut = Windows(seconds=4, hop=0.5).cut(sound(torch.arange(round(seconds * rate)), rate))
    assert cut[0].samples[0] == 0
    if seconds <= 4:
        assert [len(window.samples) for window in cut] == [round(seconds * rate)]
        return
    assert {len(window.samples) for window in cut} == {400}
    assert {float(b.samples[0] - a.samples[0]) for a, b in itertools.pairwise(cut)} <= {50.0}
    assert 0 <= round(seconds * rate) - 1 - cut[-1].samples[-1] < 50


def test_ten_seconds_have_thirteen_windows_of_four():
    assert len(Windows(seconds=4, hop=0.5).cut(sound(torch.zeros(160_000)))) == 13


def test_windows_are_embedded_one_by_one():
    whole = sound(torch.cat([sweep(0), sweep(1)]))
    features = embed_sounds([("a", whole)], Bands(), windows=Windows(seconds=1, hop=1))
    expected = torch.cat([Bands().embed(sweep(index), RATE) for index in (0, 1)])
    assert torch.equal(features.rows, expected)
    assert (features.counts, features.windows) == ((8,), ((4, 4),))
    assert embedded(1).windows is None


def test_a_window_that_gives_no_row_is_none():
    class Choosy(Bands):
        def embed(self, samples, sample_rate):
            return super().embed(samples, sample_rate) if samples.any() else torch.empty(0, 8)

    half = sound(torch.cat([sweep(0), torch.zeros(RATE)]))
    features = embed_sounds([("a", half)], Choosy(), windows=Windows(seconds=1, hop=1))
    assert features.windows == ((4,),)


def test_windows_are_chosen_with_their_sounds():
    sounds = [("a", sweep(0)), ("b", torch.cat([sweep(1), sweep(2)]))]
    features = embed_sounds(
        [(name, sound(samples)) for name, samples in sounds],
        Bands(),
        windows=Windows(seconds=1, hop=1),
    )
    assert features.only(["b", "a"]).windows == ((4, 4), (4,))


def test_statistics_tell_how_alike_the_windows_of_a_sound_are():
    """Of two sounds of two rows at 0, 2 and at 4, 6: means 4 apart, rows' variance 20 / 3."""
    rows = torch.tensor([[0.0], [2], [4], [6]])
    made = Features(
        backbone="b", names=("x", "y"), counts=(2, 2), rows=rows, sample_rate=8000, seconds=1.0
    )
    seen = made.statistics()
    effect = 2 * 8 / (20 / 3)  # windows, times the variance of the means against the rows'
    assert seen.n / seen.effective_sample_size(1) == pytest.approx(min(effect, 2))
    assert (seen.sounds, seen.cluster_size, seen.icc) == (2, 2, 1)
    assert (seen.sample_rate, seen.seconds) == (8000, 1.0)


@pytest.mark.parametrize(("counts", "cluster_size"), [([3] * 200, 3), ([1, 7] * 100, 6.25)])
@pytest.mark.parametrize("icc", [0.0, 0.6])
def test_the_correlation_within_sounds_is_found_whatever_their_lengths(counts, cluster_size, icc):
    draw, owner = generator(), torch.arange(200).repeat_interleave(torch.tensor(counts))
    rows = torch.randn(200, 9, generator=draw)[owner] * icc**0.5
    rows += torch.randn(len(owner), 9, generator=draw) * (1 - icc) ** 0.5
    names = tuple(f"{i}" for i in range(200))
    seen = Features(backbone="b", names=names, counts=tuple(counts), rows=rows).statistics()
    assert seen.cluster_size == cluster_size
    assert seen.icc == pytest.approx(icc, abs=0.05)
    assert seen.effective_sample_size(2) == pytest.approx(
        seen.n / (1 + (cluster_size - 1) * seen.icc**2)
    )


def test_a_choice_of_sounds_keeps_each_with_its_rows():
    features = Features(backbone="b", names=("x", "y", "z"), counts=(1, 2, 1), rows=torch.eye(4))
    chosen = features.only(["z", "y"])
    assert (chosen.names, chosen.counts) == (("z", "y"), (1, 2))
    assert torch.equal(chosen.rows, torch.eye(4)[[3, 1, 2]])
    assert features.only(features.names) is features
    with pytest.raises(KeyError):
        features.only(["w"])


def test_the_mean_of_each_sound_is_of_its_own_rows():
    values = torch.tensor([1.0, 3, 5, 7])
    assert per_sound_mean(values, [3, 1]).tolist() == [3, 7]


def test_equal_prompts_are_read_once_and_given_to_each():
    read = []

    class Reading(Bands):
        def embed_text(self, texts):
            read.extend(texts)
            return super().embed_text(texts)

    features = embed_prompts({"a": "300 Hz", "b": "900 Hz", "c": "300 Hz"}, Reading())
    assert read == ["300 Hz", "900 Hz"]
    assert torch.equal(features.rows[0], features.rows[2])
    assert (features.names, features.backbone) == (("a", "b", "c"), "bands")
    with pytest.raises(UsageError, match="There are no prompts"):
        embed_prompts({}, Bands())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"names": ("a", "a")}, "a name is given twice"),
        ({"counts": (1, 2)}, "got 2 rows, 2 names and 2 counts that make 3"),
        ({"counts": (0, 2)}, "one row or more a sound"),
        ({"counts": (2,)}, "1 counts"),
        ({"windows": ((1,), (1, 1))}, "windows of the sounds do not make up their rows"),
        ({"rows": torch.zeros(2)}, r"need float32 rows \(R, D\)"),
        ({"rows": torch.zeros(2, 3, dtype=torch.float64)}, "got torch.float64"),
        ({"rows": torch.tensor([[1.0], [math.nan]])}, "the rows are not finite"),
        ({"names": (), "counts": (), "rows": torch.zeros(0, 3)}, "of one sound or more"),
    ],
)
def test_invalid_sets_are_rejected(change, fault):
    good = {"backbone": "b", "names": ("a", "b"), "counts": (1, 1), "rows": torch.zeros(2, 3)}
    with pytest.raises(ValueError, match=fault):
        Features(**(good | change))


def test_a_set_of_vectors_has_one_each():
    features = from_vectors(["a", "b"], torch.eye(2, dtype=torch.float64), backbone="clip")
    assert (features.counts, features.dim, features.rows.dtype) == ((1, 1), 2, torch.float32)


def test_vectors_stay_in_memory_where_no_folder_takes_temporary_files(monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    sounds = [("a.wav", tone(440.0)), ("b.wav", tone(880.0))]
    there = embed_sounds(sounds, Bands())
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.warns(UserWarning, match=r"No usable temporary.*Set TMPDIR"):
        assert embed_sounds(sounds, Bands()).rows.equal(there.rows)


def test_a_full_disk_of_temporary_files_is_named(monkeypatch):
    class Full(io.BytesIO):
        def write(self, _content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(ClipsonicError, match=r"temporary files, .* is full.*Set TMPDIR"):
        embed_sounds([("a.wav", tone(440.0))], Bands())
