import dataclasses
import json
import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

from clipsonic_cli.errors import UsageError
from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.loop import Diverged, train
from clipsonic_cli.trainer.objective import Loss

CONFIG = TrainConfig(
    steps=12, batch_size=4, lr=0.05, warmup=3, ema_decay=0.5, clip_norm=1.0, save_every=5,
    log_every=4,
)  # fmt: skip


class Plain:
    """Networks without data to draw, each with its turn."""

    main = criterion = "a"

    def __init__(self, **networks):
        self.networks = networks

    def draw(self, batch, generator):
        return batch

    def turns(self, step):
        return tuple(self.networks)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def metrics(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def timeless(lines):
    clock = {"seconds", "clips_per_second", "waiting", "eta_seconds"}
    return [{k: v for k, v in line.items() if k not in clock} for line in lines]


def test_training_lowers_the_loss(points, regression, tmp_path):
    train(regression(dropout=0.0), points, dataclasses.replace(CONFIG, steps=200), tmp_path)
    losses = [line["net"] for line in metrics(tmp_path)]
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize("stop", [1, 4, 5, 7, 11])
def test_a_resumed_run_is_the_unbroken_run(points, regression, tmp_path, stop):
    unbroken, resumed = regression(), regression()
    whole = train(unbroken, points, CONFIG, tmp_path / "whole")
    train(regression(), points, dataclasses.replace(CONFIG, steps=stop), tmp_path / "parts")
    parts = train(resumed, points, CONFIG, tmp_path / "parts")
    assert equal(whole.weights, parts.weights)
    assert equal(unbroken.networks["net"].state_dict(), resumed.networks["net"].state_dict())


def test_a_run_resumed_after_a_kill_is_the_unbroken_run(points, regression, tmp_path):
    """Killed at step 8, after a checkpoint at 5 and a line of metrics at 4 and, too late, 8."""
    whole = train(regression(), points, CONFIG, tmp_path / "whole")

    def kill(step):
        if step == 8:
            raise RuntimeError("killed")

    broken = regression()
    broken.before_step = kill
    with pytest.raises(RuntimeError, match="killed"):
        train(broken, points, CONFIG, tmp_path / "parts")
    parts = train(regression(), points, CONFIG, tmp_path / "parts")
    assert equal(whole.weights, parts.weights)
    assert timeless(metrics(tmp_path / "parts")) == timeless(metrics(tmp_path / "whole"))


def test_training_neither_uses_nor_moves_the_global_generator(points, regression, tmp_path):
    torch.manual_seed(1)
    first = train(regression(), points, CONFIG, tmp_path / "a")
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = train(regression(), points, CONFIG, tmp_path / "b")
    torch.manual_seed(1)
    assert equal(first.weights, second.weights)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_decides_the_run(points, regression, tmp_path):
    first = train(regression(), points, CONFIG, tmp_path / "a")
    second = train(regression(), points, dataclasses.replace(CONFIG, seed=1), tmp_path / "b")
    assert not equal(first.weights, second.weights)


def test_the_first_step_is_adamw_at_the_warmed_up_rate(points, regression, tmp_path):
    """Adam's first step moves each weight by the rate, whatever the size of its gradient."""
    objective = regression(noise=0.0, dropout=0.0)
    before = objective.networks["net"][3].bias.item()
    config = dataclasses.replace(CONFIG, steps=1, lr=0.3, warmup=3, clip_norm=None)
    train(objective, points, config, tmp_path)
    assert abs(objective.networks["net"][3].bias.item() - before) == pytest.approx(0.1, rel=1e-4)


def test_metrics_are_means_over_the_steps_between_lines(points, regression, tmp_path):
    train(regression(), points, dataclasses.replace(CONFIG, log_every=1), tmp_path / "each")
    train(regression(), points, CONFIG, tmp_path / "means")
    each, mean = metrics(tmp_path / "each"), metrics(tmp_path / "means")[1]
    assert mean["step"] == 8
    assert mean["net"] == pytest.approx(sum(line["net"] for line in each[4:8]) / 4)
    assert mean["twice"] == pytest.approx(2 * mean["net"])


def test_a_loss_that_is_no_number_stops_with_step_and_clips(points, regression, tmp_path):
    points.y[:] = float("nan")
    with pytest.raises(Diverged, match=r"step 0: the loss of the net is nan.*point-\d+, point-"):
        train(regression(), points, CONFIG, tmp_path)


def test_an_exploding_loss_stops_and_the_last_checkpoint_stays(points, regression, tmp_path):
    objective = regression()

    def explode(step):
        if step == 6:
            objective.networks["net"][3].bias.data += 1e4

    objective.before_step = explode
    with pytest.raises(Diverged, match=r"step 6: the loss .*up to 10000.*point"):
        train(objective, points, CONFIG, tmp_path)
    assert [path.name for path in tmp_path.glob("*.pt")] == ["state-00000005.pt"]


def test_an_infinite_gradient_stops(points, tmp_path):
    class Root(Plain):
        def loss(self, network, batch, step):
            return Loss(mean=(0 * self.networks[network](batch["x"])).sqrt().mean())

    with pytest.raises(Diverged, match="gradient of the a is"):
        train(Root(a=nn.Linear(2, 1, bias=False)), points, CONFIG, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_interrupts(points, regression, tmp_path, number):
    whole = train(regression(), points, CONFIG, tmp_path / "whole")
    objective = regression()
    objective.before_step = lambda step: signal.raise_signal(number) if step == 6 else None
    before = signal.getsignal(number)
    saved = []
    with pytest.raises(KeyboardInterrupt):
        train(
            objective,
            points,
            CONFIG,
            tmp_path / "parts",
            on_save=lambda progress, log: saved.append(progress),
        )
    assert [progress.step for progress in saved] == [5, 7]
    assert signal.getsignal(number) == before
    resumed = train(regression(), points, CONFIG, tmp_path / "parts")
    assert equal(whole.weights, resumed.weights)


def test_a_signal_that_is_ignored_stays_ignored():
    """As SIGINT is where a shell without job control starts something in the background."""
    code = """
import signal
from clipsonic_cli.trainer.signals import catch_signals
with catch_signals() as interrupted:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(number)
        print(number.name, interrupted.is_set())
print(signal.getsignal(signal.SIGINT).name)
"""
    command = ["sh", "-c", '"$@" & wait $!', "sh", sys.executable, "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.splitlines() == ["SIGINT False", "SIGTERM True", "SIG_IGN"]


def test_time_up_stops_and_saves(points, regression, tmp_path):
    progress = train(regression(), points, CONFIG, tmp_path, minutes=0)
    assert progress.step == 1
    assert train(regression(), points, CONFIG, tmp_path, minutes=0).step == 2


def test_a_finished_run_does_nothing_more(points, regression, tmp_path):
    done = train(regression(), points, CONFIG, tmp_path)
    saved = []
    again = train(
        regression(), points, CONFIG, tmp_path, on_save=lambda progress, log: saved.append(progress)
    )
    assert again.step == 12
    assert equal(done.weights, again.weights)
    assert saved == []


def test_saves_hand_over_the_average_not_the_last_weights(points, regression, tmp_path):
    objective, saved = regression(), []
    train(objective, points, CONFIG, tmp_path, on_save=lambda progress, log: saved.append(progress))
    assert [progress.step for progress in saved] == [5, 10, 12]
    assert not equal(saved[-1].weights, objective.networks["net"].state_dict())


def test_a_folder_of_another_network_is_rejected(points, regression, tmp_path):
    train(regression(), points, CONFIG, tmp_path)
    other = regression()
    other.networks = {"net": nn.Linear(2, 1)}
    with pytest.raises(UsageError, match="another network"):
        train(other, points, CONFIG, tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        {"generator": 5},
        {"generator": torch.zeros(3)},
        {"optimizers": []},
        {"ema": None},
        {"networks": {"net": 3}},
        {"sums": 7},
    ],
)
def test_a_damaged_state_is_one_line(points, regression, tmp_path, damage):
    train(regression(), points, CONFIG, tmp_path)
    state = checkpoint.load_newest(tmp_path)
    checkpoint.save(tmp_path, state["step"], state | damage, keep=1)
    with pytest.raises(UsageError, match="damaged"):
        train(regression(), points, CONFIG, tmp_path)


def test_each_turn_updates_only_its_network_and_sees_the_one_before(points, tmp_path):
    seen = []

    class Duel(Plain):
        def loss(self, network, batch, step):
            a, b = self.networks["a"], self.networks["b"]
            seen.append((network, a.weight.detach().clone(), b.weight.detach().clone()))
            return Loss(mean=(a(batch["x"]) - b(batch["x"])).square().mean())

    duel = Duel(b=nn.Linear(2, 1), a=nn.Linear(2, 1))
    train(duel, points, dataclasses.replace(CONFIG, steps=1), tmp_path)
    (first, a, b), (second, later_a, later_b) = seen
    assert (first, second) == ("b", "a")
    assert torch.equal(a, later_a)
    assert not torch.equal(b, later_b)
    assert not torch.equal(duel.networks["a"].weight, a)
    assert torch.equal(duel.networks["b"].weight, later_b)


def test_gradients_are_clipped_to_the_norm_and_logged_as_they_were(points, tmp_path):
    class Steep(Plain):
        def loss(self, network, batch, step):
            return Loss(mean=100 * self.networks[network](batch["x"]).square().mean())

    steep = Steep(a=nn.Linear(2, 1))
    train(steep, points, dataclasses.replace(CONFIG, steps=1), tmp_path)
    gradients = [parameter.grad for parameter in steep.networks["a"].parameters()]
    assert float(nn.utils.get_total_norm(gradients)) == pytest.approx(1.0, rel=1e-4)
    assert metrics(tmp_path)[0]["a_grad_norm"] > 2


def test_progress_is_reported(points, regression, tmp_path):
    seen = []
    train(regression(), points, CONFIG, tmp_path, on_step=seen.append)
    assert [(status.step, status.steps) for status in seen] == [(n, 12) for n in range(1, 13)]
    lines = {line["step"]: line["net"] for line in metrics(tmp_path)}
    assert [status.loss for status in seen[4:7]] == [lines[4]] * 3
    assert seen[0].loss is not None
    assert {status.minutes_left for status in seen} == {None}


def test_bfloat16_computes_in_half_and_keeps_weights_in_float32(points, regression, tmp_path):
    objective, dtypes = regression(), []
    objective.networks["net"].register_forward_hook(lambda *seen: dtypes.append(seen[2].dtype))
    config = dataclasses.replace(CONFIG, precision="bfloat16")
    progress = train(objective, points, config, tmp_path)
    assert set(dtypes) == {torch.bfloat16}
    assert {weight.dtype for weight in progress.weights.values()} == {torch.float32}
