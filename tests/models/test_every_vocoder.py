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


def mels(frames=6, rows=2, seed=0):
    """Natural-log mels (rows, 1, 64, frames)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 1, 64, frames, generator=generator) - 5


def test_it_says_what_it_needs(name, vocoder):
    kind = VOCODERS.load(name)
    assert kind.part is None or kind.part in PARTS
    assert vocoder.margin == vocoder.vocoder.context > 0
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


def test_a_sample_depends_on_its_context_alone(vocoder):
    vocoder, context = vocoder.vocoder, vocoder.margin
    mel, hop = mels(frames=2 * context + 1, rows=1), MelSpec().hop_length
    changed = mel.clone()
    changed[..., 0] += 1
    changed[..., -1] -= 1
    middle = slice(context * hop, (context + 1) * hop)
    before, after = vocoder(mel)[:, middle], vocoder(changed)[:, middle]
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)


def test_no_piece_of_a_long_mel_grows_with_it(vocoder):
    seen = []

    def record(_, arguments):
        seen.append(arguments[0].shape[-1])

    vocoder.vocoder.forward = lambda mel: torch.zeros(len(mel), mel.shape[-1])
    vocoder.vocoder.register_forward_pre_hook(record)
    assert vocoder(mels(frames=20_000)).shape == (2, 20_000)
    assert max(seen) == vocoder.frames + 2 * vocoder.margin < 2000
    assert sum(seen) < 1.4 * 20_000
