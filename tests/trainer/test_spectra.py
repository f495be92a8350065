import dataclasses
import math
from functools import partial

import pytest
import torch
from tones import Tones
from torch import nn

from clipsonic_cli.audio.mel import stft
from clipsonic_cli.config import MelSpec, VocosConfig
from clipsonic_cli.models.vocos import Vocos
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.loop import train
from clipsonic_cli.trainer.spectra import (
    VocosObjective,
    anti_wrapped,
    hinge_critics_loss,
    hinge_generator_loss,
    phase_distances,
)

SPEC = MelSpec(n_fft=256, hop_length=64, n_mels=16)
tones = partial(Tones, SPEC, 8192, (500, 1500))
TURN = 2 * math.pi


def make(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vocoder = Vocos(VocosConfig(width=32, depth=2), SPEC)
        return VocosObjective(vocoder, segment=4096, **options)


def noise(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("turns", "distance"), [(0, 0), (0.25, 0.25), (0.75, 0.25), (-0.5, 0.5), (3.1, 0.1), (-7, 0)]
)
def test_angles_are_apart_by_the_shorter_way_around(turns, distance):
    apart = anti_wrapped(torch.tensor(TURN * turns))
    assert apart.item() == pytest.approx(TURN * distance, abs=1e-5)


def test_phases_differ_by_value_by_slope_over_bins_and_by_slope_over_frames():
    true, alike = noise((2, 9, 7)), torch.ones(2, 9, 7)
    bins, frames = torch.arange(9.0)[:, None], torch.arange(7.0)
    cases = [
        (torch.zeros(9, 7), (0, 0, 0)),
        (TURN * torch.round(noise((9, 7))), (0, 0, 0)),
        (torch.full((9, 7), 1.0), (1, 0, 0)),
        (TURN * bins + 0.1 * frames.fmod(2), (0.1 * 3 / 7, 0, 0.1)),
        (TURN * frames + 0.1 * bins.fmod(2), (0.1 * 4 / 9, 0.1, 0)),
    ]
    for error, expected in cases:
        apart = phase_distances(true + error, true, alike)
        torch.testing.assert_close(apart, torch.tensor(expected).float(), atol=1e-4, rtol=0)


def test_phases_of_bins_without_weight_do_not_count():
    true, weight = noise((1, 9, 7)), torch.zeros(1, 9, 7)
    weight[:, 4:, 3:] = 2.0
    error = torch.where(weight > 0, 0.5, 3 * noise((1, 9, 7), seed=1))
    apart = phase_distances(true + error, true, weight)
    torch.testing.assert_close(apart, torch.tensor([0.5 * 2 * 20 / 63, 0, 0]), atol=1e-4, rtol=0)


def test_the_true_spectrum_has_no_distance_and_the_double_amplitude_a_known_one():
    objective, recorded = make(), 0.1 * noise((2, 2048))
    true = stft(recorded, SPEC, objective.vocoder.griffin_lim.window)
    parts = objective.distances(true.abs().log(), true.angle(), recorded)
    assert [part.item() for part in parts.values()] == pytest.approx([0] * 5, abs=1e-4)
    parts = objective.distances((2 * true).abs().log(), true.angle(), recorded)
    assert parts["amplitude"].item() == pytest.approx(math.log(2) ** 2, rel=1e-3)
    assert parts["convergence"].item() == pytest.approx((math.sqrt(2) - 1) ** 2, rel=1e-3)


def test_frames_with_reflected_samples_do_not_count():
    objective, whole = make(), 0.1 * noise((1, 4096))
    true = stft(whole, SPEC, objective.vocoder.griffin_lim.window)[..., 16:32]
    recorded = whole[:, 16 * 64 : 32 * 64]
    parts = objective.distances(true.abs().log(), true.angle(), recorded)
    assert [part.item() for part in parts.values()] == pytest.approx([0] * 5, abs=1e-4)


def test_the_loss_is_the_weighted_sum_of_its_parts_and_reaches_every_weight():
    objective = make(amplitude_weight=3.0, convergence_weight=2.0, phase_weight=5.0)
    generator = torch.Generator().manual_seed(0)
    batch = objective.draw(tones().sample(2, generator), generator)
    assert (batch["wave"].shape, batch["mel"].shape) == ((2, 4096), (2, 1, 16, 64))
    nn.init.normal_(objective.vocoder.amplitude.weight, std=0.01)
    loss = objective.loss("vocoder", batch, 0)
    parts = loss.parts
    phases = parts["phase"] + parts["group_delay"] + parts["phase_time"]
    total = 3 * parts["amplitude"] + 2 * parts["convergence"] + 5 * phases
    torch.testing.assert_close(loss.mean, total)
    loss.mean.backward()
    assert all(p.grad is not None and p.grad.any() for p in objective.vocoder.parameters())
    assert objective.turns(0) == ("vocoder",)


def judged(*logits):
    return [(torch.tensor([value]), []) for value in logits]


def test_critics_want_1_or_more_for_recorded_and_minus_1_or_less_for_generated():
    assert hinge_critics_loss(judged(1.0, 3.0), judged(-1.0, -5.0)).item() == 0
    assert hinge_critics_loss(judged(0.0, 0.5), judged(0.0, 2.0)).item() == 1 + 1 + 0.5 + 3
    assert hinge_generator_loss(judged(1.0, 0.0, -2.0)).item() == 0 + 1 + 3


def drawn_for(objective):
    generator = torch.Generator().manual_seed(0)
    return objective.draw(tones().sample(2, generator), generator)


def test_critics_judge_from_a_step_on_and_each_turn_trains_its_network_alone():
    objective = make(critics_from=3)
    assert (objective.turns(2), objective.turns(3)) == (("vocoder",), ("critics", "vocoder"))
    batch, vocoder, critics = drawn_for(objective), objective.vocoder, objective.critics
    assert "fooled" not in objective.loss("vocoder", batch, 2).parts
    objective.loss("critics", batch, 3).mean.backward()
    assert all(p.grad is None for p in vocoder.parameters())
    assert all(p.grad is not None for p in critics.parameters())
    critics.zero_grad()
    loss = objective.loss("vocoder", batch, 3)
    loss.mean.backward()
    assert all(p.grad is None for p in critics.parameters())
    assert all(p.grad is not None for p in vocoder.parameters())
    plain = make().loss("vocoder", batch, 3)
    judgement = 0.1 * (loss.parts["fooled"] + 2 * loss.parts["matched"])
    torch.testing.assert_close(loss.mean, plain.mean + judgement)


def test_the_vocoder_runs_once_for_both_turns():
    objective, runs = make(critics_from=0), []
    objective.vocoder.register_forward_hook(lambda *_: runs.append(1))
    batch = drawn_for(objective)
    objective.loss("critics", batch, 0)
    objective.loss("vocoder", batch, 0)
    assert len(runs) == 1


def test_a_segment_must_be_whole_frames():
    with pytest.raises(ValueError, match="segment 1000 is not a multiple of 64"):
        VocosObjective(Vocos(VocosConfig(width=8, depth=1), SPEC), segment=1000)


def test_a_tiny_vocoder_learns_two_tones_and_resumes_exactly(tmp_path):
    config = TrainConfig(
        steps=60, batch_size=2, lr=2e-3, betas=(0.8, 0.99), save_every=100, log_every=10
    )
    whole = train(make(), tones(), config, tmp_path / "whole")
    half = dataclasses.replace(config, steps=25)
    train(make(), tones(), half, tmp_path / "parts")
    parts = train(make(), tones(), config, tmp_path / "parts")
    assert all(torch.equal(parts.weights[name], w) for name, w in whole.weights.items())
    start = make()
    recorded = {"mel": tones().mel, "wave": tones().wave}
    with torch.no_grad():
        before = start.loss("vocoder", recorded, 0).parts
    assert whole.losses["amplitude"] < 0.6 * before["amplitude"].item()
