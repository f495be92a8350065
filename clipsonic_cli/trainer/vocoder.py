"""What the vocoder is trained to lower: spectral distance, and what critics still notice.

Knows: segments, the losses of generator and critics. Does not know: the loop (``trainer.py``) and
where sounds come from.
"""

from collections.abc import Mapping, Sequence

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
from clipsonic_cli.trainer.batches import Batch, Dataset, crop, random_starts
from clipsonic_cli.trainer.objective import Loss


class Critics(nn.ModuleList):
    """All discriminators as one network."""

    def forward(self, waveform: Tensor) -> list[Judgement]:
        """Gives all judgements of a waveform (B, N)."""
        return [judgement for critic in self for judgement in critic(waveform[:, None])]


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

    Attributes:
        criterion: Held-out clips judge by the mel distance, as the critics are no constant judge.

    Source: Kong et al. 2020 (HiFi-GAN), section 2.4; Lee et al. 2023 (BigVGAN), section 3.
    """

    main, criterion = "vocoder", "mel"

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
        self.vocoder, self.critics = vocoder, Critics(critics)
        self.networks: dict[str, nn.Module] = {"vocoder": vocoder, "critics": self.critics}
        self.segment, self.warmup = segment, warmup
        self.mel_weight, self.feature_weight = mel_weight, feature_weight
        self.log_mels = nn.ModuleList(LogMel(spec) for spec in scales or [vocoder.spec])
        self._heard: tuple[Batch, Tensor] | None = None

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Gives the same segment of sound and mel."""
        hop = self.vocoder.spec.hop_length
        frames = self.segment // hop
        starts = random_starts(batch["mel"], frames, generator)
        wave = crop(batch["wave"], starts * hop, self.segment)  # (B, N)
        return {"clip": batch["clip"], "wave": wave, "mel": crop(batch["mel"], starts, frames)}

    def turns(self, step: int) -> Sequence[str]:
        """Gives the critics, once the warm-up is over, and then the vocoder."""
        return ("vocoder",) if step < self.warmup else ("critics", "vocoder")

    def loss(self, network: str, batch: Batch, step: int) -> Loss:
        """Gives the critics' loss or the vocoder's."""
        recorded, generated = batch["wave"], self._generate(network, batch)
        if network == "critics":
            self.critics.requires_grad_(requires_grad=True)
            judge = self.networks["critics"]
            return Loss(mean=critics_loss(judge(recorded), judge(generated.detach())))

        distance = self.mel_distance(generated, recorded)
        if step < self.warmup:
            return Loss(mean=self.mel_weight * distance, parts={"mel": distance})
        self.critics.requires_grad_(requires_grad=False)  # the vocoder's turn needs no more of them
        with torch.no_grad():
            real = self.critics(recorded)
        fooled, matched = generator_losses(real, self.critics(generated))
        loss = fooled + self.feature_weight * matched + self.mel_weight * distance
        return Loss(mean=loss, parts={"mel": distance, "fooled": fooled, "matched": matched})

    def _generate(self, network: str, batch: Batch) -> Tensor:
        """Gives the vocoder's sound, (B, N); the critics' turn leaves it to the vocoder's."""
        heard, self._heard = self._heard, None
        if network == "vocoder" and heard is not None and heard[0] is batch:
            return heard[1]
        generated: Tensor = self.networks["vocoder"](batch["mel"]).float()
        if network == "critics":
            self._heard = (batch, generated)
        return generated

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


@torch.inference_mode()
def compare_vocoders(
    vocoders: Mapping[str, nn.Module], spec: MelSpec, dataset: Dataset, *, clips: int = 32
) -> dict[str, float]:
    """Gives how far each vocoder's sounds are from the mels they were made of.

    Args:
        vocoders: By name; mel (B, 1, F, T) to waveform.
        spec: The mel's geometry.
        dataset: Gives ``mel``, natural logarithm; the same clips at every call.
        clips: How many.

    Returns:
        Mean absolute difference of log-mels by name.
    """
    generator, log_mel = torch.Generator().manual_seed(0), LogMel(spec)
    totals = dict.fromkeys(vocoders, 0.0)
    for _ in range(clips):
        mel = dataset.sample(1, generator)["mel"]
        for name, vocoder in vocoders.items():
            totals[name] += float(F.l1_loss(log_mel(vocoder(mel)), mel)) / clips
    return totals
