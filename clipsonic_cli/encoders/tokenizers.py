"""Tokenizers out of bundles that may be anybody's, checked before the library runs them.

A ``tokenizer.json`` can hold regular expressions and templates that expand without end; only the
kinds that this project writes, and RoBERTa's for CLAP, are read, each within bounds.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.from_dict import from_dict
from clipsonic_cli.store.bundle import Bundle

Tokenize = Callable[[Sequence[str]], Tensor]
"""Texts to ids (B, L); a text of more than L tokens is cut."""
Config = TypeVar("Config")

TOKENIZER = "tokenizer"
"""The tensor of a bundle that holds its tokenizer.json, as bytes."""
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


def unpack(bundle: Bundle, kind: str, config: type[Config]) -> tuple[Config, dict[str, Tensor]]:
    """Return a CLIP's or CLAP's configuration, and its weights without the tokenizer.

    Another kind, or a configuration that cannot be used, is a BadBundle.
    """
    if bundle.header.kind != kind or bundle.header.encoder is None:
        raise BadBundle(
            f"A {kind.upper()} bundle is needed, this one holds a {bundle.header.kind}."
        )
    try:
        read = from_dict(config, bundle.header.config, "config")
    except ValueError as error:
        raise BadBundle(
            f"The {kind.upper()} bundle has a configuration that cannot be used: {error}."
        ) from None
    return read, {name: w for name, w in bundle.weights.items() if name != TOKENIZER}


def description_of(bundle: Bundle) -> bytes:
    """Return the tokenizer.json that a bundle holds, which is a BadBundle if it has none.

    Of a tensor that is not of bytes it is empty.
    """
    if TOKENIZER not in bundle.weights:
        raise BadBundle(f"The {bundle.header.kind.upper()} bundle lacks its '{TOKENIZER}'.")
    stored = bundle.weights[TOKENIZER]
    if stored.dtype != torch.uint8 or stored.ndim != 1 or len(stored) > MAX_BYTES:
        return b""
    return stored.numpy().tobytes()


def parse(description: bytes, whose: str) -> Any:
    """Build the tokenizer of a ``tokenizer.json``, which is ``whose``: "CLIP" or "CLAP".

    A damaged one, or one with a stage that is not allowed, is a BadBundle.
    """
    from tokenizers import Tokenizer

    text = checked(description, whose)
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception
        raise BadBundle(f"The {whose} bundle's tokenizer is damaged ({error}).") from None


def checked(description: bytes, whose: str) -> str:
    """Return the text of a tokenizer's description, of an allowed kind; see :func:`parse`."""
    try:
        if len(description) > MAX_BYTES:
            raise ValueError(f"{len(description):,} bytes, allowed are {MAX_BYTES:,}")
        text = description.decode()
        _check(json.loads(text))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BadBundle(f"The {whose} bundle's tokenizer is damaged ({error}).") from None
    return text


def _check(fields: dict[str, Any]) -> None:
    # Stages.
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
    # Templates.
    template = fields.get("post_processor") or {}
    names = template.get("special_tokens", {})
    for items in (template.get("single", []), template.get("pair", []), names):
        if len(items) > MAX_TEMPLATE:
            raise ValueError(f"a template of {len(items)} items, allowed are {MAX_TEMPLATE}")
    if any(len(name["ids"]) > 1 or len(name["tokens"]) > 1 for name in names.values()):
        raise ValueError("a name of its template stands for several tokens")
    # Vocabulary.
    added, model = fields.get("added_tokens", []), fields["model"]
    if len(added) > MAX_ADDED:
        raise ValueError(f"{len(added)} added tokens, allowed are {MAX_ADDED}")
    pieces = [*model["vocab"], *(token["content"] for token in added)]
    if any(len(piece) > MAX_PIECE for piece in pieces):
        raise ValueError(f"a word piece of over {MAX_PIECE} characters")
    if model.get("max_input_chars_per_word", 0) > MAX_WORD:
        raise ValueError(f"words of over {MAX_WORD} characters")
