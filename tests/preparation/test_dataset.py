import dataclasses
import shutil
from itertools import islice

import numpy as np
import pytest
import torch
from make_media import read_samples, tone, write_media
from pairs import write_pair
from PIL import Image

from clipsonic_cli.audio.mel import LogMel, normalize
from clipsonic_cli.data.media import every, read_frames
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.preparation.catalogue import read_catalogue
from clipsonic_cli.preparation.dataset import (
    FramesAndSounds,
    FramesAndTexts,
    Prepared,
    Segments,
    TextsAndSounds,
)
from clipsonic_cli.preparation.feature_shards import BadShard
from clipsonic_cli.preparation.texts import encode_labels
from clipsonic_cli.types import Clip

WINDOW = 16  # half a second
NEAR = 1 / 512  # of float16, relative


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["frames-sounds", "texts-sounds", "frames-texts", "segments"])
def dataset(request, catalogue, encoder, tmp_path):
    return make_dataset(request.param, catalogue, encoder, tmp_path)


def make_dataset(name, catalogue, encoder, folder):
    clips = Prepared(catalogue, range(len(catalogue)))
    texts = encode_labels(["cat", "dog"], encoder, folder)
    return {
        "frames-sounds": FramesAndSounds(clips, window=WINDOW),
        "texts-sounds": TextsAndSounds(clips, texts, window=WINDOW),
        "frames-texts": FramesAndTexts(clips, texts),
        "segments": Segments(clips, segment=4096),
    }[name]


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_batch_depends_on_the_generator_alone(dataset):
    first = dataset.sample(6, seeded(1))
    assert not equal(dataset.sample(6, seeded(2)), first)
    assert equal(dataset.sample(6, seeded(1)), first)
    assert {dataset.name(clip) for clip in first["clip"].tolist()} <= {"a", "b", "c"}
    assert all(len(values) == 6 and values.isfinite().all() for values in first.values())


def test_every_clip_is_drawn_as_often(dataset):
    counts = torch.bincount(dataset.sample(600, seeded(0))["clip"], minlength=3)
    assert len(counts) == len(dataset) == 3
    assert 160 < counts.min() <= counts.max() < 240


def test_batches_from_the_web_are_those_from_the_disk_and_fetched_once(
    dataset, catalogue, served, tmp_path, monkeypatch
):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path / "home"))
    here, path = dataset.sample(4, seeded(3)), catalogue.write()
    with served(path.parent) as base:
        there = read_catalogue(f"{base}/{path.name}")
        dataset.clips = Prepared(there, range(len(there)))
        assert equal(dataset.sample(4, seeded(3)), here)
    dataset.clips = Prepared(there, range(len(there)))  # and now there is no server
    assert equal(dataset.sample(4, seeded(4)), dataset.sample(4, seeded(4)))


def test_a_shard_of_the_web_that_is_not_as_its_name_says_is_rejected(
    dataset, catalogue, served, tmp_path, monkeypatch
):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path / "home"))
    path, copy = catalogue.write(), tmp_path / "copy"
    shutil.copytree(catalogue.folder, copy)
    for shard in copy.glob("clips-*"):
        shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    with served(copy) as base:
        there = read_catalogue(f"{base}/{path.name}")
        dataset.clips = Prepared(there, range(len(there)))
        with pytest.raises(BadShard, match="not the shard that was prepared"):
            dataset.sample(4, seeded(3))
    assert not list((tmp_path / "home").rglob("clips-*"))


def test_prepared_mels_and_frames_are_those_of_the_clip(catalogue, clips, encoder):
    kept, log_mel = Prepared(catalogue, range(3)), LogMel(catalogue.config.mel)
    for number, clip in enumerate(clips):
        place, samples = kept.place(number), torch.from_numpy(read_samples(clip, 16_000))
        mel = log_mel(samples[None])[0]
        torch.testing.assert_close(kept.mel(place, 0, mel.shape[-1]), mel, rtol=NEAR, atol=0.01)
        expected = encoder.embed_images(list(islice(read_frames(clip, every(1.0)), place.frames)))
        frames = kept.frames(place, 0, place.frames)
        torch.testing.assert_close(frames, expected, rtol=NEAR, atol=NEAR)
        wave = kept.wave(place, 0, len(samples))
        torch.testing.assert_close(wave, samples.clamp(-1, 1), rtol=0, atol=0.6 / 32768)


