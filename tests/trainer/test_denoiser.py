import json
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clipsonic_cli.config import BridgeConfig, DiffusionConfig, PriorConfig, UNetConfig
from clipsonic_cli.diffusion.process import Process
from clipsonic_cli.models.bridge import SCALE, Bridge
from clipsonic_cli.models.prior import Prior
from clipsonic_cli.models.unet import UNet
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.denoiser import (
    BridgeObjective,
    PriorObjective,
    UNetObjective,
    cosine_for,
    deviation_for,
)
from clipsonic_cli.trainer.loop import train

UNET = UNetConfig(
    channels=32, channel_mult=(1, 1), num_res_blocks=1, attention_downsample=(), num_heads=1,
    cond_dim=4,
)  # fmt: skip
PRIOR = PriorConfig(dim=16, text_dim=8, depth=1, dim_head=32, heads=1, ff_mult=2, max_text_len=3)
PRIOR_PROCESS = Process(
    DiffusionConfig(train_steps=1000, prediction="x0", variance="fixed", clip_x0=False)
)


class Clips:
    """A handful of clips, all in every batch-to-be."""

    def __init__(self, **tensors):
        self.tensors = tensors

    def __len__(self):
        return len(next(iter(self.tensors.values())))

    def name(self, clip):
        return str(clip)

    def sample(self, batch_size, generator):
        clip = torch.randint(len(self), (batch_size,), generator=generator)
        return {"clip": clip, **{name: values[clip] for name, values in self.tensors.items()}}


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Spy(nn.Module):
    """A network that records its inputs and returns zeros."""

    null_cond = nn.Parameter(torch.full((4,), 9.0))

    def __init__(self, channels=2):
        super().__init__()
        self.channels, self.calls = channels, []

    def forward(self, x_t, *rest, **named):
        self.calls.append((x_t, *rest, named))
        return x_t.repeat(1, self.channels, *[1] * (x_t.ndim - 2)) * 0 + self.null_cond.sum() * 0


def clips(count, size=1, dim=4):
    return {
        "clip": torch.arange(count),
        "mel": torch.zeros(count, 1, size, size),
        "embed": F.normalize(torch.ones(count, dim), dim=1),
    }


def unet_call(batch, train_steps=100, variance="learned_range", **options):
    spy = Spy(channels=2 if variance == "learned_range" else 1)
    process = Process(DiffusionConfig(train_steps=train_steps, variance=variance))
    objective = UNetObjective(spy, process, **options)
    drawn = objective.draw(batch, torch.Generator().manual_seed(0))
    loss = objective.loss("unet", drawn, 0)
    return spy.calls[0], drawn, loss


def test_the_condition_is_dropped_for_a_tenth_of_the_clips():
    batch = clips(4000) | {"embed": torch.zeros(4000, 4)}
    (_, _, cond, _), _, _ = unet_call(batch, window=1)
    dropped = (cond == 9).all(dim=1)
    assert ((cond == 0).all(dim=1) | dropped).all()  # a whole vector or none of it
    assert dropped.float().mean().item() == pytest.approx(0.1, abs=3 * (0.09 / 4000) ** 0.5)


def test_windows_are_drawn_from_the_whole_clip():
    """Frames count up by a million, next to which noise is nothing: a window tells its start."""
    mel = (1e6 * torch.arange(10.0)).expand(200, 1, 2, 10)
    (x_t, _, _, _), _, _ = unet_call(clips(200) | {"mel": mel}, window=4)
    frames = x_t[:, 0, 0]  # (B, 4)
    starts = (frames[:, 0] / (frames[:, 1] - frames[:, 0])).round()
    assert x_t.shape == (200, 1, 2, 4)
    assert starts.unique().tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_the_unet_sees_noise_at_the_time_it_is_reported():
    """With silence as data the spread of x_t is the schedule's sigma at its time."""
    (x_t, time, _, _), _, _ = unet_call(clips(64, 32), window=32)
    process = Process(DiffusionConfig(train_steps=100))
    sigma = (1 - process.alphas_cumprod[(time / 10).round().long()]).sqrt()
    assert time.unique().numel() > 20
    torch.testing.assert_close(x_t.std(dim=(1, 2, 3)).double(), sigma, rtol=0.15, atol=0)


def test_all_training_steps_are_drawn_uniformly():
    (_, time, _, _), _, _ = unet_call(clips(5000), window=1)
    counts = torch.histc(time, bins=10, min=0, max=1000)
    assert counts.min() > 420
    assert counts.max() < 580


def test_a_blind_unet_predicting_eps_has_the_squared_error_of_noise():
    """A zero prediction errs by eps, whose mean square is 1; the variance bound adds to it."""
    _, _, loss = unet_call(clips(64, 32), window=32, variance="fixed")
    assert loss.mean.item() == pytest.approx(1.0, abs=0.02)


def test_the_loss_is_reported_for_each_quarter_of_the_schedule():
    _, drawn, loss = unet_call(clips(200, 8), window=8, variance="fixed")
    errors = drawn["eps"].square().mean(dim=(1, 2, 3))
    for quarter in range(4):
        mine = errors[(drawn["t"] >= 25 * quarter) & (drawn["t"] < 25 * quarter + 25)]
        torch.testing.assert_close(loss.parts[f"unet_quarter_{quarter + 1}"], mine)
    torch.testing.assert_close(torch.cat(list(loss.parts.values())).mean(), loss.mean)


def test_min_snr_weighs_each_clips_error():
    """A blind network's error of eps is eps; what it counts is min(snr, 5) / snr."""
    _, drawn, loss = unet_call(clips(64, 8), window=8, variance="fixed", min_snr=5.0)
    alpha_bar = Process(DiffusionConfig(train_steps=100)).alphas_cumprod[drawn["t"]]
    snr = alpha_bar / (1 - alpha_bar)
    errors = drawn["eps"].square().mean(dim=(1, 2, 3))
    assert loss.mean.item() == pytest.approx((errors * snr.clamp(max=5) / snr).mean().item())


