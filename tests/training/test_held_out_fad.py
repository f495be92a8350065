"""A Frechet distance as training goes on, with a VGGish of random weights."""

from types import SimpleNamespace

import pytest
import torch

from clipsonic_cli.config import NATIVE_FRAMES, MelSpec
from clipsonic_cli.metrics.vggish import VGGishBackbone
from clipsonic_cli.models.vggish import VGGish
from clipsonic_cli.store import bundle
from clipsonic_cli.training import held_out_fad

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VGGishBackbone(VGGish().eval())


@pytest.fixture
def held_out(micro):
    """Ten held-out clips of noise, in the place of prepared ones."""
    header = bundle.read_header(micro / "unet.safetensors")
    embeds = torch.nn.functional.normalize(torch.randn(10, header.config.cond_dim), dim=-1)
    clips = SimpleNamespace(
        clips=range(10),
        spec=header.mel,
        place=lambda number: SimpleNamespace(mel_frames=NATIVE_FRAMES),
        name=str,
        mel=lambda place, start, frames: torch.randn(1, MelSpec().n_mels, frames) - 5,
    )
    return SimpleNamespace(clips=clips, draw=lambda n, generator: {"embed": embeds[n]})


def test_a_distance_is_given_and_torchs_generator_left_as_it_was(
    micro, held_out, backbone, monkeypatch
):
    monkeypatch.setattr(held_out_fad, "CLIPS", 4)
    monkeypatch.setattr(held_out_fad, "LEAST_CLIPS", 2)
    monkeypatch.setattr(held_out_fad, "STEPS", 2)
    progress, state = [], torch.random.get_rng_state()
    with torch.random.fork_rng():
        found = held_out_fad.held_out_fad(
            micro, held_out, backbone, device=CPU, report=lambda *call: progress.append(call)
        )
    assert found > 0
    assert progress[-1] == ("fad", 4, 4)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_too_few_clips_give_none(micro, held_out, backbone):
    assert held_out_fad.held_out_fad(micro, held_out, backbone, device=CPU) is None
