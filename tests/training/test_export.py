"""Files, samples and the model that a run makes of the loop's weights."""

import dataclasses
import json
import shutil
import signal

import pytest
import torch
from small_videos import LABELS, write_videos

from clipsonic_cli.config import VocosConfig
from clipsonic_cli.diffusion.timesteps import spaced_timesteps
from clipsonic_cli.errors import UsageError
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.store import assets, bundle, model_folders
from clipsonic_cli.store.step_grids import step_grid
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.training import step_grids
from clipsonic_cli.training.command import command_for
from clipsonic_cli.training.export import run_id
from clipsonic_cli.training.request import Source, TrainCallbacks, TrainRequest
from clipsonic_cli.training.run import begin, resume
from clipsonic_cli.training.run_config import Extensions, read_run_config

CPU = torch.device("cpu")
LOOP = {"batch_size": 1, "save_every": 1, "log_every": 1, "precision": "float32"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("CLIPSONIC_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Return a folder of videos, which is prepared once in ``home``."""
    return str(write_videos(tmp_path_factory.mktemp("data"), 12))


@pytest.fixture(scope="module")
def run(home, micro, videos, violin_picture, tmp_path_factory):
    """Train two steps with samples of a text and an image; yield folder, outcome, messages."""
    messages = []
    request = TrainRequest(
        source=Source(data=videos, workers=0, seed=3),
        out=tmp_path_factory.mktemp("runs") / "run",
        name="heard",
        base=str(micro),
        warm_start=str(micro),
        train=LOOP | {"steps": 2, "lr": 1e-3, "validate_every": 1, "validate_batches": 1},
        prompts=("rain",),
        images=(str(violin_picture),),
        sample_every=2,
        licence="CC0",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_grids, "SHARE", 1e9)  # of the few seconds that this takes
        patch.setattr(step_grids, "LEVELS", 6)
        outcome = begin(request, device=CPU, callbacks=TrainCallbacks(on_message=messages.append))
        yield request.run_dir, outcome, messages  # a resumed run chooses them again


def test_the_weights_are_those_that_did_best_on_held_out_clips(run):
    run_dir, outcome, _ = run
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    looks = [line["held_out_unet"] for line in lines if "held_out_unet" in line]
    assert outcome.best == min(looks)
    kept = bundle.load(outcome.path / "unet.safetensors", kind="unet")
    best = checkpoint.load_best(run_dir)
    assert kept.header.meta["best"]["step"] == best["step"]
    assert all(torch.equal(w, best["weights"][n].half()) for n, w in kept.weights.items())


def test_samples_are_made_when_due_of_what_was_requested(run):
    run_dir, _, messages = run
    assert [path.name for path in (run_dir / "samples").iterdir()] == ["step-00000002"]
    made = {path.name for path in (run_dir / "samples" / "step-00000002").iterdir()}
    assert made == {"01-rain.wav", "01-rain.png", "02-violin.wav", "02-violin.png"}
    assert sum("saved: unet" in line for line in messages) == 2


def test_the_file_has_timesteps_that_were_chosen_for_the_u_net(run):
    _, outcome, messages = run
    header = bundle.read_header(outcome.path / "unet.safetensors")
    fine = spaced_timesteps(4000, 6)
    for sampler in ("dpmpp", "unipc", "ddim"):
        grid = step_grid(header, sampler, 4)
        assert grid[0] == 3999
        assert set(grid) < set(fine)
    assert step_grid(header, "dpmpp", 6) == fine  # all there are
    assert step_grid(header, "dpmpp", 7) is None
    assert any(line.startswith("timesteps of dpmpp, unipc, ddim are chosen") for line in messages)


def test_the_file_says_how_it_was_trained(run):
    _, outcome, _ = run
    meta = bundle.read_header(outcome.path / "unet.safetensors").meta
    assert (meta["steps"], meta["batch_size"], meta["licence"]) == (2, 1, "CC0")
    assert (meta["data"]["kept"], meta["warm_start"]) == (12, "micro")
    assert (meta["settings"]["lr"], meta["settings"]["window"]) == (1e-3, 64)
    assert meta["losses"].keys() >= {"unet"}
    assert meta["labels"] == sorted(LABELS)
    assert meta["data"]["drawn"]["seed"] == 3


@pytest.fixture
def vggish_lost(monkeypatch, tmp_path):
    """Let VGGish vanish after it was found."""
    monkeypatch.setattr(assets, "part_here", {"vggish": tmp_path / "vggish.safetensors"}.get)


def test_a_distance_that_fails_ends_nothing(home, micro, videos, tmp_path, vggish_lost):
    messages = []
    request = TrainRequest(
        source=Source(data=videos, workers=0, seed=3),
        out=tmp_path / "run",
        name="deaf",
        base=str(micro),
        warm_start=str(micro),
        train=LOOP | {"steps": 1},
        prompts=("rain",),
        sample_every=1,
    )
    outcome = begin(request, device=CPU, callbacks=TrainCallbacks(on_message=messages.append))
    assert outcome.path.is_dir()
    (why,) = [line for line in messages if line.startswith("No FAD of held-out frames: ")]
    assert "clipsonic download vggish" in why


def test_the_last_samples_are_made_where_time_ends_a_training(home, micro, videos, tmp_path):
    request = TrainRequest(
        source=Source(data=videos, workers=0, seed=3),
        out=tmp_path / "run",
        name="timed",
        base=str(micro),
        warm_start=str(micro),
        train=LOOP | {"steps": 100, "save_every": 50},
        prompts=("rain",),
        sample_every=50,
    )
    outcome = begin(request, device=CPU, minutes=1e-6)
    assert outcome.step == 1
    assert (request.run_dir / "state-00000001.pt").is_file()
    assert (request.run_dir / "samples" / "step-00000001" / "01-rain.wav").is_file()
    meta = bundle.read_header(outcome.path / "unet.safetensors").meta
    assert meta["losses"].keys() >= {"unet"}


def test_no_samples_are_made_just_before_the_last(home, micro, videos, tmp_path):
    request = TrainRequest(
        source=Source(data=videos, workers=0, seed=3),
        out=tmp_path / "run",
        name="few-samples",
        base=str(micro),
        warm_start=str(micro),
        train=LOOP | {"steps": 4, "save_every": 3},
        prompts=("rain",),
        sample_every=3,
    )
    begin(request, device=CPU)
    assert [path.name for path in request.run_dir.glob("samples/step-*")] == ["step-00000004"]


def test_samples_are_not_made_twice(run):
    run_dir, _, _ = run
    sample = run_dir / "samples" / "step-00000002" / "01-rain.wav"
    before = sample.stat().st_mtime_ns
    resume(run_dir, device=CPU)  # all is done: published once more
    assert sample.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_moved_run_finds_the_frames_it_makes_samples_of(home, micro, tmp_path):
    request = TrainRequest(
        source=Source(
            data=str(write_videos(tmp_path / "data", 4, labelled=False)), workers=0, seed=3
        ),
        out=tmp_path / "run",
        name="moved",
        base=str(micro),
        warm_start=str(micro),
        train=LOOP | {"steps": 2},
        sample_every=2,
    )
    with pytest.raises(KeyboardInterrupt):
        begin(request, device=CPU, callbacks=TrainCallbacks(on_step=stop_after_a_step))
    moved = request.run_dir.rename(tmp_path / "elsewhere")
    resume(moved, device=CPU)
    made = {path.name for path in (moved / "samples" / "step-00000002").glob("*.wav")}
    assert "01-frame-1.wav" in made


def stop_after_a_step(status):
    if status.step == 1:
        signal.raise_signal(signal.SIGTERM)


def train_vocoder(micro, tmp_path, name, **wanted):
    """Train a vocoder one step, without clips held out, and return outcome and messages."""
    messages = []
    request = TrainRequest(
        source=Source(data=str(write_videos(tmp_path / "data", 4)), workers=0, seed=3),
        out=tmp_path / "run",
        name=name,
        stage="vocoder",
        warm_start=str(micro),
        train=LOOP | {"steps": 1},
        sample_every=0,
        **wanted,
    )
    outcome = begin(request, device=CPU, callbacks=TrainCallbacks(on_message=messages.append))
    return outcome, messages


@pytest.mark.parametrize("critics_from", [None, 0])
def test_a_vocos_is_trained_published_and_heard(home, micro_vocos, tmp_path, critics_from):
    outcome, messages = train_vocoder(
        micro_vocos,
        tmp_path,
        "spectra",
        base=str(micro_vocos),
        vocoder="vocos",
        extensions=Extensions(critics_from=critics_from),
        overwrite=True,
    )
    assert ("critics" in outcome.losses) == (critics_from is not None)
    said = " ".join(messages)
    assert "vocos was not compared with griffin-lim" in said
    assert "clipsonic generate --model spectra --vocoder vocos" in said
    header = bundle.read_header(outcome.path / "vocoder.safetensors")
    assert header.config == VocosConfig(width=16, depth=2)
    sonic = ClipSonic.load("spectra", vocoder="vocos")
    assert sonic("rain", mode="pd", steps=1, seconds=0.3).samples.isfinite().all()


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({}, "is a vocos, not a bigvgan. Choose `vocoder` vocos"),
        ({"vocoder": "vocos", "preset": "paper"}, "The paper's vocoder is bigvgan, not vocos"),
        (
            {"vocoder": "vocos", "extensions": Extensions(multi_scale=True)},
            "`multi_scale` has no meaning for the vocoder vocos, but for: bigvgan",
        ),
        (
            {"extensions": Extensions(critics_from=0)},
            "`critics_from` has no meaning for the vocoder bigvgan, but for: vocos",
        ),
    ],
)
def test_a_vocos_that_cannot_be_trained_is_rejected(home, micro_vocos, tmp_path, wanted, reason):
    with pytest.raises(UsageError, match=reason):
        train_vocoder(micro_vocos, tmp_path, "rejected", **wanted)
    assert not (tmp_path / "run").exists()


