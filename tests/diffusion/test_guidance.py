import pytest
import torch

from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion.guidance import guided, windowed
from clipsonic_cli.diffusion.guidance_rules import Constant
from clipsonic_cli.diffusion.process import Process

X_T = torch.linspace(-1, 1, 12).reshape(2, 1, 6)
TIMES = torch.tensor([5, 9])
COND = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
UNCOND = torch.tensor([[-1.0, 0.5]])


class Model:
    """Prediction and logits that depend on every input; records the batch size of each call."""

    def __init__(self, learned=True):
        self.learned, self.batches = learned, []

    def __call__(self, x_t, t, cond):
        self.batches.append(len(x_t))
        bias = (cond**2).sum(1) + t
        prediction = x_t + bias.reshape(-1, 1, 1)
        return torch.cat([prediction, -10 * prediction], dim=1) if self.learned else prediction


def run(model, guidance, cond=COND, uncond=UNCOND):
    return guided(model, cond, uncond, constant(guidance))(X_T, TIMES)


def constant(guidance):
    return Constant(guidance, Process(DiffusionConfig(train_steps=10)))


def test_w_zero_ignores_the_condition():
    torch.testing.assert_close(run(Model(), 0, COND), run(Model(), 0, COND * 7))


def test_w_one_ignores_the_absence():
    torch.testing.assert_close(run(Model(), 1.0), run(Model(), 1.0, uncond=UNCOND * 7))


@pytest.mark.parametrize(
    ("guidance", "batches"), [(0, [2]), (0.0, [2]), (1, [2]), (1.5, [4]), (-1, [4])]
)
def test_w_zero_and_one_cost_one_call_and_the_rest_one_doubled(guidance, batches):
    model = Model()
    run(model, guidance)
    assert model.batches == batches


@pytest.mark.parametrize("learned", [True, False])
def test_the_prediction_is_the_papers_combination(learned):
    without = Model()(X_T, TIMES, UNCOND.expand(2, 2))[:, :1]
    with_ = Model()(X_T, TIMES, COND)[:, :1]
    prediction = run(Model(learned), 1.5)[:, :1]
    torch.testing.assert_close(prediction, without + 1.5 * (with_ - without))


def test_the_variance_comes_from_the_conditional_half():
    logits = run(Model(), 3.0)[:, 1:]
    torch.testing.assert_close(logits, Model()(X_T, TIMES, COND)[:, 1:])


def test_every_row_may_steer_away_from_a_condition_of_its_own():
    away = torch.tensor([[0.0, 0.0], [9.0, 9.0]])
    each = [run(Model(), 2.0, uncond=row[None])[i] for i, row in enumerate(away)]
    torch.testing.assert_close(run(Model(), 2.0, uncond=away), torch.stack(each))


def long(frames, rows=2):
    return torch.arange(float(rows * 3 * frames)).reshape(rows, 1, 3, frames)


@pytest.mark.parametrize("hop", [1, 3, 8])
@pytest.mark.parametrize("frames", [8, 9, 16, 21])
def test_windows_of_a_framewise_network_give_the_whole(frames, hop):
    def denoise(x_t, t):
        return torch.cat([x_t * 2, x_t + 1], dim=1)

    whole = denoise(long(frames), TIMES)
    pieces = windowed(denoise, frames, 8, hop)(long(frames), TIMES)
    torch.testing.assert_close(pieces, whole)


def numbered(calls):
    """Return a network whose prediction and logits are the number of its calls."""

    def denoise(x_t, t):
        calls.append(x_t.shape[-1])
        return torch.cat([torch.full_like(x_t, float(len(calls)))] * 2, dim=1)

    return denoise


@pytest.mark.parametrize(("frames", "hop"), [(96, 32), (97, 32), (65, 32), (311, 32), (120, 60)])
def test_no_frame_steps_where_a_window_begins_or_ends(frames, hop):
    calls = []
    out = windowed(numbered(calls), frames, 64, hop)(long(frames), TIMES)[0]
    assert calls == [64] * (-(-(frames - 64) // hop) + 1)
    assert out.diff(dim=-1).abs().max() < 0.25  # equal weights: 0.5 or more
    assert (out[:, :, 0] == 1).all()  # at either end there is one window, which counts in full
    assert (out[:, :, -1] == len(calls)).all()
    torch.testing.assert_close(out[0], out[1])  # the variance logits follow the prediction


def test_windows_that_do_not_overlap_are_put_side_by_side():
    out = windowed(numbered([]), 16, 8, 8)(long(16), TIMES)[0, 0, 0]
    assert out.tolist() == [1.0] * 8 + [2.0] * 8


def test_what_fits_one_window_is_not_cut():
    denoise = guided(Model(), COND, UNCOND, constant(1))
    assert windowed(denoise, 8, 8, 4) is denoise


@pytest.mark.parametrize("hop", [0, 9])
def test_a_hop_that_leaves_gaps_is_rejected(hop):
    with pytest.raises(ValueError, match="hop"):
        windowed(Model(), 20, 8, hop)
