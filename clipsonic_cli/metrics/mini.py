"""The embedded backbone: sounds and prompts in one space, without any download.

Knows: how a sound is cut into what the listener hears at once, and whose texts it reads. Does not
know: the network (``models/listener.py``), and what is done with the vectors.
"""

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

BATCH = 32
"""Windows that go through the network at once."""


class MiniBackbone:
    """The small audio-text network inside clipsonic: a unit vector for every 2 s of sound.

    It knows few sounds, so its scores compare systems on those; they are no substitute for the
    paper's, and are labelled.

    Args:
        listener: The weights at work, in evaluation mode, on the device where it is to run.
        clip: Whose text embeddings it reads.
        identity: Of the listener's file; empty where it is of none.
    """

    name = "mini"

    def __init__(self, listener: Listener, clip: ClipModel, identity: str = "") -> None:
        self.listener, self.clip, self.identity = listener, clip, identity
        self.device = listener.log_scale.device
        self.log_mel = LogMel(listener.spec).to(self.device)

    @classmethod
    def load(cls, device: torch.device) -> "MiniBackbone":
        """Reads the embedded weights.

        Raises:
            MissingWeights: This installation lacks them.
            BadBundle: Their file is damaged.
        """
        return cls.read(BUNDLED / "mini", device)

    @classmethod
    def read(cls, folder: Path, device: torch.device) -> "MiniBackbone":
        """Reads the listener and the CLIP of a model's folder.

        Raises:
            MissingWeights: One of them is not there.
            BadBundle: One is damaged, or they do not belong together.
        """
        path = folder / f"listener{SUFFIX}"
        part = bundle.load(path, kind="listener")
        clip = load_clip(bundle.load(folder / f"clip{SUFFIX}", kind="clip"))
        assert part.header.mel is not None  # a listener's header has one
        if part.header.encoder != clip.identity:
            raise BadBundle(
                f"{path} was trained on texts of encoder '{part.header.encoder}', the CLIP beside "
                f"it is '{clip.identity}'. Use parts of one model."
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
        """What the training multiplied cosines by."""
        return float(self.listener.logit_scale)

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Gives the embeddings of a sound, window by window.

        Windows are as long as those of the training, 2.048 s, and at most half of that apart: as
        many as cover the sound, evenly spread, so that its end counts as much as its beginning. A
        Frechet distance needs more vectors than there are sounds, and gets three of a sound of 4 s.
        A shorter sound than a window is followed by silence. Loudness is heard, not evened out.

        Args:
            samples: (N,) mono.
            sample_rate: In Hz; others than the listener's are resampled by soxr at its high
                quality.

        Returns:
            (W, D) float32 on the CPU, rows of unit norm; W is 1 up to 2.048 s, 3 for 4 to 4.096 s,
            9 for 10 s, and 0 for no samples.

        Raises:
            ValueError: The samples are not (N,) or not finite, or there is no such sample rate.
        """
        windows = self._windows(samples, sample_rate)
        rows = [torch.empty(0, self.dim)]
        with torch.inference_mode():
            for some in torch.split(windows, BATCH) if len(windows) else ():
                mel = normalize(self.log_mel(some.to(self.device)), self.listener.spec)
                rows.append(self.listener.embed_sounds(mel).cpu())
        return torch.cat(rows).clone()

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Gives the embeddings of texts: (M, D) float32 on the CPU, rows of unit norm.

        Raises:
            UsageError: A text has no words, or none that the small CLIP knows.
        """
        embed, _ = self.clip.embed_text(texts)
        with torch.inference_mode():
            return self.listener.embed_texts(embed.to(self.device)).cpu().clone()

    def _windows(self, samples: Tensor, sample_rate: int) -> Tensor:
        """Gives a sound's windows (W, N)."""
        length = self.listener.window
        samples = at_rate(samples, sample_rate, self.listener.spec.sample_rate)
        if not len(samples):
            return torch.empty(0, length)
        samples = F.pad(samples, (0, max(length - len(samples), 0)))
        # Less than half a frame more, as resampling may leave, is no reason for another window.
        beyond = max(len(samples) - length - self.listener.spec.hop_length // 2, 0)
        count = 1 + math.ceil(2 * beyond / length)
        return torch.stack(spread(samples, length, count))
