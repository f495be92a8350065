import math

import pytest
import torch
import vocoders
from sounds import SPEC

from clipsonic_cli.audio.mel import LogMel
from clipsonic_cli.config import VocosConfig
from clipsonic_cli.models.vocos import Vocos


def noise(seed=0, samples=8192):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def test_a_sound_has_no_distance_to_itself_and_the_double_that_of_its_level():
    waves = [noise(0), noise(1)]
    assert vocoders.log_mel_l1(waves, waves) == 0
    doubled = [2 * wave for wave in waves]
    assert vocoders.log_mel_l1(doubled, waves) == pytest.approx(0.6931, abs=1e-3)


def test_clips_are_spread_over_the_list():
    clips = [{"id": number} for number in range(10)]
    assert [clip["id"] for clip in vocoders.spread(clips, 4)] == [0, 2, 5, 7]
    assert vocoders.spread(clips, 99) == clips


def test_what_gives_the_recording_back_keeps_its_attacks():
    wave = torch.cat([torch.zeros(8192), noise(samples=8192)])
    assert vocoders.rises([wave], [wave], [[512]])[1] == 1.0


def test_the_halves_of_a_vocos_take_its_amplitude_or_its_phase():
    vocos = Vocos(VocosConfig(width=8, depth=1, rounds=2), SPEC)
    mel, made = LogMel(SPEC)(noise()[None]), {}
    for loudness in (0.0, 1.0):
        torch.nn.init.constant_(vocos.amplitude.bias, loudness)
        with torch.no_grad():
            for name, vocode in vocoders.halves("v", vocos).items():
                made.setdefault(name, []).append(vocode(mel))
    alone, phase, both = made.values()
    torch.testing.assert_close(alone[1], math.e * alone[0])  # as predicted
    torch.testing.assert_close(phase[1], phase[0])  # the predicted amplitude is not read
    torch.testing.assert_close(both[1], both[0], atol=1e-3, rtol=0)  # its level is fitted


def scores(*values):
    return vocoders.Scores(*values)


def test_a_page_has_a_row_for_each_vocoder():
    table = {
        "recording": scores(None, None, None, 0.8, 20, 1, None, None),
        "vocos": scores(0.1, 1.25, 0.01, 0.75, 22, 1.125, 0.5, 0.03),
    }
    text = vocoders.page(table, clips=20, onsets=31)
    assert "| recording | - | - | - | 0.800 | 20 | 1.00 | - | - |" in text
    assert "| vocos | 0.100 | 1.250 | 0.010 | 0.750 | 22 | 1.12 | 0.50 | 0.0300 |" in text
    assert "20 clips" in text
    assert "31 attacks" in text


def test_the_default_is_best_by_all_losses_and_its_part_is_shipped():
    candidates = {
        "griffin-lim": vocoders.Candidate(lambda mel: mel, "griffin-lim"),
        "vocos, 9 steps": vocoders.Candidate(lambda mel: mel, "vocos", "vocos"),
        "its half": vocoders.Candidate(lambda mel: mel),
        "vocos-critics, 9 steps": vocoders.Candidate(lambda mel: mel, "vocos", "vocos-critics"),
    }
    plain = scores(0.1, 1.5, 0.2, 0.7, 30, 1.5, 0.3, 0.1)
    better = scores(0.2, 1.2, 0.1, 0.7, 20, 0.9, 0.9, 0.1)
    perfect = scores(0, 0, 0, 1, 20, 1, 1, 0)
    worse = scores(0.3, 1.3, 0.3, 0.6, 30, 2, 0.8, 0.1)
    table = dict(zip(candidates, (plain, better, perfect, worse), strict=True))
    part, meta = vocoders.choose(candidates, table)
    assert (part, meta["default_vocoder"]) == ("vocos", "vocos")
    assert meta["scores"]["vocos"]["spectral_distance"] == 1.2
    assert meta["scores"]["griffin-lim"]["spectral_distance"] == 1.5
    table["griffin-lim"] = perfect
    part, meta = vocoders.choose(candidates, table)
    assert (part, meta["default_vocoder"]) == ("vocos", "griffin-lim")
