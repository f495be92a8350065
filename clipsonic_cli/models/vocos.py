"""A vocoder that predicts a spectrum at the mel's frame rate: natural-log mel to waveform.

Amplitudes begin with what the pseudo-inverse of the mel filters gives; ConvNeXt blocks add what is
missing, and phases; rounds of Griffin-Lim on the mel's own grid, from drawn phases, do the rest.

Source: Siuzdak 2023 (Vocos, arXiv 2306.00814); Lv et al. 2024 (FreeV, arXiv 2406.08196).
"""

from math import ceil
from typing import ClassVar

import torch
from torch import Tensor, nn

from clipsonic_cli.audio.griffin_lim import PHASE_PERIOD, GriffinLim
from clipsonic_cli.audio.mel import istft, mel_filters
from clipsonic_cli.config import MelSpec, VocosConfig
from clipsonic_cli.models.unet import zeroed
from clipsonic_cli.ranges import round_up

KERNEL = 7  # frames that a convolution reads
FIT_STEPS = 10
"""Updates by which the amplitudes take the mel that was given."""
AMPLITUDE_FLOOR = 1e-4
"""Least amplitude in a spectrum: what the mel's floor can still tell, and 16 bits can store."""
LOG_AMPLITUDE_MAX = 8.0
"""Largest log amplitude: that of a full-scale tone is 6.2 with a window of 2048 samples."""

Spectra = tuple[Tensor, Tensor]
"""Log amplitude and phase, both (B, n_fft // 2 + 1, T)."""


class Vocos(nn.Module):
    """A :class:`~clipsonic_cli.types.Vocoder` of ConvNeXt blocks with heads for both spectra.

    The filters blur a spectrum, so that Griffin-Lim alone plays tones out of tune; from the
    amplitudes predicted here it finds them. Phases predicted for each frame, with nothing drawn,
    cannot follow a steady tone, whose frames look alike: critics judge them in training, and they
    are played where a configuration has no rounds, which takes a tenth of the time.

    Args:
        config: Width, depth and rounds.
        spec: The mel it reads, of which the frames are those of its spectrum.

    Source: Lv et al. 2024 (FreeV), where the amplitude starts; Siuzdak 2023 (Vocos), the blocks; Ai
    and Ling 2023 (APNet, arXiv 2305.07952), the phase as the angle of two linear layers. The rounds
    are not theirs.
    """

    part: ClassVar[str | None] = "vocoder"

    inverse: Tensor

    def __init__(self, config: VocosConfig, spec: MelSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.overlap = ceil((spec.n_fft / spec.hop_length - 1) / 2)
        """Frames to either side of its own whose windows reach a sample."""
        convolved = KERNEL // 2 * (config.depth + 1)
        redone = config.rounds * (ceil(spec.n_fft / spec.hop_length) - 1)
        reach = convolved + redone + self.overlap
        self.context = round_up(reach, PHASE_PERIOD) if config.rounds else reach
        """Frames to either side that a sample depends on, at most; with rounds, a multiple of the
        period of the phases that are drawn."""
        with torch.device("cpu"):  # on "meta" these would import PyTorch's compiler, and be lost
            self.griffin_lim = GriffinLim(spec, iterations=config.rounds)
            inverse = torch.linalg.pinv(mel_filters(spec).double()).float()
        width, bins = config.width, spec.n_fft // 2 + 1
        self.register_buffer("inverse", inverse, persistent=False)  # (bins, F)
        self.embed = nn.Conv1d(spec.n_mels, width, KERNEL, padding="same")
        self.norm_pre = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            Block(width, config.ff_mult * width, 1 / config.depth) for _ in range(config.depth)
        )
        self.norm_post = nn.LayerNorm(width)
        self.amplitude = zeroed(nn.Linear(width, bins))
        self.phase = nn.Linear(width, 2 * bins)

    def forward(self, mel: Tensor, *, as_spectra: bool = False) -> Tensor | Spectra:
        """Compute the waveform (B, hop_length * T) of a natural-log mel (B, 1, F, T).

        With ``as_spectra`` it returns what :meth:`spectra` predicts, for training.
        """
        log_amplitude, phase = self.spectra(mel)
        if as_spectra:
            return log_amplitude, phase
        linear = mel.squeeze(1).exp()
        amplitude = self.griffin_lim.fit(log_amplitude.exp(), linear, FIT_STEPS)
        if self.config.rounds:
            phase = self.griffin_lim.random_phase(amplitude)
        return self.griffin_lim.estimate(amplitude, phase)

    def spectra(self, mel: Tensor) -> Spectra:
        """Predict the log amplitude and the phase, in [-pi, pi], both (B, n_fft // 2 + 1, T)."""
        if mel.ndim != 4 or mel.shape[1:3] != (1, self.spec.n_mels):
            raise ValueError(f"need a mel (B, 1, {self.spec.n_mels}, T), got {tuple(mel.shape)}")
        low, high = self.spec.log_min, self.spec.log_max
        mel = mel.squeeze(1)
        x = self.embed((2 * mel - low - high) / (high - low))  # (B, C, T); the mel in [-1, 1]
        x = self.norm_pre(x.mT)
        for block in self.blocks:
            x = block(x)
        x = self.norm_post(x)  # (B, T, C)
        start = (self.inverse @ mel.exp()).abs().clamp(min=AMPLITUDE_FLOOR).log()
        log_amplitude = start + self.amplitude(x).mT
        real, imaginary = self.phase(x).mT.chunk(2, dim=1)
        return log_amplitude.clamp(max=LOG_AMPLITUDE_MAX), torch.atan2(imaginary, real)

    def waveform(self, log_amplitude: Tensor, phase: Tensor) -> Tensor:
        """Transform spectra, as they are, to the waveform (B, hop_length * T)."""
        spectrum = torch.polar(log_amplitude.exp(), phase)
        return istft(spectrum, self.spec, self.griffin_lim.window)


class Block(nn.Module):
    """A ConvNeXt block of (B, T, C): it mixes neighbouring frames, then channels.

    Args:
        width: Channels C.
        hidden: Channels between its two linear layers.
        scale: What its output is multiplied by at the start of training, for every channel.

    Source: Liu et al. 2022 (ConvNeXt), as Vocos uses it.
    """

    def __init__(self, width: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, KERNEL, groups=width, padding="same")
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """Add what the block computes to its input."""
        mixed = self.depthwise(x.mT).mT
        added: Tensor = x + self.scale * self.layers(self.norm(mixed))
        return added
