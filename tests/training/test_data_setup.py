import shutil

import pytest
import torch
from accelerate import Accelerator
from make_media import put
from PIL import Image
from small_videos import LABELS, write_videos

from clipsonic_cli.data.splits import SplitDraw
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.test_set import draw_clips
from clipsonic_cli.store import bundle
from clipsonic_cli.training.data_setup import (
    check_any,
    gather,
    name_of,
    prompts_of,
    save_frames,
    spread,
)
from clipsonic_cli.training.request import (
    SILENT,
    Source,
    TrainCallbacks,
    TrainRequest,
    check_source,
)
from clipsonic_cli.training.run import begin
from clipsonic_cli.training.run_config import Extensions, read_run_config


@pytest.fixture(scope="module")
def clip(micro):
    return load_clip(bundle.load(micro / "clip.safetensors", kind="clip"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("data") / "music", 8)


def gathered(
    data, encoder=None, *, waves=False, labels=False, callbacks=SILENT, window=64, crops=0, **how
):
    request = TrainRequest(
        source=Source(data=str(data), workers=0, **how),
        name="x",
        stage="vocoder" if waves else "unet",
        space="clip-text" if labels else "clip-image",
        extensions=Extensions(window=window, crops=crops),
    )
    return gather(request, encoder, Accelerator(cpu=True), callbacks)


@pytest.fixture(scope="module")
def prepared(videos, clip):
    return gathered(videos, clip)


def ids(prepared, *splits):
    catalogue = prepared.catalogue
    return {catalogue.ids[number] for number in catalogue.numbers(*splits)}


def test_a_folder_becomes_a_catalogue_and_a_survey(prepared):
    assert (prepared.survey.found, prepared.survey.kept) == (8, 8)
    assert len(prepared.catalogue) == len(prepared.clips) == 8
    assert set(prepared.catalogue.labels) == set(LABELS)


def test_a_catalogue_is_prepared_as_it_is(prepared, clip):
    again = gathered(prepared.path, clip)
    assert (again.path, again.survey, again.clips) == (prepared.path, None, ())
    assert again.catalogue.ids == prepared.catalogue.ids
    assert again.catalogue.splits == prepared.catalogue.splits


def test_a_catalogue_that_holds_more_than_is_needed_will_do(prepared):
    assert len(gathered(prepared.path, None).catalogue) == 8


def test_a_catalogue_for_something_else_is_rejected(prepared, videos, clip):
    with pytest.raises(UsageError, match="needs sounds, there are frames seen by 'micro-clip'"):
        gathered(prepared.path, None, waves=True)
    with pytest.raises(UsageError, match="'micro-clip' and 2 crops of each, there are frames"):
        gathered(prepared.path, clip, crops=2)
    mels = gathered(videos, None)
    with pytest.raises(UsageError, match="needs frames seen by 'micro-clip', there are mels"):
        gathered(mels.path, clip)


def test_crops_are_kept_apart_and_what_they_cost_is_said(videos, clip):
    said = []
    cropped = gathered(videos, clip, crops=2, callbacks=TrainCallbacks(on_message=said.append))
    assert cropped.catalogue.config.crops == 2
    assert gathered(videos, clip).catalogue.config.crops == 0
    assert [line for line in said if "crop" in line] == [
        "each frame is embedded 3 times, whole and as 2 random crops: as many times the work of "
        f"CLIP, and {4 * clip.dim / 1000:.1f} kB more on disk"
    ]
    assert gathered(cropped.path, clip, crops=1).catalogue.config.crops == 2


def test_short_clips_are_dropped_for_a_wide_window_only(videos, clip):
    assert len(gathered(videos, clip, window=64).catalogue) == 8
    wide = gathered(videos, clip, window=128)
    assert (len(wide.catalogue), wide.survey.flaws["short"]) == (0, 8)


def test_without_any_clip_the_reason_is_reported(tmp_path):
    put(tmp_path / "data" / "bad.mp4", b"nonsense")
    prepared = gathered(tmp_path / "data")
    with pytest.raises(UsageError, match=r"None of the 1 clips .*1 unreadable.*'bad.mp4' is unre"):
        check_any(prepared, "data")


def test_without_a_training_clip_the_splits_are_reported(tmp_path):
    write_videos(tmp_path / "data", 1)
    (tmp_path / "data" / "manifest.csv").write_text("media,split\nviolin/00.mp4,test\n")
    with pytest.raises(UsageError, match=r"all are held out \(1 test\).*`seed`"):
        check_any(gathered(tmp_path / "data"), "data")


@pytest.mark.parametrize("count", [1, 4, 12])
def test_evaluation_finds_the_splits_of_the_training(tmp_path, count):
    videos = str(write_videos(tmp_path / "data", count))
    how = SplitDraw(seed=5, test_share=0.2, valid_share=0.3)
    shares = {"test_share": 0.2, "valid_share": 0.3}
    prepared = gathered(videos, seed=5, **shares)
    check_any(prepared, videos)
    assert prepared.splits == how
    for split in ("train", "valid", "test"):
        if found := ids(prepared, split):
            listing = draw_clips(videos, format=None, split=split, splits=how, seed=0)
            assert {clip.id for clip in listing.clips} == found
    per_label = count // 2  # the others of two labels
    assert bool(ids(prepared, "test")) == (per_label > 1)
    assert bool(ids(prepared, "valid")) == (per_label > 3)


def test_how_splits_are_drawn_is_said(videos, prepared, tmp_path):
    assert prepared.splits == SplitDraw()
    messages = []
    gathered(videos, callbacks=TrainCallbacks(on_message=messages.append))
    [line] = [line for line in messages if line.startswith("splits drawn")]
    assert line == (
        "splits drawn: test 10 % of the videos, at least one of each label with 2 (`test_share`); "
        "valid 5 % of the rest, at least one of each label with 4 (`valid_share`)"
    )


@pytest.mark.parametrize("share", ["test_share", "valid_share"])
def test_a_share_is_not_asked_for_where_splits_are_stated(prepared, tmp_path, share):
    split = share.removesuffix("_share")
    listed = put(tmp_path / "a.csv", f"media,split\na.mp4,train\nb.mp4,{split}\n".encode())
    for data in (listed, prepared.path):
        with pytest.raises(UsageError, match=rf"`{share}` is 0.2, but the splits .* are stated"):
            gathered(data, **{share: 0.2})


def test_labels_that_are_needed_are_missed_before_anything_is_decoded(tmp_path):
    put(tmp_path / "data" / "bad.mp4", b"nonsense")
    with pytest.raises(UsageError, match=r"have no labels.*folder"):
        gathered(tmp_path / "data", labels=True)
    assert len(gathered(tmp_path / "data").clips) == 1


@pytest.mark.parametrize(
    ("data", "given", "reason"),
    [
        ("nowhere", None, "There is no data at"),
        ("", "vgsound", "Did you mean 'vggsound'"),
        ("file.xyz", None, "no known data format"),
        ("video.mp4", None, "video.mp4' is one file; give the folder"),
    ],
)
def test_what_is_no_data_set_is_rejected_unread(tmp_path, data, given, reason):
    put(tmp_path / "file.xyz", b"words")
    put(tmp_path / "video.mp4", b"words")
    with pytest.raises(UsageError, match=reason):
        check_source(Source(data=str(tmp_path / data), format=given))


def test_data_sets_that_are_there_pass(videos, prepared):
    check_source(Source(data=str(videos)))
    check_source(Source(data=str(videos), format="folder"))
    check_source(Source(data=prepared.path))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("./music/", "music"),
        ("/data/My Videos", "My-Videos"),
        ("list.csv", "list"),
        ("https://host/set-{000..009}.tar?token=1", "set--000"),
        ("/", "model"),
    ],
)
def test_a_data_set_has_a_short_name(data, name):
    assert name_of(data) == name