def test_no_row_of_a_neighbour_is_read(catalogue):
    kept = Prepared(catalogue, range(3))
    place = kept.place(1)
    for read, total in ((kept.mel, place.mel_frames), (kept.frames, place.frames)):
        for start, count in ((-1, 1), (0, total + 1), (total, 1), (1, -1)):
            with pytest.raises(ValueError, match="of a clip that has"):
                read(place, start, count)


@pytest.fixture(scope="module")
def seconds(tmp_path_factory, prepared):
    """Six seconds, each of another grey and another pitch."""
    root = tmp_path_factory.mktemp("seconds")
    pitches = np.concatenate([tone(1.0, 16_000, 300 * 2 ** (k / 2)) for k in range(6)])
    path = write_media(
        root / "a.mkv",
        seconds=6,
        samples=pitches,
        audio="pcm_s16le",
        level=lambda k: 40 * (k // 10),
    )
    clip = Clip(id="a", media=path, split="train")
    return Prepared(prepared(root / "prepared", [clip]), [0])


def test_the_frame_and_the_sound_drawn_are_of_one_moment(seconds):
    drawn = FramesAndSounds(seconds, window=WINDOW).sample(200, seeded(0))
    place, spec = seconds.place(0), seconds.spec
    assert (place.frames, place.frame_rate) == (6, 1.0)
    seen = (drawn["embed"] @ seconds.frames(place, 0, 6).T).argmax(1)
    whole = normalize(seconds.mel(place, 0, place.mel_frames), spec)[0]
    middles = torch.tensor([int((k + 0.5) * spec.sample_rate / spec.hop_length) for k in range(6)])
    bands = whole[:, middles].argmax(0)  # of each second
    sounding = drawn["mel"][:, 0, :, WINDOW // 2 - 1].argmax(1)
    sounding = (sounding[:, None] - bands[None]).abs().argmin(1)
    assert (seen - sounding).abs().max() <= 1  # at the border between two seconds
    assert (seen == sounding).float().mean() > 0.85
    assert set(seen.tolist()) == set(range(6))


def test_the_mean_of_frames_is_that_around_the_moment(seconds):
    place = seconds.place(0)
    frames = seconds.frames(place, 0, 6)
    one = FramesAndSounds(seconds, window=WINDOW).sample(40, seeded(0))
    three = FramesAndSounds(seconds, window=WINDOW, mean_of=3).sample(40, seeded(0))
    assert torch.equal(one["mel"], three["mel"])
    for seen, mean in zip((one["embed"] @ frames.T).argmax(1), three["embed"], strict=True):
        first = min(max(0, int(seen) - 1), 3)
        expected = torch.nn.functional.normalize(frames[first : first + 3].mean(0), dim=-1)
        torch.testing.assert_close(mean, expected)


@pytest.fixture(scope="module")
def cropped(tmp_path_factory, prepared, config):
    """A frame of two greys, black on the left, whose crops show more or less of either."""
    root = tmp_path_factory.mktemp("cropped")
    image, sound = write_pair(root / "a", 2.5, 440.0)
    half = np.zeros((64, 128, 3), np.uint8)
    half[:, 64:] = 200
    Image.fromarray(half).save(image)
    clip = Clip(id="a", media=image, sound=sound, split="train")
    made = [
        prepared(root / f"{crops}", [clip], dataclasses.replace(config, crops=crops))
        for crops in (0, 3)
    ]
    return [Prepared(catalogue, [0]) for catalogue in made]


def test_every_view_of_a_frame_is_drawn_as_often_and_measures_see_the_whole(cropped):
    plain, clips = cropped
    place = clips.place(0)
    views = clips.views(place, 0, 1)[0]
    assert views.shape == (4, 32)
    assert len(torch.unique(views, dim=0)) == 4
    whole = clips.frames(place, 0, 1)
    torch.testing.assert_close(whole, plain.frames(plain.place(0), 0, 1), rtol=NEAR, atol=NEAR)
    drawn = FramesAndSounds(clips, window=WINDOW, crops=3).sample(400, seeded(0))["embed"]
    counts = torch.cdist(drawn, views).argmin(1).bincount(minlength=4)
    assert 70 < counts.min() <= counts.max() < 130
    for fewer in (0, 1):
        drawn = FramesAndSounds(clips, window=WINDOW, crops=fewer).sample(40, seeded(0))["embed"]
        assert set(torch.cdist(drawn, views).argmin(1).tolist()) == set(range(fewer + 1))


def test_crops_that_are_stored_change_nothing_where_none_are_asked_for(cropped):
    plain, clips = (FramesAndSounds(clips, window=WINDOW).sample(8, seeded(0)) for clips in cropped)
    assert torch.equal(plain["mel"], clips["mel"])
    torch.testing.assert_close(plain["embed"], clips["embed"], rtol=NEAR, atol=NEAR)


def test_the_mean_of_more_frames_than_there_are_is_that_of_all(catalogue):
    clips = Prepared(catalogue, [1])
    embed = FramesAndSounds(clips, window=WINDOW, mean_of=9).sample(1, seeded(0))["embed"][0]
    place = clips.place(1)
    frames = clips.frames(place, 0, place.frames)
    torch.testing.assert_close(embed, torch.nn.functional.normalize(frames.mean(0), dim=-1))


def test_a_still_image_goes_with_every_moment(catalogue):
    clips = Prepared(catalogue, [2])
    place = clips.place(2)
    assert (place.frames, place.frame_rate) == (1, 0.0)
    drawn = FramesAndSounds(clips, window=120).sample(40, seeded(0))
    whole = normalize(clips.mel(place, 0, place.mel_frames), clips.spec)
    windows = whole[0].unfold(-1, 120, 1).movedim(1, 0)  # (start, F, 120)
    starts = [s for s, at in enumerate(windows) for mel in drawn["mel"] if torch.equal(mel[0], at)]
    assert set(starts) == set(range(place.mel_frames - 120 + 1))
    assert len(starts) == 40
    torch.testing.assert_close(drawn["embed"], clips.frames(place, 0, 1).expand(40, -1))


def test_windows_lie_in_the_clip_and_reach_both_ends(seconds):
    whole = normalize(seconds.mel(seconds.place(0), 0, 187), seconds.spec)
    drawn = FramesAndSounds(seconds, window=150).sample(100, seeded(0))["mel"]
    starts = {s for s in range(38) for mel in drawn if torch.equal(mel, whole[..., s : s + 150])}
    assert {0, 37} <= starts


def test_segments_are_cut_from_the_mel_of_the_whole_sound(catalogue):
    clips, hop = Prepared(catalogue, range(3)), catalogue.config.mel.hop_length
    drawn, log_mel = Segments(clips, segment=8 * hop).sample(60, seeded(0)), LogMel(clips.spec)
    places = set()
    for clip, wave, mel in zip(drawn["clip"].tolist(), drawn["wave"], drawn["mel"], strict=True):
        place = clips.place(clip)
        whole = clips.wave(place, 0, place.samples)
        mels = log_mel(whole[None])[0].unfold(-1, 8, 1).movedim(-2, 0)  # (start, 1, F, 8)
        waves = whole.unfold(-1, 8 * hop, hop)
        starts = (waves == wave).all(1).nonzero()[:, 0]  # several, as a tone repeats itself
        assert (mels[starts] - mel).abs().amax((1, 2, 3)).min() < 2e-5
        places.add(int(starts[0]))
    assert len(places) > 20


def test_texts_go_with_the_label_of_the_clip(catalogue, encoder, tmp_path):
    texts = encode_labels(["cat", "dog"], encoder, tmp_path)
    clips = Prepared(catalogue, range(3))
    sounds = TextsAndSounds(clips, texts, window=WINDOW).sample(20, seeded(0))
    frames = FramesAndTexts(clips, texts).sample(20, seeded(0))
    rows = [texts.rows[catalogue.labels[clip]] for clip in sounds["clip"].tolist()]
    assert torch.equal(sounds["embed"], texts.embeds[rows])
    rows = [texts.rows[catalogue.labels[clip]] for clip in frames["clip"].tolist()]
    assert torch.equal(frames["text_embed"], texts.embeds[rows])
    assert torch.equal(frames["text_encodings"], texts.encodings[rows].float())
    assert frames["embed"].norm(dim=-1).sub(1).abs().max() < 1e-5


def test_a_shard_that_is_gone_is_reported(prepared, clips, tmp_path):
    catalogue = prepared(tmp_path, clips)
    for path in tmp_path.glob("clips-*"):
        path.unlink()
    with pytest.raises(ClipsonicError, match=r"Cannot read the prepared clips .*: No such file"):
        FramesAndSounds(Prepared(catalogue, [0])).sample(1, seeded(0))
