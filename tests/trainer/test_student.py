"""A student of a Gaussian teacher, all of whose predictions are known."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from clipsonic_cli.config import DiffusionConfig, StudentConfig
from clipsonic_cli.diffusion import ddim
from clipsonic_cli.diffusion.guidance import distilled, guided
from clipsonic_cli.diffusion.guidance_rules import Constant
from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.diffusion.timesteps import halving_timesteps
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.loop import train
from clipsonic_cli.trainer.student import Phase, StudentObjective, phase_at, phases_of

T = 32
SPREAD = 0.3
"""Deviation of the data, whose mean is the condition; that is 0 where that is absent."""


def gaussian(prediction):
    return Process(
        DiffusionConfig(train_steps=T, prediction=prediction, variance="fixed", clip_x0=False)
    )


def level_of(time):
    return (time * T / 1000).round().long()


def expected_x_0(process, x_t, t, mean):
    """E[x_0 | x_t] of a Gaussian."""
    alpha, sigma = process.alpha_sigma(t, x_t)
    gain = alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)
    return mean + gain * (x_t - alpha * mean)


class Linear(nn.Module):
    """Predicts a_t x_t + (b_t + w c_t) cond, of which a Gaussian's guided v is one."""

    def __init__(self):
        super().__init__()
        self.terms = nn.Parameter(torch.zeros(3, T))
        self.null_cond = nn.Parameter(torch.zeros(1))

    def forward(self, x_t, time, cond, w):
        a, b, c = self.terms[:, level_of(time)]
        of_cond = (b + w * c) * cond[:, 0]
        return a[:, None, None, None] * x_t + of_cond[:, None, None, None]


class Teacher(nn.Module):
    """Predicts eps or v for the data, as a U-Net that is trained to the end."""

    def __init__(self, process):
        super().__init__()
        self.process = process
        self.null_cond = nn.Parameter(torch.zeros(1))

    def forward(self, x_t, time, cond, _w=None):
        t = level_of(time)
        x_0 = expected_x_0(self.process, x_t, t, cond[:, :, None, None])
        return self.process.target(x_0, t, self.process.eps_from_x0(x_t, t, x_0))


def batch(count, generator):
    mean = 2 * torch.rand(count, 1, generator=generator) - 1
    noise = torch.randn(count, 1, 1, 1, generator=generator)
    return {
        "clip": torch.arange(count),
        "embed": mean,
        "mel": mean[:, :, None, None] + SPREAD * noise,
    }


def taught(objective):
    """Let the student fit one large batch in each phase, as well as it can; return it."""
    for phase in objective.phases:
        objective.begin(phase.start, objective.student.state_dict)
        learned(objective)
    return objective.student