def test_a_data_set_is_named_for_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert name_of(".") == name_of(str(tmp_path))


def test_samples_are_made_of_labels(prepared):
    assert prompts_of(prepared, "clip-image") == ["a photo of dog barking", "a photo of violin"]
    assert prompts_of(prepared, "clap-text")[1] == "the sound of violin"


def test_samples_are_made_of_frames(prepared, tmp_path):
    messages = []
    images = save_frames(prepared, tmp_path / "queries", on_message=messages.append)
    assert [path.name for path in images][:1] == ["frame-1.png"]
    with Image.open(images[0]) as image:
        assert image.size == (32, 32)
    assert messages == []


def test_a_frame_whose_video_is_gone_is_reported_and_the_others_are_written(clip, tmp_path):
    prepared = gathered(write_videos(tmp_path / "gone", 4), clip)
    prepared.catalogue.splits[:] = ["train"] * 4  # pictures are of all, as none is held out
    first = prepared.clips[0]
    first.media.unlink()
    messages = []
    images = save_frames(prepared, tmp_path / "queries", on_message=messages.append)
    assert images == [tmp_path / "queries" / "frame-2.png"]
    assert messages == [
        f"no sample of frame-1.png: '{first.id}' cannot be read any more (there is no such file)"
    ]


def test_a_catalogue_has_no_frames_to_make_samples_of_and_that_is_reported(
    prepared, clip, tmp_path
):
    messages = []
    again = gathered(prepared.path, clip)
    assert save_frames(again, tmp_path / "queries", on_message=messages.append) == []
    assert len(messages) == 1
    assert messages[0].startswith("no samples of frames: clips that were prepared before")


def test_a_run_tells_of_videos_that_went_while_it_was_prepared(micro, tmp_path):
    videos = write_videos(tmp_path / "data", 6)
    request = TrainRequest(
        source=Source(data=str(videos), workers=0),
        out=tmp_path / "run",
        name="gone",
        base=str(micro),
        warm_start=str(micro),
        train={"steps": 9, "batch_size": 1, "precision": "float32"},
        sample_every=9,
    )
    messages = []
    callbacks = TrainCallbacks(
        on_message=messages.append,
        on_survey=lambda _: shutil.rmtree(videos),
        on_step=stop_at_the_loop,
    )
    with pytest.raises(KeyboardInterrupt):
        begin(request, device=torch.device("cpu"), callbacks=callbacks)
    assert read_run_config(request.run_dir).images == ()
    assert sum(line.startswith("no sample of frame-1.png: '") for line in messages) == 1


def stop_at_the_loop(_status):
    raise KeyboardInterrupt


def test_values_are_taken_evenly_from_all():
    assert spread(range(10), 3) == [0, 3, 6]
    assert spread("ab", 3) == ["a", "b"]
    assert spread([], 3) == []
