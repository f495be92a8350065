"""What the vocoder is trained to lower: spectral distance, and what critics still notice.

Knows: segments, the losses of generator and critics. Does not know: the loop (``trainer.py``) and
where sounds come from.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec
from clipsonic_cli.models.bigvgan import BigVGAN
from clipsonic_cli.models.discriminators import (
    Judgement,
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
)
from clipsonic_cli.training.batches import Batch, crop, random_starts
from clipsonic_cli.training.trainer import Turn


class VocoderObjective:
    """A least-squares GAN with feature matching and a mel distance.

    A batch holds ``wave`` (B, hop_length * T) in [-1, 1] and its ``mel`` (B, 1, F, T), natural
    logarithm. The mel is cropped rather than made from the cropped sound, so that segments have
    no reflected ends.

    Args:
        vocoder: The generator.
        critics: The discriminators.
        segment: Samples a sound is cropped to, a multiple of the hop.
        warmup: Steps in which the mel distance alone trains the generator, and the critics rest;
            BigVGAN's ``freeze_step``.
        mel_weight: Weight of the mel distance: 45 in BigVGAN v1; 15 with v2's many scales.
        feature_weight: Weight of feature matching.
        scales: Mels compared, summed; None is the generator's own, as in BigVGAN v1.

    Raises:
        ValueError: The segment is no multiple of the hop.

    Source: Kong et al. 2020 (HiFi-GAN), section 2.4; Lee et al. 2023 (BigVGAN), section 3.
    """

    def __init__(
        self,
        vocoder: BigVGAN,
        critics: Sequence[MultiPeriodDiscriminator | MultiResolutionDiscriminator],
        *,
        segment: int = 8192,
        warmup: int = 0,
        mel_weight: float = 45.0,
        feature_weight: float = 2.0,
        scales: Sequence[MelSpec] | None = None,
    ) -> None:
        if segment % vocoder.spec.hop_length:
            raise ValueError(f"segment {segment} is no multiple of {vocoder.spec.hop_length}")
        self.vocoder, self.critics = vocoder, nn.ModuleList(critics)
        self.networks: Mapping[str, nn.Module] = {"vocoder": vocoder, "critics": self.critics}
        self.segment, self.warmup = segment, warmup
        self.mel_weight, self.feature_weight = mel_weight, feature_weight
        self.log_mels = nn.ModuleList(LogMel(spec) for spec in scales or [vocoder.spec])

    def turns(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Turn]:
        """Gives the critics' loss, once the warm-up is over, and then the vocoder's."""
        hop = self.vocoder.spec.hop_length
        frames = self.segment // hop
        starts = random_starts(batch["mel"], frames, generator)
        recorded = crop(batch["wave"], starts * hop, self.segment)  # (B, N)
        generated = self.vocoder(crop(batch["mel"], starts, frames)).float()
        distance = self.mel_distance(generated, recorded)
        if step < self.warmup:
            yield Turn(network="vocoder", loss=self.mel_weight * distance, parts={"mel": distance})
            return

        self.critics.requires_grad_(requires_grad=True)
        yield Turn(
            network="critics",
            loss=critics_loss(self.judge(recorded), self.judge(generated.detach())),
        )
        self.critics.requires_grad_(requires_grad=False)  # the vocoder's turn needs no more of them
        with torch.no_grad():
            real = self.judge(recorded)
        fooled, matched = generator_losses(real, self.judge(generated))
        loss = fooled + self.feature_weight * matched + self.mel_weight * distance
        parts = {"mel": distance, "fooled": fooled, "matched": matched}
        yield Turn(network="vocoder", loss=loss, parts=parts)

    def judge(self, waveform: Tensor) -> list[Judgement]:
        """Gives all critics' judgements of (B, N)."""
        return [judgement for critic in self.critics for judgement in critic(waveform[:, None])]

    def mel_distance(self, generated: Tensor, recorded: Tensor) -> Tensor:
        """Gives the mean absolute difference of log-mels, summed over the scales; float32."""
        self.log_mels.to(recorded.device)
        with torch.autocast(recorded.device.type, enabled=False):
            distances = [F.l1_loss(m(generated), m(recorded)) for m in self.log_mels]
        return torch.stack(distances).sum()


def critics_loss(recorded: Sequence[Judgement], generated: Sequence[Judgement]) -> Tensor:
    """Gives what critics lower: recorded sound should be judged 1, generated 0.

    Source: Mao et al. 2017 (LSGAN), eq. 2, as HiFi-GAN uses it.
    """
    losses = [
        (1 - real).square().mean() + fake.square().mean()
        for (real, _), (fake, _) in zip(recorded, generated, strict=True)
    ]
    return torch.stack(losses).sum()


def generator_losses(
    recorded: Sequence[Judgement], generated: Sequence[Judgement]
) -> tuple[Tensor, Tensor]:
    """Gives what the generator lowers: how far from 1 it is judged, and how far features differ.

    Source: Kong et al. 2020 (HiFi-GAN), eqs. 2 and 4.
    """
    fooled = torch.stack([(1 - logits).square().mean() for logits, _ in generated]).sum()
    matched = torch.stack(
        [
            F.l1_loss(fake, real)
            for (_, reals), (_, fakes) in zip(recorded, generated, strict=True)
            for real, fake in zip(reals, fakes, strict=True)
        ]
    ).sum()
    return fooled, matched
