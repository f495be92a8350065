"""What is trained for texts at the end of a U-Net's training, and what of it is kept."""

import dataclasses
import itertools
import json
import signal

import pytest
import torch
from small_videos import write_videos

from clipsonic_cli.config import DiffusionConfig, UNetConfig
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.errors import ClipsonicError, UsageError
from clipsonic_cli.preparation import statistics
from clipsonic_cli.store import bundle, model_folders
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.training import text_modes, text_parts
from clipsonic_cli.training.request import SILENT, Source, TrainCallbacks, TrainRequest, resolve
from clipsonic_cli.training.run import begin, resume
from clipsonic_cli.training.run_config import RunConfig
from clipsonic_cli.training.text_modes import Comparison
from clipsonic_cli.training.text_parts import (
    FILE,
    TextPlan,
    judge,
    plan,
    planned,
    share_of,
    wanted,
)

CPU = torch.device("cpu")
CONFIG = RunConfig(
    name="mine",
    data="x",
    catalogue="x",
    stage="unet",
    space="clip-image",
    warm_start=None,
    network=UNetConfig(),
    diffusion=DiffusionConfig(),
    train=TrainConfig(),
)
LOOP = {"steps": 2, "batch_size": 1, "validate_every": 2, "validate_batches": 1}


@pytest.fixture(scope="module")
def make_request(micro, tmp_path_factory):
    """Return a function that builds requests, of new models of one folder of videos."""
    runs, numbers = tmp_path_factory.mktemp("runs"), itertools.count()
    videos = write_videos(tmp_path_factory.mktemp("data") / "pets", 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPSONIC_HOME", str(tmp_path_factory.mktemp("home")))

        def make_request(**wanted):
            name = f"t-{next(numbers)}"
            usual = {
                "source": Source(data=str(videos), workers=0, seed=3, valid_share=0.4),
                "train": LOOP | {"precision": "float32"},
                "base": str(micro),
                "warm_start": str(micro),
                "sample_every": 0,
            }
            return TrainRequest(name=name, out=runs / name, **(usual | wanted))

        yield make_request


@pytest.fixture
def few(monkeypatch):
    """Let two held-out clips be enough, and keep the bridge alone."""
    for module in (text_modes, text_parts):
        monkeypatch.setattr(module, "HELD_OUT", 2)
    for module in (text_modes, statistics):
        monkeypatch.setattr(module, "NOUNS", statistics.NOUNS[:6])
    monkeypatch.setattr(
        text_parts, "judge", lambda _found, name: (name == "bridge", f"{name} is judged")
    )


def listening(said, on_step=lambda _status: None):
    return TrainCallbacks(on_message=said.append, on_step=on_step)


def compared(ahead, texts):
    """Build a comparison in which sd is ahead of rt by so much, for each of some frames."""
    ahead = torch.tensor(ahead)
    cosines = {"sd": 0.5 + ahead, "rt": torch.full_like(ahead, 0.5), "zs": torch.zeros_like(ahead)}
    fits = {name: float(values.mean()) for name, values in cosines.items()}
    order = sorted(fits, key=lambda name: -fits[name])
    return Comparison(
        fits={name: fits[name] for name in order},
        apart=dict.fromkeys(fits, 0.5),
        by="x",
        cosines=cosines,
        text_of=torch.tensor(texts),
    )


def test_a_part_is_kept_where_it_is_ahead_by_more_than_chance():
    found = compared([0.02, 0.03] * 8, [*range(8)] * 2)
    pays, verdict = judge(found, "prior-sd")
    assert pays
    assert verdict.startswith(
        "prior-sd is kept: cosines with held-out frames sd 0.525, rt 0.500; +0.025 (95 % 0.0"
    )
    pays, verdict = judge(compared([0.3, -0.25] * 8, range(16)), "prior-sd")
    assert not pays
    assert verdict.startswith("prior-sd is left out: cosines with held-out frames sd 0.525, rt 0.5")


def test_a_part_that_few_frames_judge_or_that_is_behind_is_left_out():
    assert judge(compared([0.1] * 4, range(4)), "prior-sd")[1].endswith("(too few to tell)")
    assert not judge(compared([-0.1] * 16, range(16)), "prior-sd")[0]
    assert not judge(None, "bridge")[0]
    assert not judge(compared([0.1] * 16, range(16)), "bridge")[0]  # not among the ways


def test_texts_are_the_unit_where_they_are_enough_as_frames_of_one_share_a_vector():
    """A text of 92 frames alone is ahead; seven others are not."""
    ahead, texts = [0.1] * 92 + [0.0] * 7, [0] * 92 + [*range(1, 8)]
    mean, interval = compared(ahead, texts).advantage("sd", "rt")
    assert mean == pytest.approx(0.1 / 8)
    assert interval[0] < 0
    mean, _ = compared(ahead, [0] * 92 + [1] * 7).advantage("sd", "rt")
    assert mean == pytest.approx(0.1 * 92 / 99)


def test_each_part_has_its_share_of_all_the_time():
    both = TextPlan(share=0.1, verdicts={"bridge": None, "prior-sd": None})
    assert both.rest == 0.8
    assert dataclasses.replace(both, share=0.33).rest == 0.34
    assert both.minutes(80 * 60, None) == pytest.approx(10)
    assert both.minutes(80 * 60, 6.0) == pytest.approx(3)
    assert both.minutes(80 * 60, -1.0) == 0
    later = dataclasses.replace(both, verdicts={"bridge": "kept", "prior-sd": None})
    assert later.minutes(80 * 60, 20.0) == pytest.approx(10)
    assert TextPlan(verdicts={}).rest == 1


def test_a_bridge_takes_held_out_clips_and_a_prior_labels_too(micro, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    clip = load_clip(bundle.load(micro / "clip.safetensors", kind="clip"))
    assert wanted(CONFIG, clip, ["dog", "cat"], 16) == (["bridge", "prior-sd"], "")
    assert wanted(CONFIG, clip, ["dog"], 16) == (["bridge"], "")
    why = "2 clips held out, of 16 that judge them"
    assert wanted(CONFIG, clip, ["dog", "cat"], 2) == ([], why)
    assert wanted(dataclasses.replace(CONFIG, space="clip-text"), clip, ["a", "b"], 16)[0] == []
    folder = tmp_path / "models" / CONFIG.name
    folder.mkdir(parents=True)
    (folder / "bridge.safetensors").touch()
    assert wanted(CONFIG, clip, ["dog", "cat"], 16)[0] == ["prior-sd"]


def test_what_helps_joins_the_model_and_the_rest_leaves_nothing(make_request, few):
    request, said = make_request(), []
    outcome = begin(request, device=CPU, callbacks=listening(said))
    assert (
        "at the end, 10% of the time for bridge and for prior-sd (`text_share`), kept if texts "
        "fit held-out frames better by it"
    ) in said
    for folder in (request.run_dir / "model", outcome.path):
        assert (folder / "bridge.safetensors").is_file()
        assert not (folder / "prior-sd.safetensors").exists()
    meta = bundle.read_header(outcome.path / "statistics.safetensors").meta
    assert "db" in meta["fits"]
    assert "sd" not in meta["fits"]
    assert "`bridge`" in (outcome.path / "MODEL_CARD.md").read_text()
    assert not list((request.run_dir / "texts").iterdir())
    verdicts = {"bridge": "bridge is judged", "prior-sd": "prior-sd is judged"}
    assert planned(request.run_dir) == TextPlan(share=0.1, verdicts=verdicts)
    again = []
    resume(request.run_dir, device=CPU, callbacks=listening(again))
    assert not any(line.startswith(("training bridge", "at the end")) for line in again)


def test_an_interruption_keeps_the_model_and_a_resumed_run_goes_on_with_the_part(make_request, few):
    request, said, steps = make_request(), [], itertools.count(1)

    def stop(_status):
        if next(steps) == LOOP["steps"] + 1:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        begin(request, device=CPU, callbacks=listening(said, stop))
    assert model_folders.find(request.name).has("unet")
    assert planned(request.run_dir).due == ["bridge", "prior-sd"]
    assert (request.run_dir / "texts" / "bridge" / "run.json").is_file()
    resume(request.run_dir, device=CPU, callbacks=listening(said))
    assert planned(request.run_dir).due == []
    assert model_folders.find(request.name).has("bridge")


def test_a_part_that_cannot_be_trained_is_a_message(make_request, few, monkeypatch):
    def fail(*_arguments):
        raise ClipsonicError("Something is wrong.")

    monkeypatch.setattr(text_parts, "_train", fail)
    request, said = make_request(), []
    assert begin(request, device=CPU, callbacks=listening(said)).step == 2
    assert "bridge is left out: Something is wrong." in said


def test_nothing_is_trained_on_request_or_for_the_papers_preset(make_request, tmp_path):
    plan(make_request(text_share=0.0), CONFIG, None, None, tmp_path, SILENT)
    assert not (tmp_path / FILE).exists()
    assert share_of(make_request()) == 0.1
    assert share_of(make_request(preset="paper")) == 0
    assert share_of(make_request(preset="paper", text_share=0.2)) == 0.2
    bridge = make_request(stage="bridge", warm_start=None, text_share=0.1)
    with pytest.raises(UsageError, match="`text_share` is for a U-Net that reads frames"):
        resolve(bridge, gpu=False, processes=1)


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"share": 1, "parts": {}}', '{"share": 0.1, "parts": {"x": null}}']
)
def test_a_damaged_plan_is_an_error_that_says_what_to_do(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ClipsonicError, match="Delete it to train nothing more for texts"):
        planned(tmp_path)
    (tmp_path / FILE).write_text(json.dumps({"share": 0.1, "parts": {"bridge": None}}))
    assert planned(tmp_path).due == ["bridge"]
