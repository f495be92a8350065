"""What every vocoder of the registry does, whichever it is."""

import inspect

import pytest
import torch

from clipsonic_cli import ClipSonic
from clipsonic_cli.config import MelSpec
from clipsonic_cli.models import VOCODERS
from clipsonic_cli.modes import MODES

PARTS = {"vocoder"} | {part for mode in MODES.values() for part in mode.weights}


@pytest.fixture(params=list(VOCODERS))
def name(request):
    return request.param


@pytest.fixture
def model(micro, micro_vocos, name):
    """A model whose vocoder it is, if it needs a part."""
    return micro_vocos if name == "vocos" else micro


@pytest.fixture
def vocoder(model, name):
    return ClipSonic.load(model, device="cpu").parts.vocoder(name, MelSpec())


def context_of(vocoder):
    return getattr(vocoder, "vocoder", vocoder).context


def mels(frames=6, rows=2, seed=0):
    """Natural-log mels (rows, 1, 64, frames)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 1, 64, frames, generator=generator) - 5


def test_it_says_what_it_needs(name, vocoder):
    kind, context = VOCODERS.load(name), context_of(vocoder)
    assert kind.part is None or kind.part in PARTS
    assert context is None or context > 0
    arguments = {"spec"} if kind.part is None else {"spec", "config"}
    assert arguments <= inspect.signature(kind).parameters.keys()


def test_a_model_says_which_part_it_needs(model, name):
    part = VOCODERS.load(name).part
    assert ClipSonic.load(model).vocoder_parts(name) == ({part} if part else set())


def test_a_mel_of_t_frames_gives_as_many_hops(vocoder):
    waveforms = vocoder(mels())
    assert waveforms.shape == (2, 6 * MelSpec().hop_length)
    assert waveforms.dtype == torch.float32
    assert waveforms.isfinite().all()
    assert not waveforms.requires_grad


def test_the_same_mel_gives_the_same_waveform(vocoder):
    assert torch.equal(vocoder(mels()), vocoder(mels()))


def test_a_row_does_not_depend_on_the_batch(vocoder):
    both, other = vocoder(mels()), mels(seed=1)
    mixed = vocoder(torch.cat([other[:1], mels()[1:]]))
    torch.testing.assert_close(mixed[1], both[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(mixed[0], both[0], atol=1e-4)


@pytest.mark.parametrize("name", [n for n in VOCODERS if VOCODERS.load(n).part])
def test_a_sample_depends_on_its_context_alone(vocoder):
    context = context_of(vocoder)
    mel, hop = mels(frames=2 * context + 1, rows=1), MelSpec().hop_length
    changed = mel.clone()
    changed[..., 0] += 1
    changed[..., -1] -= 1
    middle = slice(context * hop, (context + 1) * hop)
    before, after = vocoder(mel)[:, middle], vocoder(changed)[:, middle]
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)


def test_long_mels_are_computed_in_pieces_only_where_the_context_is_known(vocoder):
    assert hasattr(vocoder, "margin") == (context_of(vocoder) is not None)
