"""A model as the source of an evaluation, with the clips of a data set."""

import dataclasses
import gc
import shutil
import weakref

import pytest
import torch
from small_videos import write_videos

from clipsonic_cli.config import Recipe
from clipsonic_cli.data.listing import list_clips
from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.evaluation import backbones, scoring
from clipsonic_cli.evaluation.evaluate import EvalCallbacks, evaluate, preview
from clipsonic_cli.evaluation.model_source import Generation
from clipsonic_cli.evaluation.plan import EvalRequest
from clipsonic_cli.evaluation.sources import Folders
from clipsonic_cli.evaluation.systems import Needs
from clipsonic_cli.metrics import BACKBONES
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.store import bundle

RECIPE = Recipe(sampler="dpmpp", steps=2, seconds=0.6)


CPU = torch.device("cpu")


@pytest.fixture
def model(micro, pets):
    return Generation(models=(str(micro),), recipe=RECIPE, data=str(pets), split="train", count=4)


@pytest.fixture
def run(fakes, tmp_path):
    def run(source, *metrics, messages=None, **more):
        request = EvalRequest(
            name="x", out=tmp_path / "out", metrics=metrics, source=source, **more
        )
        callbacks = EvalCallbacks(on_message=[].append if messages is None else messages.append)
        return evaluate(request, device=CPU, callbacks=callbacks)

    return run


def test_every_mode_and_guidance_is_a_row_and_the_reconstruction_the_last(run, model, tmp_path):
    results = run(dataclasses.replace(model, guidance=(1.0, 2.0)), "fad", "clap")
    rows = [(row.system, row.guidance) for row in results.rows]
    assert rows == [
        *((mode, w) for mode in ("iq", "zs", "pd") for w in (1.0, 2.0)),
        ("reconstruction", None),
    ]
    for row in results.rows:
        assert [score.metric for score in row.scores] == ["fad", "clap"]
        assert {(score.n, score.seconds) for score in row.scores} == {(4, 0.6)}
    assert results.settings["reference"] == (
        "the clips' own sounds, train split, 0.6 s around the middle of each"
    )
    sample = results.samples[0]
    assert set(sample.paths) == {f"{m} w={w}" for m in ("iq", "zs", "pd") for w in (1, 2)} | {
        "reconstruction",
        "truth",
    }
    assert all(path.is_file() for path in sample.paths.values())
    assert sample.image.is_file()
    assert sample.prompt.startswith("a photo of ")


def test_reconstructions_show_no_bias_next_to_the_clips_they_are_of(run, model, fakes, tmp_path):
    recipe = dataclasses.replace(
        RECIPE, seconds=0.8
    )  # three windows each, which span the eight bands
    model = dataclasses.replace(model, modes=("zs",), recipe=recipe)
    mode, reconstruction = (row.score("fad") for row in run(model, "fad").rows)
    assert (mode.bias > 0, reconstruction.bias) == (True, None)
    assert any("Made from the same clips" in note for note in reconstruction.notes)
    assert not any("Made from the same clips" in note for note in mode.notes)
    other = fakes.write_sounds(tmp_path / "other", 4)
    scores = [row.score("fad") for row in run(model, "fad", reference=other).rows]
    assert all(score.bias > 0 for score in scores)
    assert not any("Made from the same clips" in note for score in scores for note in score.notes)


def test_people_need_sounds_whatever_the_metrics(run, model):
    model = dataclasses.replace(model, modes=("zs",))
    results = run(model, "similarity", listening=True)
    assert [row.system for row in results.rows] == ["zs"]
    assert results.rows[0].score("similarity")
    assert {*results.samples[0].paths} == {"zs w=1.5", "reconstruction", "truth"}


def test_a_second_evaluation_makes_no_sound(run, model, monkeypatch, tmp_path):
    model = dataclasses.replace(model, modes=("zs",))
    first = run(model, "clap")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.wav")}
    again = run(model, "clap")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert again == first


def test_the_model_is_freed_before_a_backbone_is_loaded(run, model, monkeypatch):
    models, alive = weakref.WeakSet(), []
    load_model, load_backbone = ClipSonic.load, scoring.load

    def load(*arguments, **more):
        models.add(sonic := load_model(*arguments, **more))
        return sonic

    def count(*arguments):
        gc.collect()
        alive.append(len(models))
        return load_backbone(*arguments)

    monkeypatch.setattr(ClipSonic, "load", load)
    monkeypatch.setattr(scoring, "load", count)
    run(dataclasses.replace(model, modes=(), count=1), "clap")
    assert alive == [0]


