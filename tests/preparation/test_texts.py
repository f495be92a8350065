import pytest
import torch

from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.preparation.texts import encode_labels

LABELS = ["dog barking", "дом", "acoustic_guitar", " "]


def test_vectors_are_those_of_the_prompts(encoder, tmp_path):
    texts = encode_labels(LABELS, encoder, tmp_path)
    assert texts.rows == {"dog barking": 0, "acoustic_guitar": 1}  # no word of the others is known
    for label in texts.rows:
        embed, encodings = encoder.embed_text([f"a photo of {label.replace('_', ' ')}"])
        torch.testing.assert_close(texts.embeds[texts.rows[label]], embed[0])
        torch.testing.assert_close(texts.encodings[texts.rows[label]], encodings[0].half())


def test_vectors_are_computed_once(encoder, tmp_path, monkeypatch):
    first = encode_labels(LABELS, encoder, tmp_path)
    monkeypatch.setattr(ClipModel, "embed_text", None)
    again = encode_labels(LABELS, encoder, tmp_path)
    assert again.rows == first.rows
    assert torch.equal(again.embeds, first.embeds)
    assert torch.equal(again.encodings, first.encodings)
    with pytest.raises(TypeError):  # others are not
        encode_labels(["cat"], encoder, tmp_path)


def test_damaged_vectors_are_computed_again(encoder, tmp_path):
    first = encode_labels(LABELS, encoder, tmp_path)
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert torch.equal(encode_labels(LABELS, encoder, tmp_path).embeds, first.embeds)
        assert path.read_bytes() == whole


@pytest.mark.parametrize("labels", [[], ["дом"]], ids=["none", "unknown"])
def test_a_data_set_may_have_no_labels_to_encode(encoder, tmp_path, labels):
    for _ in range(2):  # computed, then read
        texts = encode_labels(labels, encoder, tmp_path)
        assert (texts.rows, texts.encodings, texts.embeds.shape) == ({}, None, (0, encoder.dim))
