"""Draw noise from one generator per sample, so that a sample depends on its seed alone."""

from collections.abc import Sequence

import torch


class SeededNoise:
    """A :class:`~clipsonic_cli.types.Noise` with a CPU generator per seed in [-2**63, 2**64).

    Row i is always drawn in float32 on the CPU from generator i, so neither the batch nor the
    device or precision changes its noise. Successive calls continue the streams.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, shape: Sequence[int], like: torch.Tensor | None = None) -> torch.Tensor:
        """Draw standard normal noise (B, ...), with B the number of seeds.

        Device and dtype are those of ``like``; float32 on the CPU without it.
        """
        rows, *row_shape = shape
        if rows != len(self._generators):
            raise ValueError(f"{len(self._generators)} seeds cannot draw noise for {rows} samples")
        noise = torch.stack([torch.randn(row_shape, generator=g) for g in self._generators])
        return noise if like is None else noise.to(dtype=like.dtype).to(device=like.device)
