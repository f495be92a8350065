import dataclasses

import published_clap
import pytest
import torch

from clipsonic_cli.encoders.clap import ClapModel, word_pieces
from clipsonic_cli.errors import MissingWeights
from clipsonic_cli.metrics.clap import ClapBackbone
from clipsonic_cli.types import Waveform

SMALL = dataclasses.replace(published_clap.SMALL, vocab_size=300)


@pytest.fixture(scope="module")
def backbone():
    tokenize = word_pieces(published_clap.tokenizer().to_str().encode(), SMALL)
    return ClapBackbone(ClapModel(published_clap.random_clap(SMALL), SMALL, tokenize, "small"))


def noise(samples, seed=0):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("samples", [1600, 65_536, 160_000, 160_040])
def test_a_sound_of_up_to_ten_seconds_is_one_vector_as_clap_gives_it(backbone, samples):
    sound = noise(samples)
    seen = backbone.embed(sound, 16_000)
    assert seen.shape == (1, backbone.dim)
    assert torch.equal(
        seen, backbone.clap.embed_audio([Waveform(samples=sound, sample_rate=16_000)])
    )


@pytest.mark.parametrize(
    ("samples", "starts"), [(250_000, [0, 90_000]), (330_000, [0, 85_000, 170_000])]
)
def test_a_longer_sound_is_embedded_from_its_beginning_to_its_end(backbone, samples, starts):
    sound = noise(samples)
    seen = backbone.embed(sound, 16_000)
    parts = [sound[start : start + 160_000] for start in starts]
    expected = torch.cat([backbone.embed(part, 16_000) for part in parts])
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)


def test_texts_share_the_space_of_sounds_with_the_scale_the_network_learned(backbone):
    texts = backbone.embed_text(["rain", "a dog"])
    assert texts.shape == (2, backbone.dim)
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(2))
    learned = backbone.clap.network.clap.logit_scale_a
    assert backbone.logit_scale == pytest.approx(float(learned.exp()))


def test_it_is_known_by_its_weights(backbone):
    assert backbone.identity == backbone.clap.identity == "small"


def test_weights_that_are_not_here_are_named_with_their_command(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"CLAP.*clipsonic download clap"):
        ClapBackbone.load(torch.device("cpu"))