def test_similarity_makes_no_sound_and_has_no_guidance(run, model, tmp_path):
    results = run(model, "similarity")
    assert [(row.system, row.guidance) for row in results.rows] == [("zs", None), ("pd", None)]
    assert not (tmp_path / "out" / "sounds").exists()
    score = results.rows[0].score("similarity")
    assert (score.label, score.n) == ("similarity[micro-clip]", 4)
    assert -1 <= score.value <= 1


def test_sounds_of_every_mode_are_compared_with_the_images_of_their_clips(run, model, monkeypatch):
    monkeypatch.setitem(BACKBONES._entries, "wav2clip", "fake_backbones:FakeImageBackbone")
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    results = run(dataclasses.replace(model, modes=("zs",)), "cs")
    rows = {row.system: row.score("cs") for row in results.rows}
    assert [*rows] == ["zs", "reconstruction"]
    for score in rows.values():
        assert (score.label, score.n, score.as_paper) == ("cs", 4, True)
        assert -100 <= score.value <= 100


def test_sounds_that_were_made_of_no_image_have_no_clip_score(run, fakes, tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES._entries, "wav2clip", "fake_backbones:FakeImageBackbone")
    monkeypatch.setattr(backbones, "is_here", lambda _name: True)
    folder = fakes.write_sounds(tmp_path / "dogs", 2)
    with pytest.raises(UsageError, match=r"which images the sounds of 'dogs' were made from; give"):
        run(Folders(folders=(folder,)), "cs")


def test_no_modes_leave_the_reconstruction_of_longer_clips(run, model):
    model = dataclasses.replace(model, modes=(), clip_seconds=1.5)
    [row] = run(model, "clap-windows").rows
    assert row.system == "reconstruction"
    assert row.scores[0].seconds == pytest.approx(1.5)


def test_clips_are_as_long_as_they_are_and_not_as_requested(run, model):
    model = dataclasses.replace(model, modes=(), clip_seconds=100.0)
    results = run(model, "fad", "clap")
    seconds = results.rows[0].scores[0].seconds
    assert seconds < 100
    assert f", {seconds:.3g} s around the middle" in results.settings["reference"]
    assert run(model, "clap").settings["reference"] is None


def test_what_the_data_and_the_model_lack_is_said(run, model):
    messages = []
    run(dataclasses.replace(model, count=20, modes=("sd", "zs")), "clap", messages=messages)
    said = " ".join(messages)
    assert "mode sd is left out" in said
    assert "clips that can be used, of 20 requested" in said


def test_the_splits_are_those_of_the_models_training(run, model, micro, tmp_path):
    trained = tmp_path / "trained"
    shutil.copytree(micro, trained)
    unet = bundle.load(trained / "unet.safetensors", kind="unet")
    how = {"seed": 7, "test_share": 0.5, "valid_share": 0.3}
    header = dataclasses.replace(unet.header, meta={"data": {"name": "pets", "drawn": how}})
    bundle.write(trained / "unet.safetensors", dataclasses.replace(unet, header=header))
    clips = list_clips(model.data, splits=SplitDraw(**how)).clips
    tested = sum(clip.split == "test" and "bad" not in clip.id for clip in clips)
    subject = dataclasses.replace(
        model, models=(str(trained),), split="test", modes=("zs",), count=None
    )
    settings = run(subject, "fad").settings
    assert (settings["split_seed"], settings["test_share"], settings["n"]) == (7, 0.5, tested)
    settings = run(dataclasses.replace(subject, split_seed=3, count=1), "fad").settings
    assert (settings["split_seed"], settings["test_share"]) == (3, 0.5)
    settings = run(dataclasses.replace(model, modes=("zs",), count=1), "fad").settings
    assert (settings["split_seed"], settings["test_share"]) == (0, 0.1)


def test_without_data_common_sounds_are_requested_and_nothing_is_compared(run, model):
    messages = []
    results = run(dataclasses.replace(model, data=None, count=3), "fad", "clap", messages=messages)
    [row] = results.rows
    assert (row.system, [score.metric for score in row.scores]) == ("pd", ["clap"])
    said = " ".join(messages)
    assert "fad[mini] left out: there are no true sounds" in said
    assert "'a photo of violin'; give `data`" in said


