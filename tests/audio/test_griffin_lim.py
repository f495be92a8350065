import math

import pytest
import torch

from clipsonic_cli.audio.griffin_lim import GriffinLim
from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec
from clipsonic_cli.models.vocoders import InPieces

SPEC = MelSpec()


def chord(samples: int = 16_384, peak: float = 0.6) -> torch.Tensor:
    """Three decaying tones and some noise, (1, N)."""
    time = torch.arange(samples) / SPEC.sample_rate
    tones = sum(torch.sin(2 * math.pi * hz * time) for hz in (220.0, 554.37, 1318.5))
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(1))
    sound = tones * torch.exp(-2 * time) + 0.05 * noise
    return (peak * sound / sound.abs().max()).unsqueeze(0)


def test_every_frame_gives_exactly_one_hop() -> None:
    vocoder = GriffinLim(SPEC, iterations=2)
    assert [vocoder(torch.zeros(1, 1, 64, t)).shape[-1] for t in (2, 3, 64)] == [1024, 1536, 32_768]


def test_the_mel_of_the_sound_is_near_the_mel_given() -> None:
    mel = LogMel(SPEC)(chord())
    error = (LogMel(SPEC)(GriffinLim(SPEC)(mel)) - mel).abs().mean().item()
    assert error < 0.15  # the level of a recording that went through it; noise is above 2


def test_silence_stays_silent() -> None:
    mel = LogMel(SPEC)(torch.zeros(1, 4096))
    assert GriffinLim(SPEC)(mel).abs().max() < 1e-3


def test_iterations_bring_the_sound_nearer() -> None:
    mel = LogMel(SPEC)(chord(8192))
    sounds = [GriffinLim(SPEC, iterations=n)(mel) for n in (0, 10, 60)]
    errors = [(LogMel(SPEC)(sound) - mel).abs().mean().item() for sound in sounds]
    assert errors == sorted(errors, reverse=True)


def test_a_sound_does_not_depend_on_its_batch_or_on_earlier_calls() -> None:
    vocoder = GriffinLim(SPEC, iterations=5)
    mel = LogMel(SPEC)(torch.cat([chord(4096), chord(4096).flip(1)]))
    torch.manual_seed(123)
    together, alone = vocoder(mel), vocoder(mel[1:])
    assert torch.allclose(together[1:], alone, atol=1e-5)
    assert torch.equal(vocoder(mel), together)


def test_pieces_of_a_long_mel_join_without_seams() -> None:
    vocoder, mel = GriffinLim(SPEC, iterations=5), LogMel(SPEC)(chord(512 * 400))
    whole = vocoder(mel)
    pieces = InPieces(vocoder, margin=vocoder.context, frames=vocoder.context)(mel)
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-4)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    GriffinLim(SPEC, iterations=1)(torch.zeros(1, 1, 64, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_inverted_filters_give_the_mel_back() -> None:
    vocoder, mel = GriffinLim(SPEC), LogMel(SPEC)(chord()).squeeze(1).exp()
    magnitude = vocoder.magnitude(mel)
    assert magnitude.min() >= 0
    error = ((vocoder.filters @ magnitude).log() - mel.log()).abs()
    assert error.mean() < 1e-3
    assert error.max() < 0.1


@pytest.mark.parametrize("nepers", [-3.0, 1.0, 3.0])
def test_a_sound_has_the_level_of_its_mel_whatever_that_is(nepers: float) -> None:
    mel = LogMel(SPEC)(chord(4096))
    plain, louder = (GriffinLim(SPEC, iterations=5)(m) for m in (mel, mel + nepers))
    torch.testing.assert_close(louder, plain * math.exp(nepers), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 64, 8), (1, 1, 80, 8), (1, 1, 64, 1)])
def test_a_wrong_mel_is_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="need a mel"):
        GriffinLim(SPEC)(torch.zeros(shape))
