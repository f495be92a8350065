"""The embedded backbone: audio and prompts in one space, without any download."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from clipsonic_cli.audio.mel import LogMel, normalize
from clipsonic_cli.encoders.clip import ClipModel, load_clip
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.metrics.windows import at_rate, spread
from clipsonic_cli.models.listener import Listener, ListenerConfig
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.store import bundle
from clipsonic_cli.store.model_folders import BUNDLED, SUFFIX
from clipsonic_cli.text import names_any

BATCH = 32
"""Windows embedded at once."""


@functools.cache
def known_labels() -> tuple[str, ...]:
    """Return the labels of the sounds that the embedded networks were trained on."""
    return tuple(bundle.labels_of(bundle.read_header(BUNDLED / "mini" / f"unet{SUFFIX}")))


def names_known_label(text: str) -> bool:
    """Return whether one of :func:`known_labels` is among the words of a text."""
    return names_any(text, known_labels())


class MiniBackbone:
    """The small audio-text network inside clipsonic: a unit vector for every 2 s of sound.

    It was trained on few kinds of sound, so its scores compare systems on those; they are labelled,
    as they do not replace the paper's. The identity is that of the listener's file.
    """

    name = "mini"

    def __init__(self, listener: Listener, clip: ClipModel, identity: str = "") -> None:
        self.listener, self.clip, self.identity = listener, clip, identity
        self.device = listener.log_scale.device
        self.log_mel = LogMel(listener.spec).to(self.device)

    @classmethod
    def load(cls, device: torch.device) -> "MiniBackbone":
        """Load the embedded weights; see :meth:`read` for the errors."""
        return cls.read(BUNDLED / "mini", device)

    @classmethod
    def read(cls, folder: Path, device: torch.device) -> "MiniBackbone":
        """Load the listener and the CLIP of a model's folder.

        Raises:
            MissingWeights: One of them is missing.
            BadBundle: One is damaged, or they do not belong together.
        """
        path = folder / f"listener{SUFFIX}"
        part = bundle.load(path, kind="listener")
        clip = load_clip(bundle.load(folder / f"clip{SUFFIX}", kind="clip"))
        assert part.header.mel is not None  # a listener's header has one
        if part.header.encoder != clip.identity:
            raise BadBundle(
                f"{path} was trained on texts of encoder '{part.header.encoder}', the CLIP next "
                f"to it is '{clip.identity}'. Use parts of one model."
            )
        try:
            config = from_dict(ListenerConfig, part.header.config, "config")
        except ValueError as error:
            raise BadBundle(f"{path} describes no listener ({error}).") from None
        spec = part.header.mel
        listener = build(lambda: Listener(config, spec), part.weights, str(path), device=device)
        if config.text_dim != clip.dim:
            raise BadBundle(
                f"{path} has text_dim {config.text_dim}, the CLIP next to it embeds texts as "
                f"{clip.dim} numbers. Use parts of one model."
            )
        return cls(listener, clip.to(device), bundle.identity(path))

    @property
    def dim(self) -> int:
        """Size D of the vectors."""
        return self.listener.config.dim

    @property
    def logit_scale(self) -> float:
        """Factor of cosines in training."""
        return float(self.listener.logit_scale)

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Embed a sound, window by window, without normalizing its loudness.

        Windows are as long as those of the training, 2.048 s, and at most half of that apart: as
        many as cover the sound, evenly spread, so that its end counts as much as its beginning. A
        Frechet distance needs more vectors than there are sounds, and gets three of a sound of 4 s.
        A shorter sound than a window is padded with silence.

        Returns:
            (W, D) float32 on the CPU, rows of unit norm; W is 1 up to 2.048 s, 3 for 4 to 4.096 s,
            9 for 10 s, and 0 for no samples.
        """
        spec, length = self.listener.spec, self.listener.window
        samples = at_rate(samples, sample_rate, spec.sample_rate)
        if not len(samples):
            return torch.empty(0, self.dim)
        samples = F.pad(samples, (0, max(length - len(samples), 0)))
        # Less than half a frame more, as resampling may leave, is no reason for another window.
        beyond = max(len(samples) - length - spec.hop_length // 2, 0)
        windows = torch.stack(spread(samples, length, 1 + math.ceil(2 * beyond / length)))
        rows = []
        with torch.inference_mode():
            for batch in torch.split(windows, BATCH):
                mel = normalize(self.log_mel(batch.to(self.device)), spec)
                rows.append(self.listener.embed_sounds(mel).cpu())
        return torch.cat(rows).clone()

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: (M, D) float32 on the CPU, of unit norm; UsageError without known words."""
        embed, _ = self.clip.embed_text(texts)
        with torch.inference_mode():
            return self.listener.embed_texts(embed.to(self.device)).cpu().clone()
