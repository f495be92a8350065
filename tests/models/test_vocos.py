import math
from dataclasses import replace

import pytest
import torch

from clipsonic_cli.audio.mel import LogMel, mel_filters, stft
from clipsonic_cli.config import VOCOS_SIZES, MelSpec, VocosConfig
from clipsonic_cli.models.vocoders import InPieces, build_vocoder
from clipsonic_cli.models.vocos import AMPLITUDE_FLOOR, FIT_STEPS, Vocos
from clipsonic_cli.store import bundle

SPEC = MelSpec()
SMALL = VocosConfig(width=16, depth=2, rounds=4)


def build(config=SMALL, spec=SPEC):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Vocos(config, spec)


def noise(rows=2, samples=512 * 20):
    return 0.1 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("spec", [SPEC, MelSpec(n_fft=256, hop_length=64, n_mels=16)])
def test_the_true_spectrum_gives_the_waveform_back(spec):
    """So its frames are those of the mel, to the sample."""
    waveform, vocoder = noise(), build(spec=spec)
    spectrum = stft(waveform, spec, vocoder.griffin_lim.window)
    made = vocoder.waveform(spectrum.abs().log(), spectrum.angle())
    torch.testing.assert_close(made, waveform, atol=1e-5, rtol=0)


def test_amplitudes_begin_where_the_filters_alone_can_tell_them():
    """A spectrum that is a sum of filters is what the pseudo-inverse of its mel is."""
    filters = mel_filters(SPEC)
    weights = torch.rand(1, 64, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    amplitude = filters.T @ weights * 100  # (1, bins, T)
    log_amplitude, _ = build().spectra((filters @ amplitude).log().unsqueeze(1))
    expected = amplitude.clamp(min=AMPLITUDE_FLOOR).log()
    torch.testing.assert_close(log_amplitude[:, 1:-1], expected[:, 1:-1], atol=1e-2, rtol=0)


def test_a_full_scale_tone_is_below_the_largest_amplitude():
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(8192) / SPEC.sample_rate).unsqueeze(0)
    mel = LogMel(SPEC)(tone)
    log_amplitude, phase = build().spectra(mel)
    assert log_amplitude.max() < 7
    assert phase.abs().max() <= math.pi


def test_without_rounds_the_predicted_phase_is_played():
    wave = noise(1, 512 * 20)
    mel, spectrum = LogMel(SPEC)(wave), stft(wave, SPEC, build().griffin_lim.window)
    spectrum[:, [0, -1]] = 1e-6  # 0 Hz and 8 kHz, which are in no band of the mel
    made = {}
    for rounds in (0, 1):
        vocoder = build(replace(SMALL, rounds=rounds))
        vocoder.spectra = lambda _: (spectrum.abs().log(), spectrum.angle())
        made[rounds] = vocoder(mel)
    expected = build().waveform(spectrum.abs().log(), spectrum.angle())
    torch.testing.assert_close(made[0], expected, atol=1e-5, rtol=0)
    assert (made[1] - expected).abs().max() > 0.1


def test_every_weight_learns():
    vocoder = build()
    with torch.no_grad():
        vocoder.amplitude.weight.normal_(std=0.01)  # at zero it gives nothing before it a gradient
    log_amplitude, phase = vocoder(LogMel(SPEC)(noise()), as_spectra=True)
    assert (log_amplitude.shape, phase.shape) == ((2, 1025, 20), (2, 1025, 20))
    waveform = vocoder.waveform(log_amplitude, phase)
    (waveform.square().mean() + log_amplitude.mean()).backward()
    assert all(p.grad is not None and p.grad.any() for p in vocoder.parameters())
    assert all(p.grad.isfinite().all() for p in vocoder.parameters())


def test_pieces_equal_the_whole():
    vocoder = build().eval()
    mel = LogMel(SPEC)(noise(1, 512 * 450))
    with torch.no_grad():
        whole = vocoder(mel)
        pieces = InPieces(vocoder, margin=vocoder.context, frames=192)(mel)
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-4)


