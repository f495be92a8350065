"""A tokenizer from a shared model runs nothing of its own and stays within bounds."""

import json

import pytest

from clipsonic_cli.encoders.tokenizers import checked
from clipsonic_cli.errors import BadBundle

GOOD = {
    "normalizer": {"type": "BertNormalizer"},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": None,
    "decoder": None,
    "added_tokens": [],
    "model": {"type": "WordPiece", "vocab": {"a": 0}},
}


def described(**changes) -> bytes:
    return json.dumps(GOOD | changes).encode()


def test_our_own_kind_is_taken():
    assert json.loads(checked(described(), "CLIP")) == GOOD


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"normalizer": {"type": "Replace", "content": "x" * 10**6}},
            "its normalizer is 'Replace'",
        ),
        ({"normalizer": {"type": "Sequence", "normalizers": []}}, "its normalizer is 'Sequence'"),
        (
            {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a*)*b"}}},
            "regular expression",
        ),
        ({"post_processor": {"type": "TemplateProcessing", "single": [0] * 9}}, "9 items"),
        ({"model": {"type": "Unigram", "vocab": []}}, "its model is 'Unigram'"),
        ({"model": {"type": "WordPiece", "vocab": {"a" * 300: 0}}}, "over 256 characters"),
        ({"padding": {"strategy": {"Fixed": 10**9}}}, "a padding of its own"),
    ],
)
def test_a_stage_that_could_run_away_is_rejected(changes, reason):
    with pytest.raises(BadBundle, match=reason):
        checked(described(**changes), "CLIP")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"1", b"{}"])
def test_what_is_no_description_is_one_line(content):
    with pytest.raises(BadBundle, match="The CLAP bundle's tokenizer is damaged"):
        checked(content, "CLAP")
