"""Metrics hear sounds at the level they were made at, whatever their files can hold."""

import pytest
import torch

from clipsonic_cli.audio import files, level
from clipsonic_cli.config import MelSpec, Recipe
from clipsonic_cli.evaluation.audio_files import embed_files, read_as_made
from clipsonic_cli.evaluation.generation import make_all, plan, plan_reconstruction
from clipsonic_cli.evaluation.test_set import TestItem
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.sound import Sound
from clipsonic_cli.types import silent

RATE = 16_000


@pytest.fixture
def loud():
    """Returns a sound of 0.5 s whose peak is 2.4, as Griffin-Lim made some of mini's."""
    noise = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    return Sound(
        samples=2.4 * noise / noise.abs().max(), sample_rate=RATE, recipe=Recipe(text="rain")
    )


class Loudness:
    """A backbone that hears nothing but the level."""

    name, dim, identity = "loudness", 1, ""

    def embed(self, samples, sample_rate):
        return samples.square().mean().sqrt().reshape(1, 1)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_sound_that_was_guarded_is_scored_as_it_was_made(loud, tmp_path, suffix):
    path = loud.write(tmp_path / f"a{suffix}")
    assert files.read(path, RATE).abs().max() <= level.CEILING + 2**-15
    features = embed_files({"a": path}, Loudness())
    made = Loudness().embed(loud.samples, RATE)
    torch.testing.assert_close(features.rows, made, rtol=0.05, atol=0)  # an Ogg loses some noise
    assert loud.gain == pytest.approx(level.CEILING / 2.4)


def test_a_gain_that_cannot_be_is_a_reason_to_leave_a_sound_out(loud, tmp_path):
    good = loud.write(tmp_path / "good.wav")
    bad = tmp_path / "bad.wav"
    files.write(bad, loud.samples / 3, RATE, metadata={"comment": '{"clipsonic_gain": 0}'})
    features = embed_files({"good": good, "bad": bad}, Loudness())
    assert "its gain is 0" in features.left_out["bad"]
    assert list(features.names) == ["good"]


def test_a_loud_reconstruction_has_the_level_of_its_clip(micro, tmp_path):
    sonic = ClipSonic.load(micro, device="cpu")
    noise = torch.randn(32_000, generator=torch.Generator().manual_seed(0))
    samples = (0.5 * noise).clamp(-0.88, 0.88)  # its peaks grow by other phases
    level.write(tmp_path / "true.wav", samples, RATE, {"of": "a clip"})
    item = TestItem(name="q", seed=0, label="tone", sound=tmp_path / "true.wav")
    planned = plan_reconstruction(
        sonic, [item], MelSpec(), tmp_path / "out", seconds=2, vocoder="griffin-lim"
    )
    make_all([planned], silent)
    path = planned.system.sounds["q"]
    assert level.read_gain(path) < 1
    again = torch.from_numpy(read_as_made(path).samples)
    found, true = (x.square().mean().sqrt().item() for x in (again, samples))
    assert found == pytest.approx(true, rel=0.2)


def test_sounds_made_before_files_said_their_level_are_made_again(micro, tmp_path):
    sonic = ClipSonic.load(micro, device="cpu")
    recipe = Recipe(mode="zs", steps=1, seconds=0.2)
    item = TestItem(name="q", seed=0, label="x")
    planned = plan(sonic, [item], recipe, tmp_path)
    make_all([planned], silent)
    [path] = planned.system.sounds.values()
    comment = files.read_metadata(path).replace("clipsonic_gain", "other")
    files.write(path, torch.zeros(3200), RATE, metadata={"comment": comment}, overwrite=True)
    make_all([plan(sonic, [item], recipe, tmp_path)], silent)
    assert level.read_gain(path) <= 1
    assert files.read(path, RATE).abs().max() > 0
