"""Where randomness comes from: one generator a sample, so that a sound depends on its seed alone.

Knows nothing of what the noise is for. Nothing here touches the global generator.
"""

from collections.abc import Sequence

import torch


class SeededNoise:
    """A :class:`~clipsonic_cli.types.Noise` with one CPU generator a sample.

    Row i is always drawn in float32 on the CPU from generator i, so neither the batch around a
    sample nor the device or precision it runs in changes its noise. Successive calls continue the
    streams.

    Args:
        seeds: One seed a sample, each in [-2**63, 2**64).
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, shape: Sequence[int], like: torch.Tensor | None = None) -> torch.Tensor:
        """Draw standard normal noise.

        Args:
            shape: (B, ...) with B the number of seeds; the rest is free, such as (B, K, D) for K
                candidates a sample.
            like: Gives the device and the dtype; float32 on the CPU without it.

        Returns:
            Noise of the shape.

        Raises:
            ValueError: ``shape[0]`` is not the number of seeds.
        """
        rows, *rest = shape
        if rows != len(self._generators):
            raise ValueError(f"noise for {rows} samples asked of {len(self._generators)} seeds")
        noise = torch.stack([torch.randn(rest, generator=g) for g in self._generators])
        return noise if like is None else noise.to(dtype=like.dtype).to(device=like.device)