def test_clips_without_labels_leave_the_mode_for_images(run, model, tmp_path):
    plain = write_videos(tmp_path / "plain", 4, labelled=False)
    messages = []
    subject = dataclasses.replace(model, data=str(plain))
    results = run(subject, "fad", messages=messages)
    assert [row.system for row in results.rows] == ["iq", "reconstruction"]
    assert "modes zs, pd are left out: the clips have no labels" in messages
    with pytest.raises(UsageError, match="have no labels, which zs need"):
        run(dataclasses.replace(subject, modes=("zs",)), "fad")


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"data": "nowhere"}, UsageError, "no data at 'nowhere'"),
        ({"models": ("nothing",)}, UsageError, "no model 'nothing'"),
        ({"modes": ("iqq",)}, UsageError, "Did you mean 'iq'"),
        ({"modes": ("sd",)}, UsageError, "Nothing can be made. mode sd is left out"),
        ({"guidance": (1.5, 101.0)}, UsageError, "guidance is 101"),
        (
            {"recipe": dataclasses.replace(RECIPE, sampler="dpm")},
            UsageError,
            "Did you mean 'dpmpp'",
        ),
        (
            {"recipe": dataclasses.replace(RECIPE, guidance_rule="apj")},
            UsageError,
            "Did you mean 'apg'",
        ),
        ({"recipe": dataclasses.replace(RECIPE, vocoder="hifigan")}, UsageError, "Unknown vocoder"),
        ({"data": None, "modes": ("iq",)}, UsageError, "need images to start from"),
    ],
)
def test_what_cannot_be_asked_is_rejected_before_weights_are_read(
    model, monkeypatch, change, error, reason
):
    from clipsonic_cli.store import bundle

    monkeypatch.setattr(bundle, "load", None)
    with pytest.raises(error, match=reason):
        dataclasses.replace(model, **change).prepare(Needs(), CPU)


def test_a_trained_vocoder_that_is_requested_has_to_be_there(model, micro, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "unet.safetensors").symlink_to(micro / "unet.safetensors")
    recipe = dataclasses.replace(RECIPE, vocoder="bigvgan")
    request = dataclasses.replace(model, models=(str(bare),), recipe=recipe, modes=())
    with pytest.raises(MissingWeights, match=r"lacks vocoder\.safetensors"):
        request.prepare(Needs(), CPU)


@pytest.mark.parametrize(("sampler", "said"), [("ddpm", 1), ("ddim", 0)])
def test_ddpm_in_too_few_steps_is_said_and_kept_in_the_report(run, model, sampler, said):
    recipe, messages = dataclasses.replace(RECIPE, sampler=sampler), []
    results = run(
        dataclasses.replace(model, modes=("zs",), recipe=recipe, count=2), "clap", messages=messages
    )
    assert sum("too few steps for ddpm (2)" in note for note in results.notes) == said
    assert sum("too few steps for ddpm (2)" in note for note in messages) == said


def test_several_models_share_clips_reference_and_reconstruction(run, model, micro, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for path in micro.iterdir():
        (other / path.name).symlink_to(path)
    both = dataclasses.replace(model, models=(str(micro), str(other)), modes=("zs", "iq"))
    results = run(both, "fad", "clap")
    rows = [(row.model, row.role, row.guidance) for row in results.rows]
    assert rows == [
        *((str(name), mode, 1.5) for name in (micro, other) for mode in ("zs", "iq")),
        (None, "reconstruction", None),
    ]
    assert results.rows[0].system == f"{micro} zs"
    assert [s.value for s in results.rows[0].scores] == [s.value for s in results.rows[2].scores]
    assert results.settings["model"] == f"{micro}, {other}"
    assert len(results.settings["sounds"]) == 5


def test_folders_have_the_sounds_and_clips_of_one_evaluation(run, model, tmp_path):
    for change in ({}, {"count": 2}, {"recipe": dataclasses.replace(RECIPE, steps=3)}):
        results = run(dataclasses.replace(model, modes=("iq",), **change), "fad")
        out = tmp_path / "out"
        places = {**results.settings["sounds"]}
        places["truth"] = f"{results.settings['clips']}/truth-0.6s"
        for system, place in places.items():
            assert {*(out / place).iterdir()} == {s.paths[system] for s in results.samples}
        images = {sample.image for sample in results.samples}
        assert {*(out / results.settings["clips"] / "pictures").iterdir()} == images


def test_a_preview_counts_the_sounds_and_writes_nothing(model, fakes, tmp_path):
    request = EvalRequest(
        name="x", out=tmp_path / "out", metrics=("fad", "clap"), source=model, seed=0
    )
    before = preview(request, device=CPU)
    assert (before.work.sounds, before.work.there) == (16, 0)
    assert before.work.systems == ("iq w=1.5", "zs w=1.5", "pd w=1.5", "reconstruction")
    assert before.metrics == ("fad[mini]", "clap[mini]")
    assert not (tmp_path / "out").exists()
    evaluate(request, device=CPU)
    assert preview(request, device=CPU).work.there == 16
    fewer = dataclasses.replace(request, source=dataclasses.replace(model, count=2))
    assert str(preview(fewer, device=CPU).work) == "8 sounds to make (0 there already)"
