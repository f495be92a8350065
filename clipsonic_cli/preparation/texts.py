"""Compute the text embeddings of a data set's labels once, and store them next to the shards."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from clipsonic_cli.atomic import written
from clipsonic_cli.data.prompts import prompt
from clipsonic_cli.encoders.clap import ClapModel
from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.errors import UsageError
from clipsonic_cli.store.bundle import utf8_path
from clipsonic_cli.text import digest
from clipsonic_cli.types import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Embeddings of the prompts of labels."""

    embeds: Tensor
    """(M, D) float32 of unit norm."""
    encodings: Tensor | None
    """Token encodings (M, L, C) float16, zeros after the end; CLIP only."""
    rows: dict[str, int]
    """Row of each label of which the encoder knows a word."""


def encode_labels(labels: Sequence[str], encoder: ClipModel | ClapModel, folder: Path) -> Texts:
    """Encode the prompts of distinct labels, or load them if they are stored in the folder.

    Labels of which the encoder knows no word are left out. A ``UserWarning`` says if the embeddings
    cannot be stored.
    """
    space: Space = "clip-text" if isinstance(encoder, ClipModel) else "clap-text"
    parts = "\n".join([space, encoder.identity, *labels])
    path = folder / f"texts-{digest(parts)}.safetensors"
    try:
        with utf8_path(path) as plain:
            kept = load_file(plain)
    except (OSError, SafetensorError):  # not there, or damaged
        kept = _encode(labels, encoder, space)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with written(path) as temporary:
                temporary.write_bytes(save(kept))
        except OSError as error:
            why = f"cannot be kept in '{folder}' ({error.strerror or error})"
            warnings.warn(f"The vectors of the labels {why}.", stacklevel=2)
    known = kept["known"].tolist()
    rows = {labels[number]: row for row, number in enumerate(known)}
    return Texts(embeds=kept["embeds"].float(), encodings=kept.get("encodings"), rows=rows)


def _encode(
    labels: Sequence[str], encoder: ClipModel | ClapModel, space: Space
) -> dict[str, Tensor]:
    known, embeds, encodings = [], [], []
    for number, label in enumerate(labels):
        if not knows(encoder, label):
            continue
        embedded = encoder.embed_text([prompt(label, space)])
        known.append(number)
        embed, *encoding = embedded if isinstance(embedded, tuple) else (embedded,)
        embeds.append(embed.squeeze(0))
        encodings += [tokens.squeeze(0).half() for tokens in encoding]
    tensors = {"known": torch.tensor(known, dtype=torch.int64)}
    tensors["embeds"] = torch.stack(embeds) if embeds else torch.zeros(0, encoder.dim)
    if encodings:
        tensors["encodings"] = torch.stack(encodings)
    return tensors


def knows(encoder: ClipModel | ClapModel, label: str) -> bool:
    """Return whether an encoder knows a word of a label; those of the prompt around it it does."""
    words = label.replace("_", " ")
    try:
        return bool(words.strip()) and len(encoder.tokenize([words])) > 0
    except UsageError:
        return False
