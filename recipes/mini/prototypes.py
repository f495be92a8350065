"""Image features of ImageNet's classes without ImageNet: the classifier's weights turned around.

If features of a class were Gaussian with covariance S, the best linear classifier would have the
weight ``w_c = S^-1 (mean_c - mean)``; so ``mean + S w_c`` is what the tower gives for pictures of
the class. The features of a real, unrelated picture are moved in that direction until the
classifier itself is as sure as it is of photographs.
"""

import torch
from torch import Tensor

SHRINK = 0.7
"""What is kept of the unrelated picture's own deviation from the mean."""
ISOTROPIC = 0.6
"""Shrinkage of the covariance, which is measured on clip art rather than within one class."""
SURE = (0.4, 0.97)
"""The range of probabilities the classifier gives to the right class of most photographs."""


def prototypes(
    classes: list[int],
    real: Tensor,
    weight: Tensor,
    bias: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return one synthetic feature vector for every entry of ``classes``.

    Args:
        classes: ImageNet class indices, repeated as often as wanted (M).
        real: (R, 1280) features of real pictures of anything.
        weight: (1000, 1280) of the classifier.
        bias: (1000,) of the classifier.
        generator: Chooses pictures and certainties.

    Returns:
        (M, 1280) in [0, 6].
    """
    mean = real.mean(0)
    covariance = torch.cov(real.T)
    isotropic = covariance.trace() / len(covariance) * torch.eye(len(covariance))
    covariance = torch.lerp(covariance, isotropic, ISOTROPIC)
    directions = (weight - weight.mean(0)) @ covariance  # (1000, 1280)
    directions = directions / directions.norm(dim=1, keepdim=True)
    reach = torch.linspace(0.5, 40, 80)
    made = []
    for start in range(0, len(classes), 64):
        wanted = torch.tensor(classes[start : start + 64])
        base = real[torch.randint(len(real), (len(wanted),), generator=generator)]
        base = mean + SHRINK * (base - mean)
        low, high = SURE
        sure = low + (high - low) * torch.rand(len(wanted), generator=generator)
        moved = base[:, None] + reach[:, None] * directions[wanted][:, None]  # (M, 80, 1280)
        moved = moved.clamp(0, 6)
        chance = (moved @ weight.T + bias).softmax(-1)
        chance = chance.gather(2, wanted[:, None, None].expand(-1, len(reach), 1))[..., 0]
        enough = (chance >= sure[:, None]).float().argmax(1)  # the first such reach, else 0
        enough = torch.where(chance.amax(1) >= sure, enough, chance.argmax(1))
        made.append(moved[torch.arange(len(wanted)), enough])
    return torch.cat(made)
