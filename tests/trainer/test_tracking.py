import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from accelerate import Accelerator
from PIL import Image

from clipsonic_cli.errors import UsageError
from clipsonic_cli.trainer import tracking
from clipsonic_cli.trainer.tracking import TRACKERS, Means, MetricsLog, check_trackers
from clipsonic_cli.types import Waveform

TONE = Waveform(samples=torch.linspace(0, 440, 16_000).mul(6.283).sin(), sample_rate=16_000)
PICTURE = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3))


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in for W&B: ``rows`` are what was logged, ``begun`` the arguments of its runs."""
    fake = SimpleNamespace(
        begun=[], rows=[], offline=True, starting_step=0, finish=lambda: None, Error=OSError
    )
    fake.log = lambda values, step: fake.rows.append((step, values))
    fake.init = lambda **arguments: fake.begun.append(arguments) or fake
    fake.Settings = fake.Audio = fake.Image = lambda *given, **named: (given, named)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(tracking, "find_spec", lambda name: SimpleNamespace(origin=name))
    return fake


def test_means_count_values_not_calls():
    means = Means()
    means.add("loss", torch.tensor([1.0, 2.0]))
    means.add("loss", torch.tensor([6.0]))
    means.add("loss", torch.tensor(5.0), 3)  # a mean over three clips
    assert means.values() == {"loss": (1 + 2 + 6 + 15) / 6}


def test_a_name_without_values_has_no_mean():
    means = Means()
    means.add("quarter", torch.tensor([]))
    assert means.values() == {}
    means.add("quarter", torch.tensor([4.0]))
    assert means.values() == {"quarter": 4.0}


def test_one_process_has_all_values_already():
    means = Means()
    means.add("loss", torch.tensor([1.0, 2.0]))
    means.pool(Accelerator(cpu=True))
    assert means.values() == {"loss": 1.5}


def test_lines_of_steps_to_be_done_again_and_half_lines_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 4, "a": 1}\n{"step": 8, "a": 2}\n{"step": 9')
    MetricsLog(tmp_path, 5).write(6, {"a": 3})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 4, "a": 1}, {"step": 6, "a": 3}]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's own
def test_tensorboard_reads_the_curves_and_forgets_steps_done_again(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError
    )
    for start, value in ((0, 1.0), (5, 2.0)):
        log = MetricsLog(tmp_path, start, trackers=["tensorboard"])
        for step in range(start + 1, start + 9):
            log.write(step, {"loss": value})
        log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    curve = [(event.step, event.value) for event in events.Scalars("loss")]
    assert curve == [(s, 1.0) for s in range(1, 6)] + [(s, 2.0) for s in range(6, 14)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's own
def test_tensorboard_has_the_very_sounds_and_images(tmp_path, capfd):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError
    )
    log = MetricsLog(tmp_path, 0, trackers=["tensorboard"])
    log.show(3, "sounds/tone", TONE)
    log.show(3, "mels/tone", PICTURE)
    log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (sound,), (picture,) = events.Audio("sounds/tone"), events.Images("mels/tone")
    scored, sample_rate = soundfile.read(io.BytesIO(sound.encoded_audio_string))
    assert (sound.step, picture.step, sample_rate) == (3, 3, 16_000)
    assert np.allclose(scored, TONE.samples.numpy(), atol=1e-4)
    shown = Image.open(io.BytesIO(picture.encoded_image_string))
    assert np.array_equal(np.asarray(shown), np.asarray(PICTURE))
    assert capfd.readouterr().out == ""


def test_without_trackers_sounds_and_images_go_nowhere(tmp_path):
    log = MetricsLog(tmp_path, 0)
    log.show(1, "tone", TONE)
    log.show(1, "tone", PICTURE)
    log.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_tracker_not_installed_is_said_with_what_to_install(monkeypatch, name):
    monkeypatch.setattr(tracking, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=rf'{name} is not .*python -m pip install "{name}>=.*"$'):
        check_trackers([name])


def test_a_folder_of_runs_is_no_installed_tracker(tmp_path, monkeypatch):
    (tmp_path / "runs_of_a_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TRACKERS, "runs_of_a_tracker", TRACKERS["wandb"])
    with pytest.raises(UsageError, match="not installed"):
        check_trackers(["runs_of_a_tracker"])


def test_an_unknown_tracker_is_rejected_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'tensorboard'"):
        MetricsLog(tmp_path, 0, trackers=["tensorbord"])


def test_wandb_goes_on_with_its_run_where_it_was_offline(tmp_path, wandb):
    for start in (0, 5):
        log = MetricsLog(tmp_path, start, trackers=["wandb"])
        for step in range(start + 1, start + 9):
            log.write(step, {"loss": float(start)})
    first, second = wandb.begun
    assert first["id"] == second["id"] == (tmp_path / "wandb-id").read_text()
    expected = [(s, {"loss": 0.0}) for s in range(1, 9)] + [
        (s, {"loss": 5.0}) for s in range(9, 14)
    ]
    assert wandb.rows == expected


def test_wandb_joining_a_run_begun_without_it_misses_no_step(tmp_path, wandb):
    MetricsLog(tmp_path, 0).write(8, {"loss": 0.0})
    MetricsLog(tmp_path, 5, trackers=["wandb"]).write(6, {"loss": 1.0})
    assert wandb.rows == [(6, {"loss": 1.0})]


def test_wandb_is_sent_what_its_server_lacks(tmp_path, wandb):
    wandb.offline, wandb.starting_step = False, 7  # it has steps up to 6, the file up to 8
    for start, steps in ((0, [8]), (5, [6, 7, 8])):
        log = MetricsLog(tmp_path, start, trackers=["wandb"])
        for step in steps:
            log.write(step, {"start": start})
    assert wandb.rows == [(8, {"start": 0}), (7, {"start": 5}), (8, {"start": 5})]


def test_wandb_gets_sounds_and_images(tmp_path, wandb):
    log = MetricsLog(tmp_path, 0, trackers=["wandb"])
    log.show(3, "sounds/tone", TONE)
    log.show(3, "mels/tone", PICTURE)
    (_, sound), (_, picture) = wandb.rows
    (samples,), named = sound["sounds/tone"]
    assert np.array_equal(samples, TONE.samples.numpy())
    assert named == {"sample_rate": 16_000}
    assert picture == {"mels/tone": ((PICTURE,), {})}


def test_wandb_refusing_is_said_with_a_way_on(tmp_path, wandb):
    def refuse(**_arguments):
        raise wandb.Error("No API key configured.")

    wandb.init = refuse
    with pytest.raises(UsageError, match=r"No API key configured\. Log in .*WANDB_MODE=offline"):
        MetricsLog(tmp_path, 0, trackers=["wandb"])


def test_wandb_itself_keeps_a_run_offline_and_off_stdout(tmp_path, monkeypatch, capfd):
    pytest.importorskip("wandb", exc_type=ImportError)
    monkeypatch.setenv("WANDB_MODE", "offline")
    for start in (0, 5):
        log = MetricsLog(tmp_path, start, trackers=["wandb"])
        log.write(start + 1, {"loss": 1.0})
        log.show(start + 1, "sounds/tone", TONE)
        log.show(start + 1, "mels/tone", PICTURE)
        log.close()
    name = (tmp_path / "wandb-id").read_text()
    assert list(tmp_path.glob(f"wandb/offline-run-*-{name}/run-{name}.wandb"))
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/audio/sounds/tone*.wav"))
    assert capfd.readouterr().out == ""
