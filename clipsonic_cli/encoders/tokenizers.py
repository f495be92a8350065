"""Descriptions of tokenizers that may be anybody's, checked before the library runs them.

A ``tokenizer.json`` can hold regular expressions and templates that expand without end; only the
kinds that this project writes, and RoBERTa's for CLAP, are read, each within bounds.
"""

import json
from typing import Any

import torch

from clipsonic_cli.errors import BadBundle

MAX_BYTES = 16 << 20
KINDS: dict[str, tuple[str | None, ...]] = {
    "normalizer": (None, "BertNormalizer", "Lowercase"),
    "pre_tokenizer": (None, "BertPreTokenizer", "ByteLevel", "Whitespace", "Split"),
    "post_processor": (None, "TemplateProcessing", "RobertaProcessing", "ByteLevel"),
    "decoder": (None, "WordPiece", "ByteLevel"),
    "model": ("WordPiece", "WordLevel", "BPE"),
}
"""Allowed types of each stage: none with a regular expression or a replacement of its own."""
EACH = "."
"""The one regular expression that may split a text: every character by itself."""
MAX_TEMPLATE = 8
"""Items of a template, and tokens that one of its names stands for."""
MAX_ADDED = 1000
MAX_PIECE = 256
"""Characters of a word piece, or of an added token."""
MAX_WORD = 1000
"""Characters of a word that is looked up whole."""


def bytes_of(stored: torch.Tensor) -> bytes:
    """Return the description that a bundle holds as a tensor of bytes; nothing of any other."""
    if stored.dtype != torch.uint8 or stored.ndim != 1 or len(stored) > MAX_BYTES:
        return b""
    return stored.numpy().tobytes()


def checked(description: bytes, whose: str) -> str:
    """Return the text of a tokenizer's description, once it is known to be of an allowed kind.

    Args:
        description: A ``tokenizer.json`` of the tokenizers library.
        whose: "CLIP" or "CLAP", for messages.

    Raises:
        BadBundle: It is damaged, or has a stage that is not allowed.
    """
    try:
        if len(description) > MAX_BYTES:
            raise ValueError(f"{len(description):,} bytes, allowed are {MAX_BYTES:,}")
        text = description.decode()
        fields = json.loads(text)
        _check(fields)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BadBundle(f"The {whose} bundle's tokenizer is damaged ({error}).") from None
    return text


def _check(fields: dict[str, Any]) -> None:
    for stage, kinds in KINDS.items():
        part = fields.get(stage)
        kind = None if part is None else part["type"]
        if kind not in kinds:
            allowed = ", ".join(str(kind) for kind in kinds)
            raise ValueError(f"its {stage} is {str(kind)[:80]!r}, allowed: {allowed}")
    if (fields.get("pre_tokenizer") or {}).get("pattern", {}).get("Regex", EACH) != EACH:
        raise ValueError("it splits by a regular expression of its own")
    if fields.get("truncation") is not None or fields.get("padding") is not None:
        raise ValueError("it states a truncation or a padding of its own")
    template = fields.get("post_processor") or {}
    names = template.get("special_tokens", {})
    for items in (template.get("single", []), template.get("pair", []), names):
        if len(items) > MAX_TEMPLATE:
            raise ValueError(f"a template of {len(items)} items, allowed are {MAX_TEMPLATE}")
    if any(len(name["ids"]) > 1 or len(name["tokens"]) > 1 for name in names.values()):
        raise ValueError("a name of its template stands for several tokens")
    added, model = fields.get("added_tokens", []), fields["model"]
    if len(added) > MAX_ADDED:
        raise ValueError(f"{len(added)} added tokens, allowed are {MAX_ADDED}")
    pieces = [*model["vocab"], *(token["content"] for token in added)]
    if any(len(piece) > MAX_PIECE for piece in pieces):
        raise ValueError(f"a word piece of over {MAX_PIECE} characters")
    if model.get("max_input_chars_per_word", 0) > MAX_WORD:
        raise ValueError(f"words of over {MAX_WORD} characters")
