"""Sounds of a model for an evaluation, by the networks of the micro model."""

import dataclasses
import re
import shutil

import pytest
import soundfile
import torch

from clipsonic_cli.config import Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation import generation
from clipsonic_cli.evaluation.generation import (
    make_all,
    plan,
    plan_reconstruction,
    playable_modes,
    seconds_each,
    spec_of,
)
from clipsonic_cli.evaluation.test_set import TestItem
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.sound import read_recipe
from clipsonic_cli.types import silent

RECIPE = Recipe(sampler="dpmpp", steps=2, seconds=0.3)
INTERVAL = dataclasses.replace(RECIPE, guidance_rule="interval")


@pytest.fixture(scope="module")
def sonic(micro):
    return ClipSonic.load(micro, device="cpu")


@pytest.fixture
def items(violin_picture, tmp_path):
    soundfile.write(tmp_path / "true.wav", torch.rand(8000).numpy() - 0.5, 16_000)
    return [
        TestItem(
            name=f"q{number}",
            seed=number,
            label=label,
            sound=tmp_path / "true.wav",
            image=violin_picture,
        )
        for number, label in enumerate(["violin", "dog_barking", None])
    ]


def generate(sonic, items, template, folder, report=silent):
    """Make the sounds of a system that are not there yet, and return it."""
    planned = plan(sonic, items, template, folder)
    make_all([planned], report)
    return planned.system


def of(mode, recipe=RECIPE):
    return dataclasses.replace(recipe, mode=mode)


def times(system):
    return {name: path.stat().st_mtime_ns for name, path in system.sounds.items()}


def test_a_mode_answers_what_it_can_be_asked(sonic, items, tmp_path):
    words = generate(sonic, items, of("zs"), tmp_path)
    assert words.prompts == {"q0": "a photo of violin", "q1": "a photo of dog barking"}
    assert list(words.sounds) == ["q0", "q1"]
    pictures = generate(sonic, items, of("iq"), tmp_path)
    assert list(pictures.sounds) == ["q0", "q1", "q2"]
    assert list(pictures.prompts) == ["q0", "q1"]
    recipe = read_recipe(words.sounds["q1"])
    assert (recipe.seed, recipe.guidance, recipe.mode) == (1, 1.5, "zs")
    assert soundfile.info(words.sounds["q1"]).frames == 4800
    assert not words.of_reference


def test_a_sound_that_is_there_is_used_again(sonic, items, tmp_path):
    first = generate(sonic, items, of("zs"), tmp_path)
    before = times(first)
    first.sounds["q0"].unlink()
    after = times(generate(sonic, items, of("zs"), tmp_path))
    assert after["q1"] == before["q1"]
    assert after.keys() == before.keys()


