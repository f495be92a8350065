"""The training objective of the vocoder: a GAN with a spectral distance."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.audio.spectral_distance import spectral_distance
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
        """Return all judgements of a waveform (B, N)."""
        return [judgement for critic in self for judgement in critic(waveform[:, None])]


class MelDistance:
    """The mean absolute difference of log-mels, summed over the scales; float32."""

    def __init__(self, scales: Sequence[MelSpec]) -> None:
        self.log_mels = nn.ModuleList(LogMel(spec) for spec in scales)

    def __call__(self, generated: Tensor, recorded: Tensor) -> Tensor:
        """Compare waveforms (B, N)."""
        self.log_mels.to(recorded.device)
        with torch.autocast(recorded.device.type, enabled=False):
            distances = [F.l1_loss(m(generated), m(recorded)) for m in self.log_mels]
        return torch.stack(distances).sum()


class VocoderObjective:
    """A least-squares GAN with feature matching and a mel distance.

    A batch holds ``wave`` (B, hop_length * T) in [-1, 1] and its ``mel`` (B, 1, F, T), natural
    logarithm. The mel is cropped rather than computed from the cropped waveform, so that segments
    have no reflected ends.

    Args:
        segment: Samples a waveform is cropped to, a multiple of the hop.
        warmup: Steps in which the mel distance alone trains the generator, and the critics rest;
            BigVGAN's ``freeze_step``.
        mel_weight: Weight of the mel distance: 45 in BigVGAN v1; 15 with v2's many scales.
        feature_weight: Weight of feature matching.
        scales: Mels compared, summed; None is the generator's own, as in BigVGAN v1.

    Source: Kong et al. 2020 (HiFi-GAN), section 2.4; Lee et al. 2023 (BigVGAN), section 3.
    """

    main, criterion = "vocoder", "mel"  # the loss changes as the critics do

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
            raise ValueError(f"segment {segment} is not a multiple of {vocoder.spec.hop_length}")
        self.vocoder, self.critics = vocoder, Critics(critics)
        self.networks: dict[str, nn.Module] = {"vocoder": vocoder, "critics": self.critics}
        self.segment, self.warmup = segment, warmup
        self.mel_weight, self.feature_weight = mel_weight, feature_weight
        self.mel_distance = MelDistance(scales or [vocoder.spec])
        self._generated: tuple[Batch, Tensor] | None = None

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw the same segment of waveform and mel."""
        return draw_segment(batch, self.segment, self.vocoder.spec.hop_length, generator)

    def turns(self, step: int) -> Sequence[str]:
        """Return the critics, once the warm-up is over, and then the vocoder."""
        return ("vocoder",) if step < self.warmup else ("critics", "vocoder")

    def loss(self, network: str, batch: Batch, step: int) -> Loss:
        """Compute the critics' loss or the vocoder's."""
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
        """Compute the vocoder's waveform (B, N); the critics' turn keeps it for the vocoder's."""
        kept, self._generated = self._generated, None
        if network == "vocoder" and kept is not None and kept[0] is batch:
            return kept[1]
        generated: Tensor = self.networks["vocoder"](batch["mel"]).float()
        if network == "critics":
            self._generated = (batch, generated)
        return generated


def draw_segment(batch: Batch, segment: int, hop: int, generator: torch.Generator) -> Batch:
    """Crop waveforms (B, N) and mels (B, 1, F, T) to the same random segment, in samples."""
    frames = segment // hop
    starts = random_starts(batch["mel"], frames, generator)
    wave = crop(batch["wave"], starts * hop, segment)  # (B, N)
    return {"clip": batch["clip"], "wave": wave, "mel": crop(batch["mel"], starts, frames)}


def critics_loss(recorded: Sequence[Judgement], generated: Sequence[Judgement]) -> Tensor:
    """Compute the critics' loss: recorded audio should be judged 1, generated 0.

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
    """Compute the generator's losses: how far from 1 it is judged, and how far features differ.

    Source: Kong et al. 2020 (HiFi-GAN), eq. 2.
    """
    fooled = [(1 - logits).square().mean() for logits, _ in generated]
    return torch.stack(fooled).sum(), feature_distance(recorded, generated)


def feature_distance(recorded: Sequence[Judgement], generated: Sequence[Judgement]) -> Tensor:
    """Compute how far critics' feature maps differ, summed over all layers.

    Source: Kong et al. 2020 (HiFi-GAN), eq. 4.
    """
    matched = [
        F.l1_loss(fake, real)
        for (_, reals), (_, fakes) in zip(recorded, generated, strict=True)
        for real, fake in zip(reals, fakes, strict=True)
    ]
    return torch.stack(matched).sum()


@torch.inference_mode()
def compare_vocoders(
    vocoders: Mapping[str, nn.Module], dataset: Dataset, *, clips: int = 32
) -> dict[str, float]:
    """Compute the mean spectral distance between recordings and what vocoders make of their mels.

    The same clips are drawn at every call, with ``wave`` (B, N) and ``mel`` (B, 1, F, T).
    """
    generator = torch.Generator().manual_seed(0)
    totals = dict.fromkeys(vocoders, 0.0)
    for _ in range(clips):
        batch = dataset.sample(1, generator)
        for name, vocoder in vocoders.items():
            made = vocoder(batch["mel"])[0]
            totals[name] += spectral_distance(made, batch["wave"][0]) / clips
    return totals