def learned(objective):
    """Let the student fit one large batch of the present phase, to the end."""
    generator = torch.Generator().manual_seed(objective.phase.calls)
    drawn = objective.draw(batch(200, generator), generator)
    terms = objective.student.terms
    optimizer = torch.optim.LBFGS([terms], max_iter=80, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = objective.loss("student", drawn, 0).mean
        loss.backward()
        return loss

    optimizer.step(closure)
    return objective.student


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_guidance_is_learned_from_whatever_the_teacher_predicts(prediction):
    process = gaussian(prediction)
    teacher = Teacher(process)
    objective = StudentObjective(
        Linear(), teacher, process, phases=[Phase(start=0, calls=32)], window=1
    )
    student, generator = learned(objective), torch.Generator().manual_seed(9)
    x_t = torch.randn(64, 1, 1, 1, generator=generator)
    cond = torch.rand(64, 1, generator=generator)
    rule = Constant(3.0, process)
    theirs = guided(lambda x, t, c: teacher(x, t * 1000 / T, c), cond, teacher.null_cond, rule)
    ours = distilled(lambda x, t, c, w: student(x, t * 1000 / T, c, w), cond, rule)
    for level in (31, 24, 8):
        t = torch.full((64,), level)
        expected = process.predict_x0(x_t, t, theirs(x_t, t))
        got = objective.process.predict_x0(x_t, t, ours(x_t, t))
        torch.testing.assert_close(got, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("calls", [4, 1])
def test_few_calls_end_where_all_steps_of_the_guided_teacher_do(calls):
    process = gaussian("v")
    objective = StudentObjective(
        Linear(), Teacher(process), process, phases=[Phase(start=0, calls=32)], window=1
    )
    guided_alone = learned(objective)
    counts = [n for n in (16, 8, 4, 2, 1) if n >= calls]
    phases = [Phase(start=place, calls=n) for place, n in enumerate(counts)]
    student = Linear()
    student.load_state_dict(guided_alone.state_dict())
    objective = StudentObjective(student, Linear(), process, phases=phases, window=1)
    taught(objective)
    generator = torch.Generator().manual_seed(9)
    x_T = torch.randn(64, 1, 1, 1, generator=generator)  # noqa: N806
    cond, rule = torch.rand(64, 1, generator=generator), Constant(2.0, process)

    def solved(denoise, steps):
        timesteps = halving_timesteps(T, steps)
        return ddim.sample(denoise, x_T, timesteps, process, noise=SeededNoise([]))

    def error(network):
        ours = distilled(lambda x, t, c, w: network(x, t * 1000 / T, c, w), cond, rule)
        return (solved(ours, calls) - expected).abs().max().item()

    teacher = Teacher(process)
    theirs = guided(lambda x, t, c: teacher(x, t * 1000 / T, c), cond, teacher.null_cond, rule)
    expected = solved(theirs, T)
    assert error(student) < 0.04 < 0.1 < error(guided_alone)


def test_the_error_of_v_is_that_of_x_0_weighted_by_snr_plus_one():
    process = gaussian("v")
    objective = StudentObjective(
        Linear(), Teacher(process), process, phases=[Phase(start=0, calls=32)], window=1
    )
    drawn = objective.draw(batch(64, torch.Generator().manual_seed(0)), torch.Generator())
    t = drawn["level"] * 32 >> 30
    x_t = process.q_sample(drawn["x_0"], t, drawn["eps"])
    mean, w = drawn["embed"][:, :, None, None], drawn["guidance"][:, None, None, None]
    without, with_ = (expected_x_0(process, x_t, t, m) for m in (0 * mean, mean))
    target = without + w * (with_ - without)
    missed = process.x0_from_prediction(x_t, t, torch.zeros_like(x_t)) - target
    snr_plus_one = 1 / (1 - process.alphas_cumprod[t])
    expected = (missed.square().flatten() * snr_plus_one).mean()
    assert objective.loss("student", drawn, 0).mean.item() == pytest.approx(expected.item(), 1e-4)


def test_the_student_is_trained_at_the_levels_that_it_visits():
    process, seen = gaussian("v"), Counter()

    class Spy(Linear):
        def forward(self, x_t, time, cond, w):
            seen.update(level_of(time).tolist())
            return super().forward(x_t, time, cond, w)

    objective = StudentObjective(
        Spy(), Linear(), process, phases=[Phase(start=0, calls=4)], window=1
    )
    generator = torch.Generator().manual_seed(0)
    objective.loss("student", objective.draw(batch(400, generator), generator), 0)
    assert sorted(seen, reverse=True) == halving_timesteps(T, 4)
    assert min(seen.values()) > 70


def test_w_is_drawn_from_the_whole_range():
    objective = StudentObjective(
        Linear(), Linear(), gaussian("v"), phases=phases_of(4, 60), window=1, max_guidance=3.0
    )
    w = objective.draw(batch(1000, torch.Generator().manual_seed(0)), torch.Generator())["guidance"]
    assert 0 <= w.min() < 0.1 < 2.9 < w.max() <= 3


def test_the_steps_are_shared_out_among_guidance_and_the_halvings():
    assert phases_of(4, 60) == [
        Phase(start=0, calls=32),
        Phase(start=20, calls=16),
        Phase(start=30, calls=8),
        Phase(start=40, calls=4),
    ]
    assert [(p.start, p.calls) for p in phases_of(1, 8)] == [
        (0, 32), (2, 16), (3, 8), (4, 4), (5, 2), (6, 1),
    ]  # fmt: skip
    assert [phase_at(phases_of(4, 60), step).calls for step in (0, 19, 20, 59, 60)] == [
        32, 32, 16, 4, 4,
    ]  # fmt: skip


def test_a_phase_begins_with_the_average_of_the_one_before():
    objective = StudentObjective(
        Linear(), Linear(), gaussian("v"), phases=phases_of(4, 60), window=1
    )
    average = Linear().state_dict() | {"terms": torch.ones(3, T)}
    objective.begin(19, lambda: average)
    assert not objective.teacher.terms.any()
    objective.begin(20, lambda: average)
    assert objective.phase.calls == 16
    for network in (objective.student, objective.teacher):
        assert torch.equal(network.terms, average["terms"])


SMALL = StudentConfig(
    channels=32, channel_mult=(1, 1), num_res_blocks=1, attention_downsample=(), num_heads=1,
    cond_dim=4,
)  # fmt: skip


class Clips:
    """Eight clips of noise."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.mel = torch.randn(8, 1, 8, 8, generator=generator)
        self.embed = nn.functional.normalize(torch.randn(8, 4, generator=generator), dim=1)

    def __len__(self):
        return 8

    def name(self, clip):
        return str(clip)

    def sample(self, batch_size, generator):
        clip = torch.randint(8, (batch_size,), generator=generator)
        return {"clip": clip, "mel": self.mel[clip], "embed": self.embed[clip]}


def small_student(steps=12):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        student, teacher = UNet(SMALL), UNet(SMALL)
    process = Process(DiffusionConfig(prediction="v"))
    return StudentObjective(student, teacher, process, phases=phases_of(4, steps), window=8)


def test_a_resumed_training_goes_on_in_its_phase_with_its_teacher(tmp_path):
    """Interrupted in every phase and between two; nothing but the folder is kept."""
    config = TrainConfig(steps=12, batch_size=1, lr=1e-3, save_every=12, ema_decay=0.5)
    whole = train(small_student(), Clips(), config, tmp_path / "whole")
    for steps in (3, 4, 7, 12):
        parts = train(small_student(), Clips(), replace(config, steps=steps), tmp_path / "parts")
    assert whole.weights.keys() == parts.weights.keys()
    for name, weight in whole.weights.items():
        assert torch.equal(weight, parts.weights[name]), name


def test_the_absent_condition_stays_the_teachers(tmp_path):
    objective = small_student()
    before = objective.student.null_cond.clone()
    config = TrainConfig(steps=3, batch_size=2, lr=1e-2, weight_decay=0.1)
    after = train(objective, Clips(), config, tmp_path)
    assert torch.equal(after.weights["null_cond"], before)
    assert after.weights["guidance_embed.2.weight"].any()
