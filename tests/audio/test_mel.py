import math

import pytest
import torch

from clipsonic_cli.audio.mel import (
    LogMel,
    denormalize,
    hz_to_mel,
    istft,
    mel_filters,
    mel_to_hz,
    normalize,
    onset,
    stft,
)
from clipsonic_cli.config import MelSpec

SPEC = MelSpec()


def sine(hz: float, samples: int = 16_384, amplitude: float = 0.95) -> torch.Tensor:
    time = torch.arange(samples, dtype=torch.float64) / SPEC.sample_rate
    return (amplitude * torch.sin(2 * math.pi * hz * time)).float().unsqueeze(0)  # (1, N)


def test_silence_is_exactly_the_floor() -> None:
    mel = LogMel(SPEC)(torch.zeros(2, 4096))
    assert mel.shape == (2, 1, 64, 8)
    assert torch.allclose(mel, torch.full_like(mel, math.log(1e-5)), atol=1e-6)
    assert torch.all(normalize(mel, SPEC) == -1)


@pytest.mark.parametrize(("samples", "frames"), [(1024, 2), (1535, 2), (1536, 3), (65_536, 128)])
def test_frames_are_whole_hops(samples: int, frames: int) -> None:
    assert LogMel(SPEC)(torch.zeros(1, samples)).shape[-1] == frames


@pytest.mark.parametrize("spec", [SPEC, MelSpec(n_fft=1024, hop_length=256), MelSpec(n_fft=1200)])
def test_synthesis_undoes_analysis(spec: MelSpec) -> None:
    waveform = torch.randn(2, 20 * spec.hop_length, generator=torch.Generator().manual_seed(0))
    window = torch.hann_window(spec.n_fft)
    again = istft(stft(waveform, spec, window), spec, window)
    assert torch.allclose(again, waveform, atol=1e-4)


def test_a_spectrum_is_that_of_torch() -> None:
    waveform = torch.randn(2, 20 * SPEC.hop_length, generator=torch.Generator().manual_seed(1))
    window, pad = torch.hann_window(SPEC.n_fft), (SPEC.n_fft - SPEC.hop_length) // 2
    padded = torch.nn.functional.pad(waveform, (pad, pad), mode="reflect")
    sizes, options = (SPEC.n_fft, SPEC.hop_length), {"center": False, "return_complex": True}
    expected = torch.stft(padded, *sizes, window=window, **options)
    torch.testing.assert_close(stft(waveform, SPEC, window), expected)