def test_the_context_is_that_of_the_convolutions_and_of_overlapping_windows():
    assert build(replace(SMALL, rounds=0)).context == 3 * 3 + 2
    assert build(replace(SMALL, rounds=60)).context == 192  # 3 * 3 + 60 * 3 + 2, in whole periods
    assert build(replace(SMALL, rounds=61)).context == 2 * 192


def test_the_sizes_are_as_stated():
    counts = {n: sum(p.numel() for p in build(c).parameters()) for n, c in VOCOS_SIZES.items()}
    assert {name: round(count / 1e6) for name, count in counts.items()} == {
        "large": 14, "base": 8, "mini": 4,
    }  # fmt: skip


def tone(hertz=440.0, samples=512 * 64):
    return 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(samples) / SPEC.sample_rate)[None]


def given(vocoder, spectrum):
    """A vocoder that predicts an amplitude, and phases of no use."""
    phase = torch.zeros_like(spectrum.abs())
    vocoder.spectra = lambda _: (spectrum.abs().clamp(min=AMPLITUDE_FLOOR).log(), phase)
    return vocoder


def test_from_the_true_amplitude_a_tone_keeps_its_pitch():
    """Which phases alone cannot give: in a steady mel all frames are alike."""
    wave = tone(440.0)
    vocoder = build(replace(SMALL, rounds=40))
    spectrum = stft(wave, SPEC, vocoder.griffin_lim.window)
    made = given(vocoder, spectrum)(LogMel(SPEC)(wave))[0, 8192:-8192]
    power = torch.fft.rfft(made * torch.hann_window(len(made))).abs().square()
    hertz = torch.arange(len(power)) * SPEC.sample_rate / len(made)
    assert power[(hertz - 440).abs() < 4].sum() > 0.9 * power.sum()


def test_the_waveform_has_the_mel_given_whatever_amplitude_is_predicted():
    wave = noise(1, 512 * 40)
    vocoder, mel = build(replace(SMALL, rounds=30)), LogMel(SPEC)(wave)
    apart = []
    for louder in (1.0, 8.0):
        spectrum = louder * stft(wave, SPEC, vocoder.griffin_lim.window)
        apart.append((LogMel(SPEC)(given(vocoder, spectrum)(mel)) - mel).abs().mean().item())
    assert apart[1] == pytest.approx(apart[0], abs=0.02)
    assert apart[0] < 0.25


def test_rounds_bring_the_spectrum_nearer_to_the_amplitude_predicted():
    mel = torch.randn(1, 1, 64, 16, generator=torch.Generator().manual_seed(0)) - 5
    apart = []
    for rounds in (1, 30):
        vocoder = build(replace(SMALL, rounds=rounds))
        with torch.no_grad():
            start = vocoder.spectra(mel)[0].exp()
            wanted = vocoder.griffin_lim.fit(start, mel.squeeze(1).exp(), FIT_STEPS)
            made = stft(vocoder(mel), SPEC, vocoder.griffin_lim.window).abs()
        apart.append((made - wanted).norm().item())
    assert apart[1] < 0.9 * apart[0]


def test_another_shape_is_rejected():
    with pytest.raises(ValueError, match=r"need a mel \(B, 1, 64, T\), got \(1, 1, 80, 8\)"):
        build()(torch.zeros(1, 1, 80, 8))


def test_a_file_gives_the_same_vocoder_back(tmp_path):
    vocoder = build().eval()
    header = bundle.Header(kind="vocoder", config=SMALL, mel=SPEC)
    path = tmp_path / "vocoder.safetensors"
    bundle.write(path, bundle.Bundle(header=header, weights=vocoder.state_dict()))
    part = bundle.load(path, kind="vocoder")
    assert part.header == header
    loaded = build_vocoder("vocos", SPEC, part.header.config, part.weights)
    mel = LogMel(SPEC)(noise())
    with torch.no_grad():
        torch.testing.assert_close(loaded(mel), vocoder(mel))
