"""The reasons why a training goes without the distance of held-out frames."""

from types import SimpleNamespace

import pytest
import torch
from small_videos import write_videos

from clipsonic_cli.config import NATIVE_FRAMES, MelSpec
from clipsonic_cli.metrics.vggish import VGGishBackbone
from clipsonic_cli.preparation.dataset import FramesAndSounds, TextsAndSounds
from clipsonic_cli.store import assets
from clipsonic_cli.training.held_out_fad import backbone_for, held_out_fad, why_none
from clipsonic_cli.training.request import Source, TrainCallbacks, TrainRequest
from clipsonic_cli.training.run import begin

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def clips(count, mel_frames=NATIVE_FRAMES):
    """Return as many clips of a length, standing in for prepared ones."""
    return SimpleNamespace(
        clips=range(count),
        spec=MelSpec(),
        place=lambda number: SimpleNamespace(mel_frames=mel_frames),
    )


@pytest.fixture
def vggish(monkeypatch, tmp_path):
    """Let VGGish seem downloaded."""
    monkeypatch.setattr(assets, "part_here", {"vggish": tmp_path / "vggish.safetensors"}.get)


def test_too_few_held_out_clips_are_reported_with_what_would_help():
    reason = why_none(FramesAndSounds(clips(600)), FramesAndSounds(clips(31)), GPU)
    assert reason == (
        "No FAD of held-out frames: it takes 32 held-out clips of 4.1 s or longer, here are 31 "
        "(add videos, or mark more as 'valid' in a list)."
    )
    assert why_none(FramesAndSounds(clips(600)), FramesAndSounds(clips(32)), GPU) is None


def test_held_out_clips_that_are_too_short_do_not_count():
    short = FramesAndSounds(clips(100, mel_frames=NATIVE_FRAMES - 1))
    assert "here are 0" in why_none(short, short, GPU)
    assert "here are 0" in why_none(short, None, GPU)


def test_the_line_is_reported_just_where_clips_are_too_few_for_a_distance(micro):
    few = FramesAndSounds(clips(31))
    assert why_none(few, few, GPU) is not None
    assert held_out_fad(micro, few, None, device=CPU) is None


def test_a_cpu_without_vggish_is_reported_with_what_would_help():
    enough = FramesAndSounds(clips(32))
    assert backbone_for(CPU) is None
    assert why_none(enough, enough, CPU) == (
        "No FAD of held-out frames: on a CPU it takes VGGish (clipsonic download vggish)."
    )


def test_all_that_a_distance_lacks_is_one_line():
    reason = why_none(FramesAndSounds(clips(9)), None, CPU)
    assert "here are 0" in reason
    assert "download vggish" in reason
    assert "\n" not in reason


def test_nothing_is_reported_a_cpu_with_vggish(vggish):
    enough = FramesAndSounds(clips(32))
    assert backbone_for(CPU) is VGGishBackbone
    assert why_none(enough, enough, CPU) is None


def test_nothing_is_reported_where_no_frames_are_learnt_from():
    assert why_none(TextsAndSounds(clips(9), None), None, CPU) is None


def test_a_distance_that_is_impossible_is_said_in_the_card_alone(micro, tmp_path):
    request = TrainRequest(
        source=Source(data=str(write_videos(tmp_path / "data", 6)), workers=0),
        out=tmp_path / "run",
        name="silent",
        base=str(micro),
        warm_start=str(micro),
        train={"steps": 1, "batch_size": 1, "precision": "float32"},
        sample_every=0,
    )
    messages = []
    outcome = begin(request, device=CPU, callbacks=TrainCallbacks(on_message=messages.append))
    assert not [line for line in messages if "FAD" in line]
    assert (
        "\nNo FAD of held-out frames: it takes 32" in (outcome.path / "MODEL_CARD.md").read_text()
    )
