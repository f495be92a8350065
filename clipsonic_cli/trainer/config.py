"""Hyperparameters of the training loop. Standard library only."""

from dataclasses import dataclass
from typing import Literal

from clipsonic_cli import ranges
from clipsonic_cli.errors import UsageError
from clipsonic_cli.ranges import check_fields, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a network is trained.

    Steps, batch, learning rate and decay of the average default to the paper's (CLIPSonic section
    3); all that makes a training the paper's is in ``training/presets.py``.

    Raises:
        UsageError: A number is out of its range, :data:`ranges.TRAIN`.
    """

    steps: int = 200_000
    """Optimizer steps (paper: 200k on MUSIC, 500k on VGGSound)."""
    batch_size: int = 32
    """Clips a step, over all processes; a multiple of their number."""
    micro_batch: int | None = None
    """Most clips a process computes at once, the rest of its share following before the weights
    move. None is all of them, and fewer once a GPU's memory has run out."""
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's averaging; (0.8, 0.99) for a vocoder (Kong et al. 2020, HiFi-GAN), (0.9, 0.99) in
    dalle2-pytorch's trainer of the prior."""
    eps: float = 1e-8
    """AdamW's; 1e-6 in dalle2-pytorch's trainer of the prior."""
    weight_decay: float = 0.0
    """AdamW's; 0.06 for the prior."""
    decayed: Literal["matrices", "all"] = "matrices"
    """Parameters that decay: those of two axes or more, as in dalle2-pytorch's trainer; or all,
    as in BigVGAN's."""
    warmup: int = 0
    """Steps over which the learning rate rises from 0; see also :func:`longest_warmup`."""
    lr_decay: float = 1.0
    """Factor of the learning rate at each step after the warm-up; 0.9999996 in BigVGAN v2."""
    ema_decay: float = 0.9999
    """Decay of the averaged weights, which are the ones kept."""
    ema_warmup: bool = True
    """Let step n use at most the decay (1 + n) / (10 + n); improved-diffusion does without."""
    prior_dropout: float = 0.0
    """0.05 in LAION's configuration. The U-Net's dropout is in its own configuration."""
    clip_norm: float | None = None
    """Norm that gradients are scaled down to; None leaves them."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward pass; weights and averages stay float32."""
    compile: bool = False
    """Compile the networks, which takes minutes at the first step and the first validation, and
    needs a C++ compiler. Changes nothing but rounding and the draws of dropout, so that either kind
    of run resumes the other's."""
    seed: int = 0
    save_every: int = 5000
    """Steps between checkpoints."""
    keep: int = 2
    """Newest checkpoints kept, besides the best."""
    log_every: int = 100
    """Steps between lines of metrics.jsonl."""
    validate_every: int = 5000
    """Steps between validations, where clips are held out."""
    validate_batches: int = 8
    max_loss: float = 1e4
    """A loss above it, or one that is NaN, ends the training."""
    publish: Literal["best", "last"] = "best"
    """The average that becomes the model: the last, or, where clips are held out, the one with the
    lowest validation loss."""
    publish_dtype: Literal["float16", "float32"] = "float16"

    def __post_init__(self) -> None:
        check_fields(self, ranges.TRAIN)
        betas = tuple(ranges.BETA.check("betas", beta) for beta in self.betas)
        if len(betas) != 2:
            raise UsageError(f"betas are {shown(self.betas)}; they must be two numbers.")
        object.__setattr__(self, "betas", betas)


def longest_warmup(steps: int) -> int:
    """Return the most steps of warm-up that a training of so many steps should have."""
    return steps // 10
