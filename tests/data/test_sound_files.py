"""Sound files of every kind are read alike, whoever reads them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from make_media import tone, write_media

from clipsonic_cli.audio.files import NotSound
from clipsonic_cli.data.media import read_audio
from clipsonic_cli.data.sound_files import is_sound, read_sound_file
from clipsonic_cli.types import Clip

RATE = 16_000
KINDS = {
    "a.wav": {"audio": "pcm_s16le"},
    "b.wav": {"audio": "pcm_f32le"},
    "a.aiff": {"audio": "pcm_s16be"},
    "a.flac": {"audio": "flac"},
    "a.mp3": {"audio": "libmp3lame"},
    "a.opus": {"audio": "libopus", "rate": 48_000, "container": "ogg"},
    "a.m4a": {"audio": "aac", "container": "ipod"},
    "a.aac": {"audio": "aac", "container": "adts"},
    "a.wv": {"audio": "wavpack"},
    "a.mka": {"audio": "flac", "container": "matroska"},
    "a.ac3": {"audio": "ac3", "rate": 48_000},
    "a.mp4": {"video": "mpeg4", "audio": "aac"},
}


@pytest.mark.parametrize("name", KINDS)
def test_a_tone_comes_back_at_its_rate_length_and_level(name, tmp_path):
    details = {"video": None, **KINDS[name]}
    path = write_media(tmp_path / name, seconds=2.0, **details)
    audio = read_sound_file(path)
    assert is_sound(path)
    assert audio.sample_rate == details.get("rate", RATE)
    assert abs(len(audio.samples) / audio.sample_rate - 2) < 0.15
    middle = audio.samples[len(audio.samples) // 4 : -len(audio.samples) // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / 2**0.5, rel=0.07)
    assert len(read_sound_file(path, 8000).samples) == pytest.approx(16_000, abs=1200)


@pytest.mark.parametrize("layout", ["stereo", "5.1", "7.1"])
def test_training_and_evaluation_mix_channels_alike(layout, tmp_path):
    count = {"stereo": 2, "5.1": 6, "7.1": 8}[layout]
    values = np.stack([tone(1, RATE, 200 + 100 * channel, 0.1) for channel in range(count)])
    path = tmp_path / "a.wav"
    write_media(path, video=None, audio="pcm_s16le", layout=layout, samples=values)
    trained = read_audio(Clip(id="a", media=path), RATE).samples
    np.testing.assert_allclose(read_sound_file(path).samples, trained, atol=1e-4)


def test_channels_that_cancel_are_noted(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(1, RATE), -tone(1, RATE)], axis=1), RATE)
    audio = read_sound_file(tmp_path / "a.wav")
    assert np.abs(audio.samples).max() > 0.4
    assert audio.notes == ("channels cancel each other: channel 1 alone is used",)


def test_a_wav_with_another_behind_it_is_noted(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1, RATE), RATE)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "b.wav").write_bytes(whole + whole)
    assert read_sound_file(tmp_path / "a.wav").notes == ()
    [note] = read_sound_file(tmp_path / "b.wav").notes
    assert note == "only the first of recordings joined end to end is read"


def test_of_joined_vorbis_all_is_read(tmp_path):
    for number in range(2):
        soundfile.write(tmp_path / f"{number}.ogg", tone(4, RATE, 440 + number), RATE)
    parts = [(tmp_path / f"{number}.ogg").read_bytes() for number in range(2)]
    (tmp_path / "a.ogg").write_bytes(b"".join(parts))
    assert abs(len(read_sound_file(tmp_path / "a.ogg").samples) / RATE - 8) < 0.1


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a", "a.mp4"])
@pytest.mark.parametrize("content", [b"", b"This is no sound.\n" * 50])
def test_what_holds_no_sound_says_why(name, content, tmp_path, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NotSound) as caught:
        read_sound_file(tmp_path / name)
    assert name in str(caught.value)
    assert caught.value.reason
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.mp3", "a.wav"])
def test_a_missing_file_or_a_folder_says_so(name, tmp_path: Path):
    with pytest.raises(NotSound, match="does not exist"):
        read_sound_file(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(NotSound, match="is a folder"):
        read_sound_file(tmp_path / name)


def test_a_video_without_sound_says_so(tmp_path):
    with pytest.raises(NotSound, match="no audio"):
        read_sound_file(write_media(tmp_path / "a.mp4", audio=None))
