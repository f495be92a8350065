"""Sounds of a student: what of a recipe it can do, and what it is called with."""

import dataclasses
import shutil

import pytest
import torch

from clipsonic_cli import ClipSonic
from clipsonic_cli.config import Recipe
from clipsonic_cli.diffusion.timesteps import halving_timesteps
from clipsonic_cli.errors import BadBundle, MissingWeights, UsageError
from clipsonic_cli.sound import read_recipe

STUDENT = Recipe(text="rain", mode="zs", student=True, sampler="ddim", steps=4, seconds=0.3, seed=1)


@pytest.fixture(scope="module")
def sonic(micro_student):
    return ClipSonic.load(micro_student, device="cpu")


def seen_of(sonic, monkeypatch, recipe):
    """Return the times, conditions and w that the student is called with, and the sound."""
    unet, calls = sonic.parts.denoiser("student").unet, []
    forward = unet.forward

    def watched(x_t, time, cond, w):
        calls.append((len(x_t), time.tolist(), w.tolist()))
        return forward(x_t, time, cond, w)

    with monkeypatch.context() as patch:
        patch.setattr(unet, "forward", watched)
        sound = next(sonic.generate([recipe]))
    return calls, sound


def test_a_student_is_called_once_a_step_with_w(sonic, monkeypatch):
    calls, sound = seen_of(sonic, monkeypatch, dataclasses.replace(STUDENT, guidance=2.5))
    assert calls == [(1, [t / 4], [2.5]) for t in halving_timesteps(4000, 4)]
    assert sound.samples.isfinite().all()


def test_w_is_that_of_the_rule_at_each_level(sonic, monkeypatch):
    recipe = dataclasses.replace(STUDENT, guidance=3.0, guidance_rule="interval")
    calls, _ = seen_of(sonic, monkeypatch, recipe)
    assert [w for _, _, (w,) in calls] == [1.0, 3.0, 3.0, 3.0]


def test_w_changes_the_sound_of_a_student_and_its_file_says_who_made_it(sonic, tmp_path):
    quiet, loud = sonic.generate([STUDENT, dataclasses.replace(STUDENT, guidance=4.0)])
    assert not torch.allclose(quiet.samples, loud.samples)
    quiet.write(tmp_path / "x.wav")
    recipe = read_recipe(tmp_path / "x.wav")
    assert (recipe.student, recipe.steps, recipe.sampler) == (True, 4, "ddim")
    names = ["clip", "student", "vocoder"]
    assert recipe.model_id == sonic.parts.identity(names)
    assert torch.equal(next(sonic.generate([recipe])).samples, quiet.samples)


def test_the_steps_of_a_student_need_not_be_known(sonic):
    sound = sonic("rain", mode="zs", student=True, seconds=0.3, seed=1)
    assert torch.equal(sound.samples, next(sonic.generate([STUDENT])).samples)


def test_a_student_needs_no_unet(micro_student, tmp_path):
    shutil.copytree(
        micro_student, tmp_path / "alone", ignore=shutil.ignore_patterns("unet.*", "prior.*")
    )
    alone = ClipSonic.load(tmp_path / "alone", device="cpu")
    assert next(alone.generate([STUDENT])).samples.isfinite().all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"steps": 1}, "trained for 4 steps, not 1"),
        ({"sampler": "dpmpp"}, "takes steps of ddim, not of dpmpp"),
        ({"guidance": 7.0}, "`guidance` is 7; the student of this model reads 0 to 4"),
        ({"guidance": 3.0, "guidance_rule": "rising"}, r"`guidance` is 3 \(rising\); the student"),
        ({"guidance_rule": "apg"}, "the rule 'apg' changes more"),
        ({"negative": "dog"}, "Leave out `negative`"),
        ({"mode": "clip-tta"}, "Modes with a student: iq, zs, ms, ra, rt, db, pd, sd"),
    ],
)
def test_what_a_student_has_not_learned_is_refused(sonic, fields, said):
    with pytest.raises(UsageError, match=said):
        sonic.check(dataclasses.replace(STUDENT, **fields))


def test_a_model_without_a_student_says_how_to_train_one(micro):
    sonic = ClipSonic.load(micro, device="cpu")
    for ask in (lambda: sonic.check(STUDENT), lambda: sonic("rain", mode="zs", student=True)):
        with pytest.raises(MissingWeights, match=r"lacks student.* train --data DIR --stage stu"):
            ask()


def test_a_student_in_the_place_of_a_unet_is_a_bad_bundle(micro_student, tmp_path):
    folder = shutil.copytree(micro_student, tmp_path / "swapped")
    unet, student = folder / "unet.safetensors", folder / "student.safetensors"
    shutil.move(unet, tmp_path / "aside")
    shutil.move(student, unet)
    shutil.move(tmp_path / "aside", student)
    sonic = ClipSonic.load(folder, device="cpu")
    plain = dataclasses.replace(STUDENT, student=False)
    with pytest.raises(BadBundle, match="U-Net is needed, the part holds a student"):
        sonic.check(plain)
    with pytest.raises(BadBundle, match="student is needed, the part holds a unet"):
        sonic.check(STUDENT)
    with pytest.raises(BadBundle, match="holds a unet, not a student"):
        sonic("rain", mode="zs", student=True)
