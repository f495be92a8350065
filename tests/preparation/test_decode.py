import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from make_media import frame_of, read_samples, tone, write_media
from pairs import write_pair

from clipsonic_cli.data.check import Flaw, Rules
from clipsonic_cli.preparation import decode as module
from clipsonic_cli.preparation.decode import decode
from clipsonic_cli.types import Clip

RULES = Rules(window_seconds=0.0)


def look(path, **wanted):
    clip = Clip(id="x", media=path)
    return decode(clip, **({"rules": RULES, "frame_rate": 1.0, "size": 32} | wanted))


def test_frames_show_the_middles_of_their_seconds(tmp_path):
    decoded = look(write_media(tmp_path / "a.mp4", seconds=2.5))
    assert decoded.views.shape == (2, 1, 32, 32, 3)
    assert decoded.frame_rate == 1.0
    assert [frame_of(frame) for frame in decoded.views[:, 0]] == [5, 15]


def test_a_clip_shorter_than_a_frame_has_the_one_in_its_middle(tmp_path):
    decoded = look(write_media(tmp_path / "a.mp4", seconds=0.8, audio="pcm_s16le", container="mov"))
    assert [frame_of(frame) for frame in decoded.views[:, 0]] == [4]


def test_sound_is_what_the_reader_gives_within_full_scale(tmp_path):
    loud = tone(1.0, 16_000, gain=3.0)
    path = write_media(tmp_path / "a.mkv", audio="pcm_f32le", samples=loud)
    samples = read_samples(Clip(id="x", media=path), 16_000)
    assert np.abs(samples).max() > 2
    np.testing.assert_array_equal(look(path).samples, samples.clip(-1, 1))


def test_frames_of_long_clips_are_fewer_but_even(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_VIEWS", 3)
    path = write_media(tmp_path / "a.mkv", seconds=2.4, audio="pcm_s16le")
    decoded = look(path, frame_rate=10.0)
    assert decoded.frame_rate == pytest.approx(3 / 2.4)
    assert [frame_of(frame) for frame in decoded.views[:, 0]] == [4, 12, 20]


def test_frames_end_with_the_sound(tmp_path):
    path = write_media(tmp_path / "a.mkv", seconds=2.5, samples=tone(1.2, 16_000))
    assert len(look(path, frame_rate=2.0).views) == 2


def test_without_an_encoder_images_are_not_looked_at(tmp_path):
    path = write_media(tmp_path / "a.wav", video=None, audio="pcm_s16le")
    assert len(look(path, size=None).views) == 0
    assert look(path) == Flaw(kind="unreadable", reason="no image")


def test_a_decoding_process_needs_no_torch():
    program = "import sys, clipsonic_cli.preparation.decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize(("name", "containers"), [("a.mp4", 1), ("a.mkv", 2)])
def test_a_video_is_opened_once(name, containers, tmp_path, monkeypatch):
    path = write_media(tmp_path / name, seconds=2.5, video="libx264", level=lambda _: 90)
    opened = []

    def noting(kind, really):
        def open_noted(*arguments, **named):
            opened.append(kind)
            return really(*arguments, **named)

        return open_noted

    monkeypatch.setattr(Path, "open", noting("file", Path.open))
    monkeypatch.setattr(av, "open", noting("container", av.open))
    decoded = look(path)
    assert [flaw.reason for flaw in decoded.flaws] == ["no change in 6 looks"]
    assert opened == ["file"] + ["container"] * containers


def test_a_still_image_has_one_frame_and_is_no_still_video(tmp_path):
    image, sound = write_pair(tmp_path / "a", 2.5, 440.0)
    clip = Clip(id="x", media=image, sound=sound)
    decoded = decode(clip, rules=RULES, frame_rate=1.0, size=32)
    assert (decoded.views.shape, decoded.frame_rate) == ((1, 1, 32, 32, 3), 0.0)
    assert decoded.flaws == ()


def test_a_video_that_ends_before_the_first_frame_wanted_gives_its_last(tmp_path):
    path = write_media(tmp_path / "a.mkv", seconds=0.3, audio="pcm_s16le", samples=tone(3, 16_000))
    decoded = look(path)
    assert [frame_of(frame) for frame in decoded.views[:, 0]] == [2]


def test_crops_follow_from_the_content_and_show_parts_of_their_frame(tmp_path):
    """Frames are of one grey each, so that a crop shows the number of its frame too."""
    path = write_media(tmp_path / "a.mp4", seconds=2.5)
    plain, cropped, again = look(path), look(path, crops=2), look(path, crops=2)
    assert cropped.views.shape == (2, 3, 32, 32, 3)
    np.testing.assert_array_equal(cropped.views[:, :1], plain.views)
    np.testing.assert_array_equal(cropped.views, again.views)
    assert [[frame_of(view) for view in row] for row in cropped.views] == [[5] * 3, [15] * 3]


def test_crops_count_towards_the_most_views_of_a_clip(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_VIEWS", 6)
    path = write_media(tmp_path / "a.mkv", seconds=2.4, audio="pcm_s16le")
    assert look(path, frame_rate=10.0, crops=1).frame_rate == pytest.approx(3 / 2.4)
