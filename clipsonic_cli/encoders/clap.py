"""Sounds and texts to CLAP embeddings, as LAION's own code computes them, but repeatable."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clipsonic_cli.encoders.clip import texts_of
from clipsonic_cli.encoders.embedding_model import EmbeddingModel
from clipsonic_cli.encoders.tokenizers import Tokenize, description_of, parse, unpack
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.clap import PAD_ID, ClapConfig, ClapNetwork, build_clap
from clipsonic_cli.models.clap_mel import log_mel
from clipsonic_cli.store.bundle import Bundle
from clipsonic_cli.text import check_words
from clipsonic_cli.types import Condition, Noise, Query, Report, Waveform, silent

BATCH = 16


class ClapModel(EmbeddingModel[ClapNetwork, ClapConfig]):
    """A CLAP with its tokenizer and its mel."""

    def embed_audio(self, waveforms: Sequence[Waveform], *, report: Report = silent) -> Tensor:
        """Embed mono sounds of any sample rate, up to 10 s; the same sound has the same embedding.

        ``report`` is called after every batch.

        Returns:
            (B, D) float32 on the CPU, rows of unit norm.

        Raises:
            UsageError: A sound is longer.
            ValueError: A waveform is empty, not (N,), or not finite.
        """
        rows: list[Tensor] = [torch.empty(0, self.dim)]
        for start in range(0, len(waveforms), BATCH):
            mel = torch.stack([log_mel(w) for w in waveforms[start : start + BATCH]])
            with torch.inference_mode():
                rows.append(self.network.encode_audio(mel.to(self.device)).float().cpu())
            report("audio", min(start + BATCH, len(waveforms)), len(waveforms))
        return torch.cat(rows).clone()

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embed texts; what exceeds ``config.max_text_len`` tokens (77) is cut off.

        Returns:
            (B, D) float32 on the CPU, rows of unit norm.
        """
        rows: list[Tensor] = [torch.empty(0, self.dim)]
        for text in texts:
            check_words(text)
        for start in range(0, len(texts), BATCH):
            ids = self.tokenize(texts[start : start + BATCH])  # (B, L)
            with torch.inference_mode():
                rows.append(self.network.encode_text(ids.to(self.device)).float().cpu())
        return torch.cat(rows).clone()


def load_clap(bundle: Bundle) -> ClapModel:
    """Build the CLAP a bundle describes and load its weights, in float32.

    Raises:
        BadBundle: The weights do not fit the configuration, or it is not one of a CLAP.
        ClipsonicError: transformers is missing; says how to install it.
    """
    config, weights = unpack(bundle, "clap", ClapConfig)
    tokenize = word_pieces(description_of(bundle), config)
    return ClapModel(build_clap(config, weights), config, tokenize, str(bundle.header.encoder))


def word_pieces(description: bytes, config: ClapConfig) -> Tokenize:
    """Build RoBERTa's tokenizer: texts to ids (B, max_text_len), padded as CLAP was trained.

    Raises:
        BadBundle: The description is no ``tokenizer.json``, or not of this network.
    """
    tokenizer = parse(description, "CLAP")
    pad, size = tokenizer.token_to_id("<pad>"), tokenizer.get_vocab_size()
    if pad != PAD_ID or size > config.vocab_size:
        raise BadBundle(
            f"The CLAP bundle's tokenizer has {size} word pieces and <pad> as number {pad}; its "
            f"network reads {config.vocab_size}, with <pad> as number {PAD_ID}."
        )
    tokenizer.enable_truncation(config.max_text_len)
    tokenizer.enable_padding(length=config.max_text_len, pad_id=PAD_ID, pad_token="<pad>")

    def tokenize(texts: Sequence[str]) -> Tensor:
        return torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])

    return tokenize


class ClapTextEncoder:
    """Encodes texts in CLAP-text space: mode ``clap-tta``."""

    def __init__(self, clap: ClapModel) -> None:
        self.clap = clap

    def __call__(
        self,
        queries: Sequence[Query],
        *,
        noise: Noise,  # noqa: ARG002 -- the protocol's; CLAP is deterministic
        report: Report = silent,
    ) -> Condition:
        """Return (B, D) of unit norm for B text queries; an image is a ValueError."""
        embed = self.clap.embed_text(texts_of(queries))
        report("text", len(queries), len(queries))
        return Condition(embed=embed, space="clap-text", encoder=self.clap.identity)
