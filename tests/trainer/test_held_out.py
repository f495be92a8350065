"""What held-out clips are for: curves that compare, and the best weights."""

import dataclasses
import json

import pytest
import torch

from clipsonic_cli.trainer import checkpoint
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.loop import train

CONFIG = TrainConfig(
    steps=12, batch_size=4, lr=0.05, ema_decay=0.5, log_every=4, save_every=5, validate_every=3,
    validate_batches=2,
)  # fmt: skip


def held_out(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["held_out_net"] for line in lines if "held_out_net" in line}


def test_held_out_clips_judge_every_so_many_steps(points, regression, tmp_path):
    train(regression(), points, CONFIG, tmp_path, held_out=points)
    assert list(held_out(tmp_path)) == [3, 6, 9, 12]


def test_the_clips_and_their_noise_are_always_the_same(points, regression, tmp_path):
    """Weights that stay where they are have the same loss each time, whatever the seed."""
    for seed in (0, 1):
        config = dataclasses.replace(CONFIG, lr=1e-30, seed=seed)
        train(regression(noise=1.0), points, config, tmp_path / str(seed), held_out=points)
    first, second = held_out(tmp_path / "0"), held_out(tmp_path / "1")
    assert len(set(first.values()) | set(second.values())) == 1


def test_looking_does_not_change_the_training(points, regression, tmp_path):
    blind = train(regression(), points, CONFIG, tmp_path / "blind")
    seeing = train(regression(), points, CONFIG, tmp_path / "seeing", held_out=points)
    assert all(torch.equal(seeing.weights[name], w) for name, w in blind.weights.items())


def test_the_average_is_judged_without_dropout(points, regression, tmp_path):
    """All points often enough: near the mean over all of them, by hand with the weights given."""
    config = dataclasses.replace(CONFIG, validate_batches=300)
    objective = regression(noise=0.0)
    done = train(objective, points, config, tmp_path, held_out=points)
    net = objective.networks["net"].eval()
    net.load_state_dict(done.weights)
    error = (net(points.x) - points.y).square().mean().item()
    assert held_out(tmp_path)[12] == pytest.approx(error, rel=0.15)


def test_the_best_weights_are_kept_when_later_ones_are_worse(points, regression, tmp_path):
    objective = regression(dropout=0.0)

    def spoil(step):
        if step == 7:
            objective.networks["net"][3].bias.data += 5

    objective.before_step = spoil
    done = train(objective, points, CONFIG, tmp_path, held_out=points)
    scores = held_out(tmp_path)
    best = checkpoint.load_best(tmp_path)
    assert best["step"] == min(scores, key=scores.get) < 7
    assert best["score"] == done.best == min(scores.values())
    assert not torch.equal(best["weights"]["3.bias"], done.weights["3.bias"])


def test_a_resumed_run_remembers_its_best(points, regression, tmp_path):
    config = dataclasses.replace(CONFIG, steps=9)
    first = train(regression(), points, config, tmp_path, held_out=points)
    config = dataclasses.replace(CONFIG, lr=1.0)  # spoils what was learned
    assert train(regression(), points, config, tmp_path, held_out=points).best == first.best
    assert checkpoint.load_best(tmp_path)["step"] <= 9
