"""The training objective of a vocoder that predicts spectra, without critics."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.audio.mel import stft
from clipsonic_cli.config import MelSpec
from clipsonic_cli.models.vocos import AMPLITUDE_FLOOR, Vocos
from clipsonic_cli.trainer.batches import Batch
from clipsonic_cli.trainer.objective import Loss
from clipsonic_cli.trainer.vocoder import MelDistance, draw_segment


class VocosObjective:
    """A mel distance, and distances of amplitude and phase from the recording's.

    A batch is as that of :class:`~clipsonic_cli.trainer.vocoder.VocoderObjective`.

    Args:
        segment: Samples a waveform is cropped to, a multiple of the hop.
        mel_weight: Weight of the mel distance, of each scale.
        amplitude_weight: Weight of the squared difference of log amplitudes.
        phase_weight: Weight of each of the three distances of phases.
        scales: Mels compared, summed; None is the generator's own.

    Source: Ai & Ling 2023 (APNet, arXiv 2305.07952); Du et al. 2023 (APNet2, arXiv 2311.11545); Lv
    et al. 2024 (FreeV, arXiv 2406.08196). Those also compare real and imaginary parts.
    """

    main, criterion = "vocoder", "mel"

    def __init__(
        self,
        vocoder: Vocos,
        *,
        segment: int = 16_384,
        mel_weight: float = 15.0,
        amplitude_weight: float = 10.0,
        phase_weight: float = 5.0,
        scales: Sequence[MelSpec] | None = None,
    ) -> None:
        if segment % vocoder.spec.hop_length:
            raise ValueError(f"segment {segment} is not a multiple of {vocoder.spec.hop_length}")
        self.vocoder, self.segment = vocoder, segment
        self.networks: dict[str, nn.Module] = {"vocoder": vocoder}
        self.mel_weight = mel_weight
        self.amplitude_weight, self.phase_weight = amplitude_weight, phase_weight
        self.mel_distance = MelDistance(scales or [vocoder.spec])

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw the same segment of waveform and mel."""
        return draw_segment(batch, self.segment, self.vocoder.spec.hop_length, generator)

    def turns(self, _step: int) -> Sequence[str]:
        """Return the vocoder."""
        return ("vocoder",)

    def loss(self, _network: str, batch: Batch, _step: int) -> Loss:
        """Compute the vocoder's loss."""
        recorded = batch["wave"]
        generated, log_amplitude, phase = self.networks["vocoder"](batch["mel"], with_spectra=True)
        distance = self.mel_distance(generated, recorded)
        amplitude, phases = self.spectral_distances(log_amplitude, phase, recorded)
        loss = (
            self.mel_weight * distance
            + self.amplitude_weight * amplitude
            + self.phase_weight * phases.sum()
        )
        names = ("phase", "group_delay", "phase_time")
        parts = dict(zip(names, phases, strict=True))
        return Loss(mean=loss, parts={"mel": distance, "amplitude": amplitude, **parts})

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


def phase_distances(phase: Tensor, true: Tensor) -> Tensor:
    """Compare phases (B, bins, T): (3,) means of distances on the circle, each 0 to pi.

    They are of the phases themselves, of their differences between neighbouring bins (group delay)
    and of those between neighbouring frames (phase time difference).

    Source: Ai & Ling 2023 (APNet, arXiv 2305.07952). The differences there are of both phases, which
    on the circle is the same as of their error.
    """
    error = phase - true
    differences = (error, error.diff(dim=1), error.diff(dim=2))
    return torch.stack([anti_wrapped(difference).mean() for difference in differences])


def anti_wrapped(angle: Tensor) -> Tensor:
    """Return how far angles are from the nearest multiple of 2 pi."""
    return (angle - 2 * math.pi * torch.round(angle / (2 * math.pi))).abs()
