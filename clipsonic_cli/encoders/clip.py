"""Queries to CLIP embeddings: one :class:`ClipModel` around either network, and two encoders."""

import bisect
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clipsonic_cli.encoders.embedding_model import EmbeddingModel
from clipsonic_cli.encoders.tokenizers import Tokenize, description_of, parse, unpack
from clipsonic_cli.errors import UsageError
from clipsonic_cli.images import read_image, square
from clipsonic_cli.models.clip import MINI, ClipConfig, ClipNetwork, build_clip
from clipsonic_cli.models.optional import import_open_clip
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.text import check_words, has_word
from clipsonic_cli.types import Condition, Noise, Query, Report, silent

BATCH = 32


class ClipModel(EmbeddingModel[ClipNetwork, ClipConfig]):
    """A CLIP with its tokenizer and its preprocessing."""

    def embed_images(
        self, images: Sequence[Path | Image.Image], *, report: Report = silent
    ) -> Tensor:
        """Embed image files or RGB images: (B, D) float32 on the CPU, rows of unit norm.

        ``report`` is called after every batch. A file that cannot be used is a UsageError.
        """
        size = self.config.image_size
        rows = []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            opened = (read_image(image) if isinstance(image, Path) else image for image in part)
            squares = [np.asarray(square(image, size)) for image in opened]
            rows.append(self.embed_squares(np.stack(squares)))
            report("image", min(start + BATCH, len(images)), len(images))
        return torch.cat(rows)

    def embed_squares(self, squares: NDArray[np.uint8]) -> Tensor:
        """Embed images that have been cut to the network's size S, all at once.

        Args:
            squares: (B, S, S, 3), S being ``config.image_size``.

        Returns:
            (B, D) float32 on the CPU, rows of unit norm.
        """
        pixels = to_pixels(squares, self.config)
        with torch.inference_mode():
            return self.network.encode_image(pixels.to(self.device)).float().cpu().clone()

    def embed_text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embed and encode texts.

        What exceeds ``config.max_text_len`` tokens (77 for the paper's CLIP, 32 for mini) is cut
        off, as CLIP was trained, with a ``UserWarning``. A text without words, or with none that
        mini's tokenizer knows, is a UsageError.

        Returns:
            (B, D) of unit norm, and (B, L, C) with rows of zeros after the end; float32, CPU.
        """
        for text in texts:
            check_words(text)
        with torch.inference_mode():
            embed, encodings = self.network.encode_text(self.tokenize(texts).to(self.device))
        return embed.float().cpu().clone(), encodings.float().cpu().clone()


def load_clip(bundle: Bundle) -> ClipModel:
    """Build the CLIP a bundle describes and load its weights, in float32.

    Raises:
        BadBundle: The weights do not fit the configuration, or it is not one of a CLIP.
        ClipsonicError: open_clip cannot be imported.
    """
    config, weights = unpack(bundle, "clip", ClipConfig)
    network = build(lambda: build_clip(config), weights, "clip")
    if config.architecture == MINI:
        tokenize = word_pieces(description_of(bundle), config.max_text_len)
    else:
        tokenize = byte_pairs(
            import_open_clip().get_tokenizer(config.architecture), config.max_text_len
        )
    return ClipModel(network, config, tokenize, str(bundle.header.encoder))


def mini_tokenizer(bundle: Bundle) -> Tokenize:
    """Build the tokenizer of a bundle of mini, whose other tensors need not be loaded."""
    config, _ = unpack(bundle, "clip", ClipConfig)
    return word_pieces(description_of(bundle), config.max_text_len)


def word_pieces(description: bytes, max_text_len: int) -> Tokenize:
    """Build the tokenizer of mini: texts to ids (B, max_text_len), padded with 0.

    A text of which it knows no word (another script, emoji) is a UsageError: all such texts would
    have the same embedding. A description that is no ``tokenizer.json`` is a BadBundle.
    """
    tokenizer = parse(description, "CLIP")
    tokenizer.enable_truncation(max_text_len)
    tokenizer.enable_padding(length=max_text_len, pad_id=0)
    unknown = getattr(tokenizer.model, "unk_token", None)
    ends: int = tokenizer.num_special_tokens_to_add(is_pair=False)

    def count(text: str) -> int:
        encoding = tokenizer.encode(text)
        rows = [encoding, *encoding.overflowing]  # each has its own start and end
        return sum(sum(row.attention_mask) for row in rows) - ends * (len(rows) - 1)

    def tokenize(texts: Sequence[str]) -> Tensor:
        encoded = tokenizer.encode_batch(list(texts))
        for text, encoding in zip(texts, encoded, strict=True):
            pieces = zip(encoding.tokens, encoding.special_tokens_mask, strict=True)
            known = [piece for piece, special in pieces if not special and piece != unknown]
            if not any(map(has_word, known)):  # signs such as "!" say nothing
                raise UsageError(
                    f"The model knows none of the words in {text!r}; use English words."
                )
            _warn_if_cut(text, count, max_text_len)
        return torch.tensor([encoding.ids for encoding in encoded])

    return tokenize


def byte_pairs(tokenizer: Any, max_text_len: int) -> Tokenize:
    """Wrap open_clip's tokenizer of OpenAI's models: texts to ids (B, max_text_len)."""

    def count(text: str) -> int:
        return len(tokenizer.encode(text)) + 2

    def tokenize(texts: Sequence[str]) -> Tensor:
        for text in texts:
            _warn_if_cut(text, count, max_text_len)
        ids: Tensor = tokenizer(list(texts))
        return ids

    return tokenize


def _warn_if_cut(text: str, count: Callable[[str], int], limit: int) -> None:
    """Warn of a text of more tokens than are read, and of where reading ends."""
    total = count(text)
    if total <= limit:
        return
    words = text.split()
    # How many words fit, by the tokens of the first n.
    fit = bisect.bisect_right(
        range(1, len(words) + 1), limit, key=lambda n: count(" ".join(words[:n]))
    )
    last = f", up to {' '.join(words[max(fit - 3, 0) : fit])!r}" if fit else ""
    warnings.warn(
        f"CLIP reads {limit} of the {total} tokens of {text[:24] + '...'!r}{last}; "
        "what follows changes nothing.",
        stacklevel=4,  # the caller of embed_text
    )


def to_pixels(squares: NDArray[np.uint8], config: ClipConfig) -> Tensor:
    """Normalise images for CLIP's network.

    Args:
        squares: (B, S, S, 3), as :func:`~clipsonic_cli.images.square` cuts them.
        config: Its mean and deviation of each colour.

    Returns:
        (B, 3, S, S) float32.

    Source: Radford et al. 2021, the published preprocessing.
    """
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255  # (B, 3, S, S)
    mean, std = torch.tensor(config.mean), torch.tensor(config.std)
    return (pixels - mean[:, None, None]) / std[:, None, None]


class ClipImageEncoder:
    """Encodes images in CLIP-image space: mode ``iq``, and what U-Nets are trained on."""

    def __init__(self, clip: ClipModel) -> None:
        self.clip = clip

    def __call__(
        self,
        queries: Sequence[Query],
        *,
        noise: Noise,  # noqa: ARG002 -- the protocol's; CLIP is deterministic
        report: Report = silent,
    ) -> Condition:
        """Return (B, D) of unit norm for B image queries; a text is a ValueError."""
        paths = [query.image for query in queries if query.image is not None]
        if len(paths) != len(queries):
            raise ValueError("ClipImageEncoder takes image queries only")
        embed = self.clip.embed_images(paths, report=report)
        return Condition(embed=embed, space="clip-image", encoder=self.clip.identity)


class ClipTextEncoder:
    """Encodes texts in CLIP-text space: mode ``zs``, whose U-Net was trained on images."""

    def __init__(self, clip: ClipModel) -> None:
        self.clip = clip

    def __call__(
        self,
        queries: Sequence[Query],
        *,
        noise: Noise,  # noqa: ARG002 -- the protocol's; CLIP is deterministic
        report: Report = silent,
    ) -> Condition:
        """Return (B, D) of unit norm for B text queries; an image is a ValueError."""
        embed, _ = self.clip.embed_text(texts_of(queries))
        report("text", len(queries), len(queries))
        return Condition(embed=embed, space="clip-text", encoder=self.clip.identity)


def texts_of(queries: Sequence[Query]) -> list[str]:
    """Return the texts of text queries; an image query is a ValueError."""
    texts = [query.text for query in queries if query.text is not None]
    if len(texts) != len(queries):
        raise ValueError("this encoder takes text queries only")
    return texts
