import pytest
import torch

from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import MelSpec
from clipsonic_cli.preparation import mels
from clipsonic_cli.preparation.mels import margin, mel_of

SPECS = [
    MelSpec(),
    MelSpec(n_fft=512, hop_length=128),
    MelSpec(n_fft=512, hop_length=256),  # the hop is longer than what is reflected
    MelSpec(n_fft=4096, hop_length=256),
]


def noise(samples, seed=0):
    return torch.rand(samples, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.n_fft}-{spec.hop_length}")
def test_pieces_make_the_mel_of_the_whole(spec, monkeypatch):
    monkeypatch.setattr(mels, "PIECE", 32)
    log_mel, hop = LogMel(spec), spec.hop_length
    for frames in (9, 31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128, 129):
        for extra in (0, 1, hop - 1):
            wave = noise(frames * hop + extra)
            whole = log_mel(wave[None])[0, 0].T
            torch.testing.assert_close(mel_of(wave, log_mel), whole, rtol=0, atol=2e-5)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.n_fft}-{spec.hop_length}")
def test_audio_of_any_few_samples_have_a_mel_or_none(spec):
    log_mel, pad = LogMel(spec), (spec.n_fft - spec.hop_length) // 2
    for samples in (0, 1, pad, pad + 1, spec.hop_length, spec.n_fft):
        expected = samples // spec.hop_length if samples > pad else 0
        assert mel_of(noise(samples), log_mel).shape == (expected, spec.n_mels)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.n_fft}-{spec.hop_length}")
def test_ends_change_as_many_frames_as_the_margin_and_no_more(spec):
    hop, edge, frames = spec.hop_length, margin(spec), 40
    whole = LogMel(spec)(noise((frames + 20) * hop)[None])[0, 0].T
    cut = LogMel(spec)(noise((frames + 20) * hop)[None, : frames * hop])[0, 0].T
    same = (whole[:frames] - cut).abs().amax(1) < 1e-5
    assert same.tolist() == [True] * (frames - edge) + [False] * edge
