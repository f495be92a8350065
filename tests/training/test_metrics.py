import json
import sys

import pytest
import torch
from accelerate import Accelerator

from clipsonic_cli.errors import UsageError
from clipsonic_cli.training.metrics import Means, MetricsLog


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
    MetricsLog(tmp_path, 5, tensorboard=False).write(6, {"a": 3})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 4, "a": 1}, {"step": 6, "a": 3}]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's own
def test_tensorboard_reads_the_curves_and_forgets_steps_done_again(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError
    )
    for start, value in ((0, 1.0), (5, 2.0)):
        log = MetricsLog(tmp_path, start, tensorboard=True)
        for step in range(start + 1, start + 9):
            log.write(step, {"loss": value})
        log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    curve = [(event.step, event.value) for event in events.Scalars("loss")]
    assert curve == [(s, 1.0) for s in range(1, 6)] + [(s, 2.0) for s in range(6, 14)]


def test_tensorboard_not_installed_is_said_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr("clipsonic_cli.training.metrics.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"pip install 'clipsonic\[train\]'"):
        MetricsLog(tmp_path, 0, tensorboard=True)
