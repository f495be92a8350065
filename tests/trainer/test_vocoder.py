import dataclasses
from functools import partial

import pytest
import torch
from tones import Tones

from clipsonic_cli.config import MelSpec, VocoderConfig
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.models.discriminators import (
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
)
from clipsonic_cli.trainer.config import TrainConfig
from clipsonic_cli.trainer.loop import train
from clipsonic_cli.trainer.vocoder import VocoderObjective, critics_loss, generator_losses

SPEC = MelSpec(n_fft=256, hop_length=64, n_mels=16)
tones = partial(Tones, SPEC, 4096, (440, 1500))
CONFIG = VocoderConfig(
    channels=16, upsample_rates=(8, 8), upsample_kernel_sizes=(16, 16), resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1,),),
)  # fmt: skip


def make(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vocoder = BigVGAN(CONFIG, SPEC)
        vocoder.add_weight_norm()
        critics = [
            MultiPeriodDiscriminator([2, 3], channels=2),
            MultiResolutionDiscriminator([(128, 32, 128)], channels=2),
        ]
    return VocoderObjective(vocoder, critics, segment=1024, **options)


def judgement(logit, feature):
    return torch.full((2, 5), logit), [torch.full((2, 3), feature)]


def test_critics_want_ones_for_recorded_and_zeros_for_generated():
    right = critics_loss([judgement(1.0, 0.0)], [judgement(0.0, 0.0)])
    wrong = critics_loss([judgement(0.0, 0.0)] * 2, [judgement(3.0, 0.0)] * 2)
    assert (right.item(), wrong.item()) == (0.0, 20.0)


def test_the_generator_wants_ones_and_the_same_features():
    fooled, matched = generator_losses(
        [judgement(0.0, 1.5), judgement(0.0, 2.0)], [judgement(1.0, 1.0), judgement(3.0, 2.0)]
    )
    assert (fooled.item(), matched.item()) == (4.0, 0.5)


def test_the_mel_distance_of_a_sound_to_itself_is_zero_and_of_doubling_is_log_two():
    wave = tones().wave
    objective = make()
    assert objective.mel_distance(wave, wave).item() == 0
    noise = torch.randn(1, 4096, generator=torch.Generator().manual_seed(0)) * 0.1
    assert objective.mel_distance(2 * noise, noise).item() == pytest.approx(0.6931, abs=1e-3)


def test_scales_add_up():
    noise = torch.randn(1, 4096, generator=torch.Generator().manual_seed(0)) * 0.1
    scales = [SPEC, dataclasses.replace(SPEC, n_fft=512, hop_length=128)]
    assert make(scales=scales).mel_distance(2 * noise, noise).item() == pytest.approx(
        2 * 0.6931, abs=2e-3
    )


def test_segments_of_wave_and_mel_belong_together():
    """A vocoder that is handed the truth by frame number gives it back without distance."""
    objective = make(warmup=1)
    frames = torch.arange(64.0)

    class Oracle(torch.nn.Module):
        spec = SPEC

        def forward(self, mel):
            return mel[:, 0, 0].repeat_interleave(64, dim=1).requires_grad_()

    objective.networks["vocoder"] = Oracle()
    mel = frames.expand(8, 1, 16, 64)
    batch = {"clip": torch.arange(8), "mel": mel}
    batch["wave"] = frames.repeat_interleave(64).expand(8, -1)
    drawn = objective.draw(batch, torch.Generator().manual_seed(0))
    assert objective.loss("vocoder", drawn, 0).parts["mel"].item() == 0


def drawn_for(objective):
    generator = torch.Generator().manual_seed(0)
    return objective.draw(tones().sample(2, generator), generator)


def test_critics_rest_during_the_warmup():
    objective = make(warmup=3)
    assert objective.turns(2) == ("vocoder",)
    assert objective.turns(3) == ("critics", "vocoder")


def test_the_vocoders_turn_leaves_no_gradient_in_the_critics():
    objective = make()
    objective.loss("vocoder", drawn_for(objective), 0).mean.backward()
    assert all(parameter.grad is None for parameter in objective.critics.parameters())
    assert all(p.grad is not None for p in objective.vocoder.parameters())


def test_the_critics_turn_leaves_no_gradient_in_the_vocoder():
    objective = make()
    objective.loss("critics", drawn_for(objective), 0).mean.backward()
    assert all(parameter.grad is None for parameter in objective.vocoder.parameters())
    assert all(p.grad is not None for p in objective.critics.parameters())


def test_the_vocoder_runs_once_for_both_turns_but_again_for_another_batch():
    objective, runs = make(), []
    objective.vocoder.register_forward_hook(lambda *_: runs.append(1))
    batch, other = drawn_for(objective), drawn_for(objective)
    objective.loss("critics", batch, 0)
    shared = objective.loss("vocoder", batch, 0)
    assert len(runs) == 1
    objective.loss("critics", other, 0)
    again = objective.loss("vocoder", batch, 0)
    assert len(runs) == 3
    assert torch.equal(shared.mean, again.mean)


def test_a_segment_must_be_whole_frames():
    with pytest.raises(ValueError, match="segment 1000 is not a multiple of 64"):
        VocoderObjective(BigVGAN(CONFIG, SPEC), [], segment=1000)


def test_a_tiny_vocoder_learns_two_tones_and_resumes_exactly(tmp_path):
    config = TrainConfig(
        steps=40, batch_size=2, lr=2e-3, betas=(0.8, 0.99), save_every=100, log_every=10
    )
    whole = train(make(warmup=20), tones(), config, tmp_path / "whole")
    half = dataclasses.replace(config, steps=25)
    train(make(warmup=20), tones(), half, tmp_path / "parts")
    parts = train(make(warmup=20), tones(), config, tmp_path / "parts")
    assert all(torch.equal(parts.weights[name], w) for name, w in whole.weights.items())
    start = make().mel_distance(make().vocoder(tones().mel).detach(), tones().wave)
    assert whole.losses["mel"] < 0.6 * start.item()
