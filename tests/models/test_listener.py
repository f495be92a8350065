import math

import pytest
import torch

from clipsonic_cli.config import MelSpec
from clipsonic_cli.models.listener import MAX_LOGIT_SCALE, Listener, ListenerConfig

SMALL = ListenerConfig(channels=(4, 8, 16), dim=6, text_dim=5, frames=16)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def listener():
    torch.manual_seed(0)
    return Listener(SMALL, MelSpec()).eval().requires_grad_(requires_grad=False)


def test_the_shipped_size_is_that_of_a_few_megabytes():
    with torch.device("meta"):
        network = Listener(ListenerConfig(), MelSpec())
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_667_553
    assert network.window == 32_768


def test_sounds_and_texts_become_unit_vectors_of_one_space(listener):
    sounds, texts = listener.embed_sounds(noise(3, 1, 64, 16)), listener.embed_texts(noise(2, 5))
    assert sounds.shape == (3, 6)
    assert texts.shape == (2, 6)
    torch.testing.assert_close(torch.cat([sounds, texts]).norm(dim=1), torch.ones(5))


def test_every_window_is_compared_with_every_text(listener):
    mel, embed = noise(3, 1, 64, 16), noise(2, 5)
    cosines = listener.embed_sounds(mel) @ listener.embed_texts(embed).T
    torch.testing.assert_close(listener(mel, embed), cosines / 0.07)


def test_a_window_does_not_depend_on_those_next_to_it(listener):
    mel = noise(3, 1, 64, 16)
    alone = torch.cat([listener.embed_sounds(one[None]) for one in mel])
    torch.testing.assert_close(listener.embed_sounds(mel), alone)


def test_frames_in_another_order_are_another_sound(listener):
    mel = noise(1, 1, 64, 16)
    assert not torch.allclose(listener.embed_sounds(mel), listener.embed_sounds(mel.flip(3)))


def test_the_scale_is_learned_up_to_its_limit(listener):
    assert listener.logit_scale.item() == pytest.approx(1 / 0.07)
    listener.log_scale.fill_(10.0)
    assert listener.logit_scale.item() == pytest.approx(MAX_LOGIT_SCALE)
    listener.log_scale.fill_(math.log(30))
    assert listener.logit_scale.item() == pytest.approx(30)


@pytest.mark.parametrize("shape", [(2, 64, 16), (2, 1, 64, 15), (2, 1, 32, 16), (2, 2, 64, 16)])
def test_mels_of_another_geometry_are_rejected(listener, shape):
    with pytest.raises(ValueError, match=r"need mels \(B, 1, 64, 16\), got"):
        listener.embed_sounds(torch.zeros(shape))


def test_bands_and_frames_that_cannot_be_halved_are_rejected():
    with pytest.raises(ValueError, match="64 bands and 18 frames cannot be halved 2 times"):
        Listener(ListenerConfig(channels=(4, 8, 16), frames=18), MelSpec())
    with pytest.raises(ValueError, match="66 bands and 16 frames"):
        Listener(SMALL, MelSpec(n_mels=66))