def test_what_was_made_before_an_interruption_is_kept(sonic, items, tmp_path):
    def stop(stage, done, _total):
        if (stage, done) == ("sounds", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(sonic, items, of("zs"), tmp_path, report=stop)
    [first] = tmp_path.rglob("q*.wav")
    before = first.stat().st_mtime_ns
    system = generate(sonic, items, of("zs"), tmp_path)
    assert first.stat().st_mtime_ns == before
    assert all(path.is_file() for path in system.sounds.values())


@pytest.mark.parametrize("change", [{"steps": 3}, {"seconds": 0.2}, {"vocoder": "griffin-lim"}])
def test_sounds_of_another_recipe_have_a_folder_of_their_own(sonic, items, tmp_path, change):
    first = generate(sonic, items, of("zs"), tmp_path)
    before = times(first)
    recipe = dataclasses.replace(RECIPE, **change)
    others = [
        generate(sonic, items, of("zs", recipe), tmp_path),
        generate(sonic, items[:1], of("zs"), tmp_path),
        generate(
            sonic, [dataclasses.replace(i, seed=i.seed + 9) for i in items], of("zs"), tmp_path
        ),
    ]
    for system in (first, *others):
        paths = set(system.sounds.values())
        assert {path for one in paths for path in one.parent.iterdir()} == paths
    assert len({path.parent for s in (first, *others) for path in s.sounds.values()}) == 4
    assert times(first) == before


def test_sounds_of_fewer_queries_are_copied(sonic, items, tmp_path):
    fewer = generate(sonic, items[:1], of("zs"), tmp_path)
    assert plan(sonic, items, of("zs"), tmp_path).absent == 1
    more = generate(sonic, items, of("zs"), tmp_path)
    assert more.sounds["q0"].read_bytes() == fewer.sounds["q0"].read_bytes()
    assert more.sounds["q0"] != fewer.sounds["q0"]
    assert len(list(more.sounds["q0"].parent.iterdir())) == 2


def test_what_there_is_to_make_is_counted_before(sonic, items, tmp_path):
    planned = plan(sonic, items, of("zs"), tmp_path, about="test-")
    assert planned.absent == 2
    assert not list(tmp_path.rglob("*zs*"))
    counts = []
    make_all([planned], lambda *progress: counts.append(progress))
    assert [c for c in counts if c[0] == "sounds"] == [("sounds", n, 2) for n in range(3)]
    (place,) = {path.parent for path in planned.system.sounds.values()}
    assert re.fullmatch(r"micro-zs-w1\.5-test-n2-dpmpp-2-0\.3s-[0-9a-f]{8}", place.name)
    assert plan(sonic, items, of("zs"), tmp_path, about="test-").absent == 0
    limited = plan(sonic, items, of("zs", INTERVAL), tmp_path)
    (place,) = {path.parent for path in limited.system.sounds.values()}
    assert place.name.startswith("micro-zs-w1.5-interval-n2-")
    assert limited.absent == 2


def test_the_time_of_a_sound_is_that_of_its_steps_and_of_the_rest(sonic, monkeypatch):
    clock = [0.0]

    def render(recipe, embed, seeds):
        clock[0] += (1 + 0.5 * recipe.steps) * len(seeds)

    monkeypatch.setattr(sonic, "render", render)
    monkeypatch.setattr(generation.time, "perf_counter", lambda: clock[0])
    recipe = of("zs", dataclasses.replace(RECIPE, steps=100))
    assert seconds_each(sonic, recipe) == pytest.approx(51)


def test_an_image_counts_by_content_wherever_it_lies(sonic, items, tmp_path):
    before = times(generate(sonic, items, of("iq"), tmp_path))
    moved = tmp_path / "moved.jpg"
    shutil.copy(items[0].image, moved)
    there = [dataclasses.replace(item, image=moved) for item in items]
    assert times(generate(sonic, there, of("iq"), tmp_path)) == before


def test_a_damaged_file_is_made_again(sonic, items, tmp_path):
    path = generate(sonic, items, of("zs"), tmp_path).sounds["q0"]
    good = path.read_bytes()
    path.write_bytes(good[:100])
    generate(sonic, items, of("zs"), tmp_path)
    assert soundfile.info(path).frames == 4800


def test_reconstructions_are_as_long_as_the_truth_and_used_again(sonic, items, tmp_path):
    spec = spec_of(sonic, ["iq"])

    def reconstruct(**more):
        planned = plan_reconstruction(sonic, items, spec, tmp_path, seconds=0.5, **more)
        make_all([planned], silent)
        return planned.system

    first = reconstruct()
    before = times(first)
    assert first.of_reference
    assert {soundfile.info(path).frames for path in first.sounds.values()} == {8000}
    assert times(reconstruct()) == before
    other = reconstruct(vocoder="griffin-lim")
    assert not {*other.sounds.values()} & {*first.sounds.values()}
    assert times(first) == before


def test_modes_the_model_lacks_parts_for_are_reported(sonic):
    modes, skipped = playable_modes(sonic, ["iq", "sd", "ms", "pd", "rt"], RECIPE)
    assert modes == ["iq", "pd"]
    assert "mode sd is left out" in skipped[0]
    assert "prior-sd.safetensors" in skipped[0]
    assert skipped[1].startswith("modes ms, rt are left out: Model ")


def test_steps_beyond_the_schedule_are_rejected(sonic):
    with pytest.raises((UsageError, ValueError), match="4000"):
        playable_modes(sonic, ["iq"], dataclasses.replace(RECIPE, steps=4001))


def test_the_sounds_of_a_student_are_in_a_folder_that_says_so(micro_student, items, tmp_path):
    sonic = ClipSonic.load(micro_student, device="cpu")
    recipe = dataclasses.replace(RECIPE, student=True, sampler="ddim", steps=4)
    modes, skipped = playable_modes(sonic, ["zs", "clip-tta"], recipe)
    assert (modes, skipped) == (
        ["zs"],
        ["mode clip-tta is left out: the student stands in for another U-Net"],
    )
    system = generate(sonic, items, of("zs", recipe), tmp_path / "sounds")
    (folder,) = {path.parent.name for path in system.sounds.values()}
    assert "-student-ddim-4-0.3s-" in folder
    assert all(read_recipe(path).student for path in system.sounds.values())
    assert seconds_each(sonic, of("zs", recipe)) > 0
    with pytest.raises(UsageError, match="trained for 4 steps, not 2"):
        playable_modes(sonic, ["zs"], dataclasses.replace(recipe, steps=2))
