"""What is decoded is what was written, at its time."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from make_media import frame_of, put, read_samples, rotate, tone, write_media
from PIL import Image

from clipsonic_cli.data.media import every, read_audio, read_frames
from clipsonic_cli.data.source import Unreadable
from clipsonic_cli.types import Clip


def clip(path: Path, **details) -> Clip:
    return Clip(id=path.name, media=path, **details)


def frames(path: Path, times, **details) -> list[int]:
    return [frame_of(image) for image in read_frames(clip(path, **details), times)]


def pitch(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * rate))
    return spectrum.argmax() / 8


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples[2000:-2000] ** 2)))


EXACT = {"a.mp4": {}, "a.mov": {"audio": "pcm_s16le"}, "a.avi": {"audio": "pcm_s16le"}}
EXACT |= {"a.wav": {"video": None, "audio": "pcm_s24le"}}
EXACT |= {"u8.wav": {"video": None, "audio": "pcm_u8"}, "a.mkv": {"audio": "flac"}}
EXACT |= {"f64.wav": {"video": None, "audio": "pcm_f64le"}}
EXACT |= {"a.webm": {"video": "libvpx-vp9", "audio": "libopus", "rate": 48_000}}


@pytest.mark.parametrize("name", list(EXACT))
def test_a_tone_comes_back_at_its_pitch_level_and_length(name, tmp_path):
    path = write_media(tmp_path / name, **EXACT[name])
    samples = read_samples(clip(path), 16_000)
    assert samples.dtype == np.float32
    # Of Opus FFmpeg drops the padding of the last frame, 20 ms, or not, by its version.
    assert 0 <= len(samples) - 16_000 <= (320 if name.endswith("webm") else 0)
    assert abs(pitch(samples, 16_000) - 440) < 0.5
    assert abs(level(samples) - 0.5 / np.sqrt(2)) < 0.005


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 192_000])
def test_any_sample_rate_is_resampled_to_the_one_wanted(rate, tmp_path):
    path = write_media(tmp_path / "a.wav", video=None, audio="pcm_s16le", rate=rate)
    samples = read_samples(clip(path), 16_000)
    assert len(samples) == 16_000
    # The ends apart, it is the tone itself: right in phase, so not shifted by the resampler.
    assert np.abs(samples - tone(1.0, 16_000))[500:-500].max() < 2e-3


@pytest.mark.parametrize(
    ("layout", "sound"), [("stereo", "flac"), ("5.1", "aac"), ("7.1", "flac"), ("7.1", "aac")]
)
def test_channels_are_averaged(layout, sound, tmp_path):
    path = write_media(tmp_path / "a.mkv", video=None, audio=sound, layout=layout)
    assert abs(pitch(read_samples(clip(path), 16_000), 16_000) - 440) < 0.5


def test_of_channels_that_cancel_the_loudest_is_used(tmp_path):
    both = np.stack([tone(1, 16_000), -0.9 * tone(1, 16_000)])
    path = tmp_path / "a.wav"
    write_media(path, video=None, audio="pcm_s16le", layout="stereo", samples=both)
    audio = read_audio(clip(path), 16_000)
    assert abs(level(audio.samples) - 0.5 / np.sqrt(2)) < 0.005
    assert audio.notes == ("its channels cancel each other: channel 1 alone is used",)


def test_start_and_seconds_cut_to_the_sample(tmp_path):
    ramp = np.linspace(-0.9, 0.9, 12 * 16_000, dtype=np.float32)
    for name, sound in (("a.wav", "pcm_f32le"), ("a.mkv", "pcm_f32le"), ("a.mov", "pcm_f32le")):
        path = write_media(tmp_path / name, video=None, audio=sound, samples=ramp)
        whole = read_samples(clip(path), 16_000)
        np.testing.assert_array_equal(whole, ramp)
        for start in (0.0, 0.5, 3.25, 9.0001):
            part = read_samples(clip(path, start=start, seconds=2.5), 16_000)
            first = round(start * 16_000)
            assert np.abs(part - ramp[first : first + 40_000]).max() < 2e-5, (name, start)


def test_a_jump_into_coded_sound_ends_where_decoding_from_the_beginning_does(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8 * 16_000).astype(np.float32)
    path = write_media(tmp_path / "a.mp4", seconds=8, fps=3, samples=noise)
    whole = read_samples(clip(path), 16_000)
    part = read_samples(clip(path, start=5.0, seconds=2.0), 16_000)
    np.testing.assert_allclose(part, whole[80_000:112_000], atol=1e-4)


def test_sound_that_begins_later_than_the_image_keeps_its_time(tmp_path):
    for name in ("a.mkv", "a.mov"):
        path = write_media(tmp_path / name, audio="pcm_s16le", delay=0.3)
        samples = read_samples(clip(path), 16_000)
        assert abs(len(samples) - 20_800) <= 16  # Matroska counts milliseconds
        assert not samples[:4_700].any()
        assert level(samples[4_900:]) > 0.3


def test_a_clip_longer_than_its_sound_gives_what_there_is(video):
    assert len(read_samples(clip(video, start=2.0, seconds=10), 16_000)) == 8_000


def test_a_clip_after_the_end_is_reported(video):
    with pytest.raises(Unreadable, match="ends before the clip begins"):
        read_samples(clip(video, start=100), 16_000)


def test_audio_next_to_the_media_is_the_one_used(video, tmp_path):
    other = write_media(
        tmp_path / "b.wav", video=None, audio="pcm_s16le", samples=tone(1, 16000, 880)
    )
    assert abs(pitch(read_samples(clip(video, sound=other), 16_000), 16_000) - 880) < 0.5


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.mov", "mpeg4"),
        ("a.webm", "libvpx-vp9"),
        ("a.ts", "libx264"),
    ],
)
def test_the_frame_of_a_moment_is_the_one_shown_then(name, codec, tmp_path):
    path = write_media(tmp_path / name, video=codec, audio=None, seconds=2.0)
    times = [0.0, 0.09, 0.1, 0.55, 0.99, 1.0, 1.95, 1.95, 2.5, 7.0]
    assert frames(path, times) == [0, 0, 1, 5, 9, 10, 19, 19]


def test_frames_at_uneven_times_are_found_by_their_time(tmp_path):
    shown = [0, 0.3, 0.4, 0.45, 0.5, 0.6, 0.61, 0.7, 0.8, 0.9]
    path = write_media(tmp_path / "a.mp4", times=shown.__getitem__)
    assert frames(path, [0.29, 0.31, 0.44, 0.46, 0.605, 0.65, 0.95]) == [0, 1, 2, 3, 5, 6, 9]


def test_frames_of_a_clip_are_counted_from_its_start(tmp_path):
    path = write_media(tmp_path / "a.mp4", seconds=8, fps=3, video="libx264")
    assert frames(path, every(1.0), start=5.0, seconds=2.0) == [16, 19]
    assert frames(path, itertools.count(), start=5.0) == [15, 18, 21]


def test_a_rate_gives_the_middles(video):
    assert list(itertools.islice(every(2.0), 3)) == [0.25, 0.75, 1.25]
    assert len(frames(video, every(2.0))) == 5


def test_a_video_shorter_than_the_first_time_gives_its_last_frame(video):
    assert frames(video, [50.0, 60.0]) == [24]


@pytest.mark.parametrize(("turns", "red_corner"), [(0, "nw"), (1, "ne"), (2, "se"), (3, "sw")])
def test_a_rotated_video_comes_upright(turns, red_corner, tmp_path):
    from fractions import Fraction

    import av

    path = tmp_path / "a.mp4"
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :32] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    rotate(path, turns)
    [image] = read_frames(clip(path), [0])
    assert image.size == ((64, 32) if turns % 2 == 0 else (32, 64))
    grey = np.asarray(image.convert("L").resize((2, 2), Image.Resampling.BOX))
    corners = dict(zip(("nw", "ne", "sw", "se"), grey.ravel().tolist(), strict=True))
    assert max(corners, key=corners.__getitem__) == red_corner


@pytest.mark.parametrize(
    ("name", "details"),
    [
        ("gif.gif", {"video": "gif", "pixels": "rgb8"}),
        ("ten-bit.mp4", {"video": "libx264", "pixels": "yuv420p10le"}),
        ("one.mp4", {"video": "libx264", "pixels": "yuv444p", "size": (1, 1)}),
    ],
)
def test_odd_images_are_seen(name, details, tmp_path):
    path = write_media(tmp_path / name, audio=None, **details)
    assert frames(path, [0.05, 0.55]) == [0, 5]


def test_a_still_image_is_given_once_and_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the phone held upright
    path = tmp_path / "a.jpg"
    Image.new("RGB", (40, 20)).save(path, exif=exif)
    assert [image.size for image in read_frames(clip(path), every(1.0))] == [(20, 40)]


def test_a_playlist_opens_no_other_file(video, tmp_path):
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{video}\n#EXT-X-ENDLIST\n"
    for name, content in (("a.mp4", text), ("b.mp4", f"ffconcat version 1.0\nfile '{video}'\n")):
        with pytest.raises(Unreadable, match="no media this program reads"):
            read_samples(clip(put(tmp_path / name, content.encode())), 16_000)


def test_a_problem_the_reader_saw_is_the_reason(video):
    with pytest.raises(Unreadable, match="cannot be used: not found"):
        read_samples(clip(video, problem="not found"), 16_000)


def test_hours_of_sound_are_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr("clipsonic_cli.data.timeline.MAX_SECONDS", 0.5)
    path = write_media(tmp_path / "a.wav", video=None, audio="pcm_s16le")
    with pytest.raises(Unreadable, match=r"longer than .* cut it by a manifest"):
        read_samples(clip(path), 16_000)
    assert len(read_samples(clip(path, start=0.2, seconds=0.4), 16_000)) == 6_400


def test_huge_images_are_rejected_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("clipsonic_cli.data.media.MAX_PIXELS", 1_000_000)
    path = write_media(tmp_path / "a.mp4", audio=None, seconds=0.1, size=(1024, 1024))
    Image.new("RGB", (1024, 1024)).save(tmp_path / "a.png")
    for each in (path, tmp_path / "a.png"):
        with pytest.raises(Unreadable, match="1024 x 1024 pixels"):
            list(read_frames(clip(each), [0]))


def test_sound_that_is_not_finite_is_rejected(tmp_path):
    samples = np.full(16_000, np.nan, np.float32)
    path = write_media(tmp_path / "a.wav", video=None, audio="pcm_f32le", samples=samples)
    with pytest.raises(Unreadable, match="not finite"):
        read_samples(clip(path), 16_000)