@pytest.mark.parametrize("spec", [SPEC, MelSpec(n_fft=1200)])
def test_a_synthesis_of_any_spectrum_is_weighted_overlap_add(spec: MelSpec) -> None:
    generator = torch.Generator().manual_seed(2)
    spectrum = torch.randn(1, spec.n_fft // 2 + 1, 7, dtype=torch.complex64, generator=generator)
    spectrum.requires_grad_()
    window = torch.hann_window(spec.n_fft)
    waveform = istft(spectrum, spec, window)
    frames = torch.fft.irfft(spectrum.detach(), n=spec.n_fft, dim=1)[0].T
    pad = (spec.n_fft - spec.hop_length) // 2
    added = torch.zeros(2, spec.hop_length * 6 + spec.n_fft)
    for i, frame in enumerate(frames):
        place = slice(i * spec.hop_length, i * spec.hop_length + spec.n_fft)
        added[:, place] += torch.stack([frame * window, window.square()])
    expected = (added[0] / added[1])[pad : pad + waveform.shape[1]]
    torch.testing.assert_close(waveform[0], expected, atol=1e-5, rtol=1e-4)
    waveform.square().sum().backward()  # also of samples that no window covers
    assert spectrum.grad is not None
    assert spectrum.grad.isfinite().all()


@pytest.mark.parametrize("band", [5, 20, 40, 60])
def test_a_sine_at_a_bands_centre_peaks_in_that_band(band: int) -> None:
    hz = mel_to_hz((band + 1) * hz_to_mel(SPEC.f_max) / (SPEC.n_mels + 1))
    mel = LogMel(SPEC)(sine(hz))[0, 0, :, 4:-4]
    assert torch.all(mel.argmax(dim=0) == band)


def test_concert_pitch_peaks_in_the_ninth_band() -> None:
    """440 Hz is 6.6 mels; the bands' centres are 0.696 mels apart, so the ninth is nearest."""
    assert LogMel(SPEC)(sine(440.0))[0, 0, :, 8].argmax().item() == 8


def test_a_sine_has_the_level_of_its_window_and_filter() -> None:
    """A bin-centred sine of amplitude a fills bins k-1, k, k+1 with a n/4 of (1/2, 1, 1/2)."""
    k = 128  # 1000 Hz
    peak = 0.95 * SPEC.n_fft / 4
    filters = mel_filters(SPEC)
    expected = torch.log(filters[:, k - 1 : k + 2] @ torch.tensor([0.5, 1.0, 0.5]) * peak)
    mel = LogMel(SPEC)(sine(1000.0))[0, 0, :, 8]
    assert mel.max().item() == pytest.approx(expected.max().item(), abs=1e-4)


def test_filters_have_unit_area() -> None:
    spec = MelSpec(n_fft=1 << 16)  # so fine that a sum is an integral
    area = mel_filters(spec).sum(dim=1) * spec.sample_rate / spec.n_fft
    assert torch.allclose(area, torch.ones(spec.n_mels), atol=1e-3)


def test_filters_are_librosas() -> None:
    """Figures of librosa 0.11: filters.mel(sr=16000, n_fft=2048, n_mels=64)."""
    filters = mel_filters(SPEC)
    assert filters.shape == (64, 1025)
    for (band, k), weight in {
        (0, 4): 0.014511282,
        (0, 8): 0.014075512,
        (20, 125): 0.020423438,
        (40, 325): 0.008078438,
        (63, 970): 0.002369758,
        (63, 1000): 0.001373712,
    }.items():
        assert filters[band, k].item() == pytest.approx(weight, abs=1e-8)


def test_every_band_embeds_something() -> None:
    assert torch.all(mel_filters(SPEC).sum(dim=1) > 0)


@pytest.mark.parametrize("hz", [0.0, 440.0, 999.999, 1000.0, 6400.0, 8000.0])
def test_mel_scale_round_trips(hz: float) -> None:
    assert mel_to_hz(hz_to_mel(hz)) == pytest.approx(hz, abs=1e-9)


def test_slaney_scale_at_its_landmarks() -> None:
    assert hz_to_mel(1000.0) == pytest.approx(15.0)
    assert hz_to_mel(6400.0) == pytest.approx(42.0)


def test_normalize_maps_the_range_to_one_and_back() -> None:
    mel = torch.linspace(SPEC.log_min, SPEC.log_max, 101)
    x_0 = normalize(mel, SPEC)
    assert (x_0[0].item(), x_0[-1].item()) == (-1.0, 1.0)
    assert torch.allclose(denormalize(x_0, SPEC), mel, atol=1e-5)


def test_overshoot_is_clamped_both_ways() -> None:
    assert normalize(torch.tensor([-99.0, 99.0]), SPEC).tolist() == [-1.0, 1.0]
    ends = denormalize(torch.tensor([-2.0, 2.0]), SPEC).tolist()
    assert ends == pytest.approx([SPEC.log_min, SPEC.log_max], abs=1e-5)


def test_silence_has_a_finite_gradient() -> None:
    waveform = torch.zeros(1, 2048, requires_grad=True)
    LogMel(SPEC)(waveform).sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()


def test_buffers_stay_out_of_the_state_dict() -> None:
    assert LogMel(SPEC).state_dict() == {}


@pytest.mark.parametrize("shape", [(768,), (1, 768), (1, 1, 4096)])
def test_a_wrong_waveform_is_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="768 samples"):
        LogMel(SPEC)(torch.zeros(shape))


def test_bands_beyond_half_the_sample_rate_are_rejected() -> None:
    with pytest.raises(ValueError, match="f_max"):
        mel_filters(MelSpec(sample_rate=8000))


@pytest.mark.parametrize(("place", "kept", "start"), [(20, 16, 19), (0, 16, 0), (60, 16, 48)])
def test_a_sound_begins_a_frame_before_it_is_near_its_loudest(place, kept, start):
    mel = torch.full((4, 64), -8.0)
    mel[2, place : place + 4] = torch.tensor([0.0, 0.5, 1.0, 0.2])[: 64 - place]
    mel[2, :place] += 2.0  # noise before it
    assert onset(mel, kept) == start


@pytest.mark.parametrize("value", [-11.5, float("nan")])
def test_a_mel_that_is_the_same_all_over_begins_at_its_beginning(value):
    assert onset(torch.full((4, 64), value), 16) == 0