@pytest.mark.parametrize("dim", [256, 768])
@pytest.mark.parametrize("cosine", [0.2, 0.33, 0.65, 0.95])
def test_noise_on_the_condition_leaves_the_mean_cosine_that_is_asked_for(dim, cosine):
    """The mean is c + c (1 - c^2) (3 c^2 - 1) / 4D + O(1 / D^2), by expanding a / sqrt(a^2 + b).

    Here a = 1 + s x and b = s^2 chi^2 of D - 1 degrees are the noised vector along and across.
    """
    batch = clips(4000, dim=dim)
    objective = UNetObjective(Spy(), Process(DiffusionConfig()), window=1, cond_cosine=cosine)
    noisy = objective.draw(batch, torch.Generator().manual_seed(0))["embed"]
    torch.testing.assert_close(noisy.norm(dim=1), torch.ones(4000))
    cosines = (noisy * batch["embed"]).sum(dim=1)
    expected = cosine + cosine * (1 - cosine**2) * (3 * cosine**2 - 1) / (4 * dim)
    error = cosines.std().item() / 4000**0.5
    assert cosines.mean().item() == pytest.approx(expected, abs=4 * error)


def test_without_noise_the_condition_is_left_as_it_is():
    batch = clips(3)
    drawn = UNetObjective(Spy(), Process(DiffusionConfig()), window=1).draw(
        batch, torch.Generator().manual_seed(0)
    )
    assert torch.equal(drawn["embed"], batch["embed"])


def test_the_noise_of_capdec_is_a_cosine_of_a_third():
    assert cosine_for(0.016**0.5, 512) == pytest.approx(0.33, abs=0.005)
    assert deviation_for(0.647, 768) == pytest.approx(0.0425, abs=5e-5)


def prior_call(embed, **options):
    batch = {"clip": torch.arange(len(embed)), "embed": embed, "text_embed": embed}
    batch["text_encodings"] = torch.zeros(len(embed), 3, 8)
    spy = Spy(channels=1)
    objective = PriorObjective(spy, PRIOR_PROCESS, **options)
    drawn = objective.draw(batch, torch.Generator().manual_seed(0))
    return spy, drawn, objective.loss("prior", drawn, 0)


def test_the_prior_learns_at_the_scale_of_unit_variance_with_both_texts_dropped_together():
    spy, _, loss = prior_call(F.normalize(random(4000, 16), dim=1))
    x_t, t, _, _, named = spy.calls[0]
    assert named["keep"].float().mean().item() == pytest.approx(0.9, abs=0.015)
    assert named["keep"].dtype == torch.bool
    assert t.dtype == torch.int64
    assert x_t.square().mean().item() == pytest.approx(1.0, abs=0.02)  # variance preserved
    assert loss.mean.item() == pytest.approx(1.0, abs=1e-5)  # of answering zero


def test_an_objective_does_not_change_the_batch():
    embed = F.normalize(random(4, 16), dim=1)
    before = embed.clone()
    prior_call(embed)
    assert torch.equal(before, embed)


def losses_of(objective, clips, run_dir, steps):
    config = TrainConfig(steps=steps, lr=3e-3, log_every=steps // 4)
    train(objective, clips, config, run_dir)
    (name,) = objective.networks
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)[name] for line in lines]


def test_a_tiny_unet_learns_two_clips(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet(UNET)
    mel = torch.stack([torch.full((1, 8, 8), -0.8), torch.full((1, 8, 8), 0.8)])
    clips = Clips(mel=mel, embed=F.normalize(random(2, 4), dim=1))
    objective = UNetObjective(unet, Process(DiffusionConfig(prediction="v")), window=8)
    losses = losses_of(objective, clips, tmp_path, steps=40)
    assert losses[-1] < 0.6 * losses[0]


def test_a_tiny_prior_learns_which_image_goes_with_which_text(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prior = Prior(PRIOR)
    clips = Clips(
        embed=F.normalize(random(2, 16), dim=1),
        text_embed=F.normalize(random(2, 16, seed=1), dim=1),
        text_encodings=random(2, 3, 8, seed=2),
    )
    losses = losses_of(PriorObjective(prior, PRIOR_PROCESS), clips, tmp_path, steps=100)
    assert losses[-1] < 0.4 * losses[0]


def test_a_u_net_is_trained_without_the_priors_package():
    code = "import sys, clipsonic_cli.trainer.denoiser; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"dalle2_pytorch", "torchvision"} & set(done.stdout.split())


def test_a_bridge_learns_where_frames_are_and_keeps_its_means(tmp_path):
    """Its first prediction, 0, errs by the norm of what it learns; of one frame it knows all."""
    bridge = Bridge(BridgeConfig(dim=16, width=16, depth=1, time_dim=8))
    bridge.frame_mean.fill_(0.1)
    objective = BridgeObjective(bridge, PRIOR_PROCESS)
    frames = Clips(embed=F.normalize(random(1, 16), dim=1))
    batch = frames.sample(64, torch.Generator().manual_seed(0))
    drawn = objective.draw(batch, torch.Generator().manual_seed(0))
    first = objective.loss("bridge", drawn, 0).mean.item()
    assert first == pytest.approx(SCALE**2 / 16)
    config = TrainConfig(steps=60, batch_size=16, lr=1e-2, ema_decay=0.0)
    train(objective, frames, config, tmp_path)
    assert objective.loss("bridge", drawn, 0).mean.item() < 0.1 * first
    assert (bridge.frame_mean == 0.1).all()
