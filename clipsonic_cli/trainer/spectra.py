"""The training objective of a vocoder that predicts spectra, with or without critics."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.audio.mel import stft
from clipsonic_cli.config import MelSpec
from clipsonic_cli.models.discriminators import Judgement, MultiResolutionDiscriminator
from clipsonic_cli.models.vocos import AMPLITUDE_FLOOR, Vocos
from clipsonic_cli.trainer.batches import Batch
from clipsonic_cli.trainer.objective import Loss
from clipsonic_cli.trainer.vocoder import Critics, MelDistance, draw_segment, feature_distance

RESOLUTIONS = ((512, 128, 512), (1024, 256, 1024), (2048, 512, 2048))
"""FFT size, hop and window of the critics, in samples."""

Generated = tuple[Tensor, Tensor, Tensor]
"""Waveform, log amplitude and phase."""


class VocosObjective:
    """A mel distance, distances of amplitude and phase from the recording's, and then critics.

    A batch is as that of :class:`~clipsonic_cli.trainer.vocoder.VocoderObjective`.

    Args:
        critics_from: Step from which critics judge spectrograms too; None is never.
        segment: Samples a waveform is cropped to, a multiple of the hop.
        mel_weight: Weight of the mel distance, of each scale.
        amplitude_weight: Weight of the squared difference of log amplitudes.
        phase_weight: Weight of each of the three distances of phases.
        feature_weight: Weight of feature matching.
        scales: Mels compared, summed; None is the generator's own.

    Source: Ai and Ling 2023 (APNet, arXiv 2305.07952); Du et al. 2023 (APNet2, arXiv 2311.11545);
    Lv et al. 2024 (FreeV, arXiv 2406.08196). Those also compare real and imaginary parts.
    """

    main, criterion = "vocoder", "mel"

    def __init__(
        self,
        vocoder: Vocos,
        *,
        critics_from: int | None = None,
        segment: int = 16_384,
        mel_weight: float = 15.0,
        amplitude_weight: float = 10.0,
        phase_weight: float = 5.0,
        feature_weight: float = 2.0,
        scales: Sequence[MelSpec] | None = None,
    ) -> None:
        if segment % vocoder.spec.hop_length:
            raise ValueError(f"segment {segment} is not a multiple of {vocoder.spec.hop_length}")
        self.vocoder, self.segment, self.critics_from = vocoder, segment, critics_from
        self.networks: dict[str, nn.Module] = {"vocoder": vocoder}
        if critics_from is not None:
            self.critics = Critics([MultiResolutionDiscriminator(RESOLUTIONS, channels=8)])
            self.networks["critics"] = self.critics
        self.mel_weight, self.feature_weight = mel_weight, feature_weight
        self.amplitude_weight, self.phase_weight = amplitude_weight, phase_weight
        self.mel_distance = MelDistance(scales or [vocoder.spec])
        self._generated: tuple[Batch, Generated] | None = None

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw the same segment of waveform and mel."""
        return draw_segment(batch, self.segment, self.vocoder.spec.hop_length, generator)

    def turns(self, step: int) -> Sequence[str]:
        """Return the critics, once they judge, and then the vocoder."""
        judged = self.critics_from is not None and step >= self.critics_from
        return ("critics", "vocoder") if judged else ("vocoder",)

    def loss(self, network: str, batch: Batch, step: int) -> Loss:
        """Compute the critics' loss or the vocoder's."""
        recorded = batch["wave"]
        generated, log_amplitude, phase = self._generate(network, batch)
        if network == "critics":
            self.critics.requires_grad_(requires_grad=True)
            judge = self.networks["critics"]
            return Loss(mean=hinge_critics_loss(judge(recorded), judge(generated.detach())))

        distance = self.mel_distance(generated, recorded)
        amplitude, phases = self.spectral_distances(log_amplitude, phase, recorded)
        loss = (
            self.mel_weight * distance
            + self.amplitude_weight * amplitude
            + self.phase_weight * phases.sum()
        )
        names = ("phase", "group_delay", "phase_time")
        parts = dict(zip(names, phases, strict=True))
        parts |= {"mel": distance, "amplitude": amplitude}
        if "critics" not in self.turns(step):
            return Loss(mean=loss, parts=parts)
        self.critics.requires_grad_(requires_grad=False)  # the vocoder's turn needs no more of them
        with torch.no_grad():
            real = self.critics(recorded)
        judged = self.critics(generated)
        fooled, matched = hinge_generator_loss(judged), feature_distance(real, judged)
        loss = loss + fooled + self.feature_weight * matched
        return Loss(mean=loss, parts=parts | {"fooled": fooled, "matched": matched})

    def _generate(self, network: str, batch: Batch) -> Generated:
        """Compute waveform and spectra; the critics' turn keeps them for the vocoder's."""
        kept, self._generated = self._generated, None
        if network == "vocoder" and kept is not None and kept[0] is batch:
            return kept[1]
        generated: Generated = self.networks["vocoder"](batch["mel"], with_spectra=True)
        if network == "critics":
            self._generated = (batch, generated)
        return generated

    def spectral_distances(
        self, log_amplitude: Tensor, phase: Tensor, recorded: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compare a spectrum (B, n_fft // 2 + 1, T) with that of a recording (B, N).

        The outermost frames, of which the recording's windows are reflected, do not count.

        Returns:
            The mean squared difference of log amplitudes, and the distances of
            :func:`phase_distances`.
        """
        spec, edge = self.vocoder.spec, self.vocoder.overlap
        inner = slice(edge, recorded.shape[-1] // spec.hop_length - edge)
        true = stft(recorded, spec, self.vocoder.window)[..., inner]
        true_amplitude = true.abs().clamp(min=AMPLITUDE_FLOOR).log()
        amplitude = F.mse_loss(log_amplitude[..., inner], true_amplitude)
        return amplitude, phase_distances(phase[..., inner], true.angle())


def hinge_critics_loss(recorded: Sequence[Judgement], generated: Sequence[Judgement]) -> Tensor:
    """Compute the critics' loss: recorded audio should be judged 1 or more, generated -1 or less.

    Source: Lim and Ye 2017 (Geometric GAN), as Siuzdak 2023 (Vocos) uses it.
    """
    losses = [
        F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        for (real, _), (fake, _) in zip(recorded, generated, strict=True)
    ]
    return torch.stack(losses).sum()


def hinge_generator_loss(generated: Sequence[Judgement]) -> Tensor:
    """Compute the generator's loss: how far below 1 it is judged.

    Source: Siuzdak 2023 (Vocos).
    """
    return torch.stack([F.relu(1 - logits).mean() for logits, _ in generated]).sum()


def phase_distances(phase: Tensor, true: Tensor) -> Tensor:
    """Compare phases (B, bins, T): (3,) means of distances on the circle, each 0 to pi.

    They are of the phases themselves, of their differences between neighbouring bins (group delay)
    and of those between neighbouring frames (phase time difference).

    Source: Ai and Ling 2023 (APNet, arXiv 2305.07952). The differences there are of both phases,
    which on the circle is the same as of their error.
    """
    error = phase - true
    differences = (error, error.diff(dim=1), error.diff(dim=2))
    return torch.stack([anti_wrapped(difference).mean() for difference in differences])


def anti_wrapped(angle: Tensor) -> Tensor:
    """Return how far angles are from the nearest multiple of 2 pi."""
    return (angle - 2 * math.pi * torch.round(angle / (2 * math.pi))).abs()
