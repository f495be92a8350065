import json
import math
from pathlib import Path

import pytest
import soundfile
import torch

from clipsonic_cli.audio import files, level

RATE, CEILING = 16_000, 0.891251
"""Hz, and -1 dBFS."""
FORMATS = [
    *((".wav", subtype) for subtype in ("pcm16", "pcm24", "float")),
    *((".flac", subtype) for subtype in ("pcm16", "pcm24")),
    (".ogg", "vorbis"),
]


def sound(peak: float, seed: int = 0, samples: int = 32_000) -> torch.Tensor:
    """Return clicks, a tone and noise, (N,), of an exact peak: what a codec overshoots."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(samples, generator=generator)
    time = torch.arange(samples) / RATE
    tone = torch.sin(2 * math.pi * (200 + 150 * seed) * time)
    clicks = torch.zeros(samples)
    clicks[:: 2000 + 97 * seed] = 3.0
    mixed = tone + clicks + 0.3 * noise
    return peak * mixed / mixed.abs().max()


@pytest.mark.parametrize("peak", [0.0, 0.3, CEILING])
def test_what_fits_is_left_bit_for_bit(peak: float) -> None:
    samples = sound(peak) * 0.9999
    guarded, gain = level.peak_guard(samples)
    assert (guarded is samples, gain) == (True, 1.0)


@pytest.mark.parametrize("peak", [0.895, 1.0, 2.4])
def test_what_exceeds_the_ceiling_is_scaled_to_it(peak: float) -> None:
    guarded, gain = level.peak_guard(sound(peak))
    assert gain == pytest.approx(CEILING / peak)
    assert guarded.abs().max().item() == pytest.approx(CEILING)


def test_numbers_that_are_not_finite_are_rejected() -> None:
    with pytest.raises(ValueError, match="finite"):
        level.peak_guard(torch.tensor([float("nan")]))


@pytest.mark.parametrize("peak", [0.5, 0.88, 0.9, 1.0, 2.4])
@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
def test_no_file_reads_back_above_the_ceiling_and_its_gain_is_undone(
    tmp_path: Path, suffix: str, subtype: str, peak: float
) -> None:
    samples, path = sound(peak), tmp_path / f"a{suffix}"
    gain = level.write(path, samples, RATE, {"of": "x"}, subtype=subtype)
    read = files.read(path, RATE)
    assert read.abs().max() <= CEILING + 2**-15
    assert level.read_gain(path) == gain
    assert level.read_description(path) == {"of": "x"}
    if peak <= CEILING and suffix != ".ogg":
        assert gain == 1
    level_of = samples.square().mean().sqrt()
    assert (read / gain).square().mean().sqrt() == pytest.approx(level_of.item(), rel=0.02)


def test_ogg_holds_the_ceiling_where_the_codec_overshoots(tmp_path: Path) -> None:
    overshot = 0
    for seed in range(12):
        samples, path = sound(CEILING, seed), tmp_path / f"{seed}.ogg"
        files.write(path, samples, RATE)
        overshot += bool(abs(soundfile.read(path)[0]).max() > CEILING)
        level.write(path, samples, RATE, {}, overwrite=True)
        assert abs(soundfile.read(path)[0]).max() <= CEILING + 1e-6
    assert overshot > 3  # else this tests nothing


def test_a_sound_in_float_comes_back_as_it_was_made(tmp_path: Path) -> None:
    samples = sound(3.0)
    gain = level.write(tmp_path / "a.wav", samples, RATE, {}, subtype="float")
    torch.testing.assert_close(files.read(tmp_path / "a.wav", RATE) / gain, samples)


def test_a_gain_from_before_is_part_of_the_files(tmp_path: Path) -> None:
    for scale, peak, expected in ((8.0, 0.5, 8.0), (0.01, 0.5, 0.01), (8.0, 2.0, 4 * CEILING)):
        path = tmp_path / f"{scale}-{peak}.wav"
        assert level.write(path, sound(peak), RATE, {}, scale=scale) == pytest.approx(expected)
        assert level.read_gain(path) == pytest.approx(expected)


@pytest.mark.parametrize("comment", ["no JSON", "[1]", "{}", "[" * 100_000])
def test_a_file_that_is_not_ours_has_the_level_it_has(tmp_path: Path, comment: str) -> None:
    files.write(tmp_path / "a.flac", sound(0.5), RATE, metadata={"comment": comment})
    assert level.read_gain(tmp_path / "a.flac") == 1
    assert level.read_description(tmp_path / "a.flac") == {}


@pytest.mark.parametrize("gain", [0, -1, 1e5, 1e-9, True, "1", None, [1], float("nan")])
def test_a_gain_that_no_guard_has_is_rejected(tmp_path: Path, gain: object) -> None:
    comment = json.dumps({level.GAIN: gain})
    files.write(tmp_path / "a.wav", sound(0.5), RATE, metadata={"comment": comment})
    with pytest.raises(files.NotSound, match=r"its gain is .* not a number from 0\.0001 to 10000"):
        level.read_gain(tmp_path / "a.wav")
