"""The training objective of a vocoder that predicts spectra, with or without critics."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipsonic_cli.audio.mel import stft
from clipsonic_cli.models.discriminators import Judgement, MultiResolutionDiscriminator
from clipsonic_cli.models.vocos import AMPLITUDE_FLOOR, Spectra, Vocos
from clipsonic_cli.trainer.batches import Batch
from clipsonic_cli.trainer.objective import Loss
from clipsonic_cli.trainer.vocoder import Critics, draw_segment, feature_distance

RESOLUTIONS = ((512, 128, 512), (1024, 256, 1024), (2048, 512, 2048))
"""FFT size, hop and window of the critics, in samples."""
FAINT = 0.02
"""Least mean weight of a spectrum's bins, so that noise at the floor does not count as a sound."""


class VocosObjective:
    """Distances of amplitude and phase from the recording's, and critics of the waveform.

    What Griffin-Lim makes of a spectrum is not trained, nor is any mel compared: the vocoder takes
    that from what it is given. A batch is as that of
    :class:`~clipsonic_cli.trainer.vocoder.VocoderObjective`.

    Args:
        critics_from: Step from which critics judge spectrograms too; None is never.
        segment: Samples a waveform is cropped to, a multiple of the hop.
        amplitude_weight: Weight of the squared difference of log amplitudes.
        convergence_weight: Weight of the spectral convergence.
        phase_weight: Weight of each of the three distances of phases.
        critics_weight: Weight of the critics' judgement.
        feature_weight: Weight of feature matching within it.

    Source: Ai and Ling 2023 (APNet, arXiv 2305.07952) for the distances of log amplitudes and of
    phases, which all bins have alike there; Arik et al. 2018 (arXiv 1808.06719) for the
    convergence, of amplitudes.
    """

    main, criterion = "vocoder", "amplitude"

    def __init__(
        self,
        vocoder: Vocos,
        *,
        critics_from: int | None = None,
        segment: int = 16_384,
        amplitude_weight: float = 1.0,
        convergence_weight: float = 20.0,
        phase_weight: float = 0.3,
        critics_weight: float = 0.1,
        feature_weight: float = 2.0,
    ) -> None:
        if segment % vocoder.spec.hop_length:
            raise ValueError(f"segment {segment} is not a multiple of {vocoder.spec.hop_length}")
        self.vocoder, self.segment, self.critics_from = vocoder, segment, critics_from
        self.networks: dict[str, nn.Module] = {"vocoder": vocoder}
        if critics_from is not None:
            self.critics = Critics([MultiResolutionDiscriminator(RESOLUTIONS, channels=8)])
            self.networks["critics"] = self.critics
        self.amplitude_weight, self.convergence_weight = amplitude_weight, convergence_weight
        self.phase_weight, self.critics_weight = phase_weight, critics_weight
        self.feature_weight = feature_weight
        self._predicted: tuple[Batch, Spectra] | None = None

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
        spectra = self._predict(network, batch)
        if network == "critics":
            self.critics.requires_grad_(requires_grad=True)
            judge, generated = self.networks["critics"], self.vocoder.waveform(*spectra).detach()
            return Loss(mean=hinge_critics_loss(judge(recorded), judge(generated)))

        parts = self.distances(*spectra, recorded)
        loss = (
            self.amplitude_weight * parts["amplitude"]
            + self.convergence_weight * parts["convergence"]
            + self.phase_weight * (parts["phase"] + parts["group_delay"] + parts["phase_time"])
        )
        if "critics" not in self.turns(step):
            return Loss(mean=loss, parts=parts)
        self.critics.requires_grad_(requires_grad=False)  # the vocoder's turn needs no more of them
        with torch.no_grad():
            real = self.critics(recorded)
        judged = self.critics(self.vocoder.waveform(*spectra))
        fooled, matched = hinge_generator_loss(judged), feature_distance(real, judged)
        loss = loss + self.critics_weight * (fooled + self.feature_weight * matched)
        return Loss(mean=loss, parts=parts | {"fooled": fooled, "matched": matched})

    def _predict(self, network: str, batch: Batch) -> Spectra:
        """Predict the spectra; the critics' turn keeps them for the vocoder's."""
        kept, self._predicted = self._predicted, None
        if network == "vocoder" and kept is not None and kept[0] is batch:
            return kept[1]
        spectra: Spectra = self.networks["vocoder"](batch["mel"], as_spectra=True)
        if network == "critics":
            self._predicted = (batch, spectra)
        return spectra

    def distances(
        self, log_amplitude: Tensor, phase: Tensor, recorded: Tensor
    ) -> dict[str, Tensor]:
        """Compare a spectrum (B, n_fft // 2 + 1, T) with that of a recording (B, N).

        The outermost frames, of which the recording's windows are reflected, do not count. Phases
        and the convergence count where a recording is loud: by the square root of its amplitudes.

        Returns:
            ``amplitude``, the mean squared difference of logarithms; ``convergence``, the squared
            difference of square roots as a share; and the three of :func:`phase_distances`.
        """
        spec, edge = self.vocoder.spec, self.vocoder.overlap
        inner = slice(edge, recorded.shape[-1] // spec.hop_length - edge)
        true = stft(recorded, spec, self.vocoder.griffin_lim.window)[..., inner]
        log_amplitude, phase = log_amplitude[..., inner], phase[..., inner]
        true_amplitude = true.abs().clamp(min=AMPLITUDE_FLOOR)
        root = true_amplitude.sqrt()
        apart = ((log_amplitude / 2).exp() - root).square().sum((1, 2))
        weight = root / root.mean((1, 2), keepdim=True).clamp(min=FAINT)
        names = ("phase", "group_delay", "phase_time")
        return {
            "amplitude": F.mse_loss(log_amplitude, true_amplitude.log()),
            "convergence": (apart / true_amplitude.sum((1, 2)).clamp(min=1)).mean(),
            **dict(zip(names, phase_distances(phase, true.angle(), weight), strict=True)),
        }


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


def phase_distances(phase: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Compare phases (B, bins, T): (3,) weighted means of distances on the circle.

    They are of the phases themselves, of their differences between neighbouring bins (group delay)
    and of those between neighbouring frames (phase time difference), of which the lesser weight
    (B, bins, T) counts.

    Source: Ai and Ling 2023 (APNet, arXiv 2305.07952). The differences there are of both phases,
    which on the circle is the same as of their error.
    """
    error = phase - true
    by_bin = torch.minimum(weight[:, 1:], weight[:, :-1])
    by_frame = torch.minimum(weight[..., 1:], weight[..., :-1])
    pairs = ((error, weight), (error.diff(dim=1), by_bin), (error.diff(dim=2), by_frame))
    return torch.stack([(anti_wrapped(angle) * share).mean() for angle, share in pairs])


def anti_wrapped(angle: Tensor) -> Tensor:
    """Return how far angles are from the nearest multiple of 2 pi."""
    return (angle - 2 * math.pi * torch.round(angle / (2 * math.pi))).abs()
