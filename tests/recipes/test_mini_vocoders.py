import pytest
import torch
import vocoders
from sounds import SPEC

from clipsonic_cli.audio.mel import LogMel, stft
from clipsonic_cli.config import VocosConfig
from clipsonic_cli.models.vocos import Vocos


def noise(seed=0, samples=8192):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def test_a_sound_has_no_distance_to_itself_and_the_double_that_of_its_level():
    waves = [noise(0), noise(1)]
    assert vocoders.log_mel_l1(waves, waves) == 0
    assert vocoders.spectral_distance(waves, waves) == 0
    doubled = [2 * wave for wave in waves]
    assert vocoders.log_mel_l1(doubled, waves) == pytest.approx(0.6931, abs=1e-3)
    assert vocoders.spectral_distance(doubled, waves) == pytest.approx(1 + 0.6931, abs=1e-2)


def test_clips_are_spread_over_the_list():
    clips = [{"id": number} for number in range(10)]
    assert [clip["id"] for clip in vocoders.spread(clips, 4)] == [0, 2, 5, 7]
    assert vocoders.spread(clips, 99) == clips


def test_what_gives_the_recording_back_keeps_its_attacks():
    wave = torch.cat([torch.zeros(8192), noise(samples=8192)])
    assert vocoders.rises([wave], [wave], [[512]])[1] == 1.0


def test_no_rounds_of_griffin_lim_are_the_network_alone():
    vocos = Vocos(VocosConfig(width=8, depth=1), SPEC)
    mel = torch.randn(1, 1, 64, 8, generator=torch.Generator().manual_seed(0)) - 5
    with torch.no_grad():
        refined = vocoders.Refined(vocos, rounds=0)(mel)
        torch.testing.assert_close(refined, vocos(mel), atol=1e-5, rtol=1e-4)


def test_rounds_bring_the_spectrum_nearer_to_its_amplitude():
    vocos = Vocos(VocosConfig(width=8, depth=1), SPEC)
    mel = torch.randn(1, 1, 64, 16, generator=torch.Generator().manual_seed(0)) - 5
    with torch.no_grad():
        wanted = vocos.spectra(mel)[0].exp()
        apart = [
            (stft(vocoders.Refined(vocos, rounds=n)(mel), SPEC, vocos.window).abs() - wanted).norm()
            for n in (0, 10)
        ]
    assert apart[1] < apart[0]


def test_with_its_own_amplitude_griffin_lim_takes_the_phase_alone():
    vocos = Vocos(VocosConfig(width=8, depth=1), SPEC)
    mel = LogMel(SPEC)(noise()[None])
    made = []
    for loudness in (0.0, 1.0):
        torch.nn.init.constant_(vocos.amplitude.bias, loudness)
        with torch.no_grad():
            made += [vocoders.Refined(vocos, own_amplitude=own)(mel) for own in (True, False)]
    torch.testing.assert_close(made[2], made[0])
    assert made[3].norm() > 2 * made[1].norm()


def test_a_page_has_a_row_for_each_vocoder():
    rows = [("recording", *"-------"), ("vocos", *"1234567")]
    text = vocoders.page(rows, clips=20, onsets=31)
    assert "| vocos | 1 | 2 | 3 | 4 | 5 | 6 | 7 |" in text
    assert "20 clips" in text
    assert "31 attacks" in text