def test_without_a_unet_there_is_no_line_to_hear_a_vocoder(home, micro, tmp_path):
    # Of the base nothing is on this machine.
    outcome, _ = train_vocoder(micro, tmp_path, "vocoder-alone", base="published")
    assert outcome.command is None
    assert model_folders.find("vocoder-alone").modes() == []


def test_a_vocoder_that_was_not_compared_is_not_the_default_and_the_former_is_kept(
    home, micro, tmp_path
):
    model = home / "models" / "uncompared"
    shutil.copytree(micro, model)
    assert ClipSonic.load("uncompared").vocoder == "bigvgan"
    outcome, messages = train_vocoder(micro, tmp_path, "uncompared")
    assert ClipSonic.load("uncompared").vocoder == "griffin-lim"
    said = " ".join(messages)
    assert "bigvgan was not compared with griffin-lim, as no clips are held out" in said
    assert "clipsonic generate --model uncompared --vocoder bigvgan" in said
    former = model / "vocoder.safetensors.1"
    assert f"rename {former} to vocoder.safetensors" in said
    assert former.read_bytes() == (micro / "vocoder.safetensors").read_bytes()
    assert "this one was not compared with it" in (outcome.path / "MODEL_CARD.md").read_text()


def test_the_papers_vocoder_is_compared_on_training_clips(home, micro, tmp_path):
    _, messages = train_vocoder(micro, tmp_path, "as-paper", preset="paper", base=str(micro))
    meta = bundle.read_header(home / "models" / "as-paper" / "vocoder.safetensors").meta
    scores = {name: score["spectral_distance"] for name, score in meta["scores"].items()}
    assert meta["default_vocoder"] == min(scores, key=scores.get)
    assert meta["scored_on"] == "training clips, as none are held out"
    assert any(line.startswith("vocoders on training clips") for line in messages)


def test_a_runs_id_tells_it_from_others_however_long_it_goes_on(run):
    settings = read_run_config(run[0])
    longer = dataclasses.replace(settings.train, steps=10**6, save_every=7)
    assert run_id(dataclasses.replace(settings, train=longer)) == run_id(settings)
    others = [
        dataclasses.replace(settings, name="other"),
        dataclasses.replace(settings, catalogue="other"),
        dataclasses.replace(settings, train=dataclasses.replace(settings.train, seed=1)),
    ]
    assert len({run_id(each) for each in [settings, *others]}) == 4


@pytest.mark.parametrize("part", ["unet", "vocoder", "bridge", "statistics"])
def test_a_frame_is_the_query_where_there_are_no_labels(part):
    command = command_for(model_folders.find("mini"), part, (), "frame.png")
    assert command == "clipsonic generate --model mini --image frame.png"


def test_a_student_is_heard_by_its_preset():
    command = command_for(model_folders.find("mini"), "student", ("a photo of dog",))
    assert command == "clipsonic generate --preset instant --model mini 'a photo of dog'"
