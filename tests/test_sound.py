import base64
import dataclasses
import io
import json
import re

import numpy as np
import pytest
import soundfile
import torch

from clipsonic_cli.audio import files, level
from clipsonic_cli.audio.mel_image import draw_mel
from clipsonic_cli.config import Finish, MelSpec, Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.audio_files import read_as_made
from clipsonic_cli.sound import PLAYER_SAMPLES, Sound, read_making, read_recipe
from clipsonic_cli.types import Waveform

RATE = 16_000
RECIPE = Recipe(text='rain & "dogs" <b>')


def made(seconds=1.0, peak=0.3):
    noise = torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(0))
    return Sound(samples=peak * noise / noise.abs().max(), sample_rate=RATE, recipe=RECIPE)


def test_a_sound_becomes_an_array_of_its_own():
    sound = made()
    array = sound.numpy()
    assert (array.dtype, array.shape) == (np.float32, (RATE,))
    assert array.tolist() == sound.samples.tolist()
    array[0] = 9
    assert sound.samples[0] != 9


def test_a_notebook_gets_a_player_with_the_text_escaped():
    page = made(peak=0.5)._repr_html_()
    assert "<figcaption>rain &amp; &quot;dogs&quot; &lt;b&gt; (1.00 s)</figcaption>" in page
    data = re.search(r'<audio controls src="data:audio/wav;base64,([\w+/=]+)">', page)[1]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert rate == RATE
    np.testing.assert_allclose(samples, made(peak=0.5).numpy(), atol=2**-15)


def test_a_player_of_a_long_sound_holds_its_beginning_only():
    sound = made(seconds=PLAYER_SAMPLES / RATE + 1)
    page = sound._repr_html_()
    assert "(first 131 s of 132.07 s)" in page
    assert len(page) < 6e6


def test_a_spectrogram_is_the_mel_of_the_sound_at_any_rate():
    plain = made().spectrogram()
    assert plain.tobytes() == draw_mel(made(), MelSpec(), title=RECIPE.text).tobytes()
    other = np.asarray(made().finish(rate=48_000).spectrogram(), dtype=int)
    assert abs(other - np.asarray(plain, dtype=int)).mean() < 4


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("normalize", [None, "peak", -23, -40.5])
def test_a_file_says_how_it_was_finished_and_eval_undoes_the_level(tmp_path, suffix, normalize):
    sound = made(peak=0.1)
    done = sound.finish(rate=44_100, normalize=normalize)
    path = done.write(tmp_path / f"a.{suffix}")
    assert soundfile.info(path).samplerate == 44_100
    assert read_making(path) == (RECIPE, Finish(rate=44_100, normalize=normalize))
    assert read_recipe(path) == RECIPE
    assert level.read_gain(path) == pytest.approx(done.gain, rel=0.02)
    if normalize is not None:
        assert not 0.9 < done.gain < 1.1
    scored, before = read_as_made(path, RATE).samples, sound.numpy()
    assert np.square(scored).mean() == pytest.approx(np.square(before).mean(), rel=0.2)


def test_finishing_in_steps_adds_up():
    sound = made(peak=0.1)
    steps = sound.finish(normalize="peak").finish(rate=48_000).finish(normalize=-30)
    assert steps.finishing == Finish(rate=48_000, normalize=-30)
    at_once = sound.finish(rate=48_000, normalize=-30)
    torch.testing.assert_close(steps.samples, at_once.samples, atol=1e-6, rtol=1e-4)
    assert steps.gain == pytest.approx(at_once.gain, rel=1e-4)


def test_what_is_not_finished_is_the_same_sound():
    sound = made()
    assert sound.finish().samples is sound.samples
    assert (sound.finish().gain, sound.finish().finishing) == (1.0, Finish())


def test_a_sound_is_trimmed_by_what_is_silent():
    sound = made()
    sound.samples[: RATE // 2] = 0
    assert sound.finish(trim=True).seconds == pytest.approx(0.502, abs=0.0005)
    assert sound.finish(trim=True).recipe.seconds == RECIPE.seconds


@pytest.mark.parametrize(
    "finish", [{}, {"trim": 1}, {"trim": False, "rate": 5, "normalize": None}, 7]
)
def test_a_finish_that_cannot_be_is_rejected_with_its_file(tmp_path, finish):
    comment = {"recipe": dataclasses.asdict(RECIPE), "finish": finish, level.GAIN: 1.0}
    path = tmp_path / "a.wav"
    files.write(path, made().samples, RATE, metadata={"comment": json.dumps(comment)})
    with pytest.raises(UsageError, match=r"carries no recipe of clipsonic .*cannot be used"):
        read_recipe(path)


def test_a_waveform_without_a_recipe_has_no_player():
    assert not hasattr(Waveform(samples=torch.zeros(1), sample_rate=RATE), "_repr_html_")
