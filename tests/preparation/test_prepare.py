import dataclasses
import math
import os
import sys
import time

import pytest
from crashing import crash
from make_media import put, write_media
from pairs import gathered, write_pair

from clipsonic_cli.config import MelSpec
from clipsonic_cli.data.check import Rules
from clipsonic_cli.preparation import prepare as module
from clipsonic_cli.preparation.config import PreparationConfig
from clipsonic_cli.preparation.decode import decode
from clipsonic_cli.preparation.prepare import folder_name, indices, prepare
from clipsonic_cli.types import Clip


@pytest.fixture(scope="session")
def pairs(tmp_path_factory) -> list[Clip]:
    """Nine still images with sounds, which are quick to prepare."""
    root, clips = tmp_path_factory.mktemp("pairs"), []
    for number in range(9):
        image, sound = write_pair(root / f"{number}", 2.1, 200.0 + 20 * number)
        clips.append(Clip(id=f"{number}", media=image, sound=sound, split="train"))
    return clips


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The ids of clips, as they are decoded."""
    ids: list[str] = []

    def noting(clip, **settings):
        ids.append(clip.id)
        return decode(clip, **settings)

    monkeypatch.setattr(module, "decode", noting)
    return ids


def rows_of(folder):
    return {row.id: row for index in indices(folder) for row in index.rows}


def test_what_is_prepared_is_not_prepared_again(prepared, clips, tmp_path, decoded, content):
    before = content(prepared(tmp_path, clips))
    files = set(tmp_path.iterdir())
    assert content(prepared(tmp_path, clips)) == before
    assert decoded == ["a", "b", "c"]
    assert set(tmp_path.iterdir()) == files


def test_a_clip_that_is_new_or_changed_or_gone_costs_itself(prepared, pairs, tmp_path, decoded):
    image, sound = write_pair(tmp_path / "x", 2.1, 700.0)
    clips = [*pairs[:3], Clip(id="x", media=image, sound=sound, split="train")]
    prepared(tmp_path / "p", clips)
    write_pair(tmp_path / "x", 2.2, 720.0)
    assert prepared(tmp_path / "p", [clips[3], *pairs[1:5]]).ids == ["x", "1", "2", "3", "4"]
    assert decoded == ["0", "1", "2", "x", "x", "3", "4"]
    seconds = gathered(tmp_path / "p", clips, PreparationConfig()).findings[3].seconds
    assert seconds == pytest.approx(2.2)


def test_what_is_kept_does_not_depend_on_neighbours(
    prepared, clips, tmp_path, content, monkeypatch
):
    monkeypatch.setattr(module, "SHARD_SECONDS", math.inf)
    together = content(prepared(tmp_path / "one", clips))
    monkeypatch.setattr(module, "SHARD_CLIPS", 1)
    assert content(prepared(tmp_path / "three", clips[::-1])) == together
    assert len(list((tmp_path / "one").iterdir())) == 1
    assert len(list((tmp_path / "three").iterdir())) == 3


def test_frames_of_different_clips_are_not_encoded_together(
    prepared, clips, tmp_path, encoder, monkeypatch
):
    sizes, embed = [], encoder.embed_squares
    noting = lambda squares: sizes.append(len(squares)) or embed(squares)  # noqa: E731
    monkeypatch.setattr(encoder, "embed_squares", noting)
    monkeypatch.setattr(module, "AT_ONCE", 2)
    places = [prepared(tmp_path, clips).place(number) for number in range(3)]
    assert [place.frames for place in places] == [3, 2, 1]
    assert sizes == [2, 1, 2, 1]


@pytest.mark.parametrize("limit", ["SHARD_BYTES", "SHARD_SECONDS"])
def test_shards_end_with_much_data_or_time(prepared, pairs, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(module, limit, 0)
    prepared(tmp_path, pairs)
    assert len(list(indices(tmp_path))) == len(pairs)


def test_processes_share_the_clips(prepared, pairs, tmp_path, content, decoded):
    whole = content(prepared(tmp_path / "one", pairs))
    of_two = []
    for share in ((0, 2), (1, 2)):
        decoded.clear()
        catalogue = prepared(tmp_path / "two", pairs, share=share)
        of_two.append(list(decoded))
    assert sorted(of_two[0] + of_two[1]) == [clip.id for clip in pairs]
    assert min(map(len, of_two)) > 0
    assert content(catalogue) == whole


def test_workers_give_the_same_and_one_that_crashes_costs_its_clip(
    prepared, pairs, tmp_path, content, monkeypatch
):
    whole = content(prepared(tmp_path / "here", pairs[:4]))
    del whole["1"]
    monkeypatch.setattr(module, "decode", crash)
    catalogue = prepared(tmp_path / "workers", pairs[:4], workers=1)
    assert content(catalogue) == whole
    [flaw] = catalogue.findings[1].flaws
    assert flaw.reason == "the process that decoded it ended by signal 9"


def test_what_cannot_be_read_is_noted_and_tried_again(prepared, pairs, tmp_path, decoded):
    bad = [
        Clip(id="empty", media=put(tmp_path / "empty.mp4", b""), split="train"),
        Clip(id="seen", media=tmp_path / "x.mp4", split="train", problem="no such row"),
    ]
    for _ in range(3):
        catalogue = prepared(tmp_path / "p", [*bad, pairs[0]])
        reasons = [flaw.reason for finding in catalogue.findings for flaw in finding.flaws]
        assert reasons == ["empty (0 bytes)", "no such row"]
        assert catalogue.ids == ["0"]
    assert decoded == ["empty", "seen", "0", "empty", "empty"]
    assert len(list(indices(tmp_path / "p"))) == 2


def test_a_clip_that_can_be_read_at_last_is_kept(prepared, pairs, tmp_path, monkeypatch):
    away = dataclasses.replace(pairs[0])
    monkeypatch.setattr(module, "decode", lambda clip, **_: 1 / 0)
    catalogue = prepared(tmp_path, [away])
    assert not len(catalogue)
    assert catalogue.findings[0].flaws[0].reason == "ZeroDivisionError: division by zero"
    monkeypatch.setattr(module, "decode", decode)
    assert prepared(tmp_path, [away]).ids == ["0"]
    assert len(list(indices(tmp_path))) == 2


def test_what_is_short_depends_on_who_asks(prepared, pairs, tmp_path, decoded, config):
    for window, kept in ((2.0, 3), (2.2, 0)):
        rules = Rules(window_seconds=window)
        catalogue = prepared(tmp_path, pairs[:3], rules=rules)
        assert len(catalogue) == kept
        kinds = [flaw.kind for finding in catalogue.findings for flaw in finding.flaws]
        assert kinds == ["short"] * (3 - kept)
        assert folder_name(config, rules) == folder_name(config, Rules())
    assert len(decoded) == 3


def test_of_clips_of_equal_content_the_first_is_kept(prepared, pairs, tmp_path):
    again = dataclasses.replace(pairs[0], id="again", split="valid")
    catalogue = prepared(tmp_path, [*pairs[:2], again])
    assert catalogue.ids == ["0", "1"]
    assert [flaw.reason for flaw in catalogue.findings[2].flaws] == ["the same as 0"]


def test_a_damaged_shard_is_made_again(prepared, pairs, tmp_path, content, decoded, monkeypatch):
    monkeypatch.setattr(module, "SHARD_CLIPS", 3)
    before = content(prepared(tmp_path, pairs))
    victim = min(tmp_path.glob("clips-*"))
    lost = sorted(row.id for row in next(indices(tmp_path)).rows)
    os.truncate(victim, victim.stat().st_size - 1)
    decoded.clear()
    assert content(prepared(tmp_path, pairs)) == before
    assert sorted(decoded) == lost


def test_other_files_in_the_folder_are_left_alone(prepared, pairs, tmp_path):
    others = {put(tmp_path / name, b"?") for name in ("texts-0.safetensors", "catalogue-0.jsonl")}
    prepared(tmp_path, pairs[:1])
    assert others < set(tmp_path.iterdir())


def test_what_killed_processes_left_is_deleted_once_it_is_old(prepared, pairs, tmp_path):
    old, new = (put(tmp_path / f".{name}.part", b"half") for name in ("old", "new"))
    os.utime(old, (time.time() - 2 * module.ABANDONED,) * 2)
    prepared(tmp_path, pairs[:1])
    assert not old.exists()
    assert new.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits file size by rlimit")
def test_a_full_disk_is_reported_and_leaves_what_was_there(prepared, pairs, tmp_path, content):
    import resource

    before = content(prepared(tmp_path, pairs[:2]))
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            prepared(tmp_path, pairs)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert content(prepared(tmp_path, pairs[:2])) == before


def test_others_may_read_what_the_umask_lets_them(prepared, pairs, tmp_path):
    before = os.umask(0o027)
    try:
        catalogue = prepared(tmp_path, pairs[:1])
        catalogue.write()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


def test_a_vocoder_needs_no_images(prepared, tmp_path):
    path = write_media(tmp_path / "a.wav", seconds=2.1, video=None, audio="pcm_s16le")
    clip, only = Clip(id="a", media=path, split="train"), PreparationConfig(waves=True)
    catalogue = prepared(tmp_path / "p", [clip], only, clip_encoder=None)
    place = catalogue.place(0)
    assert (place.frames, place.samples) == (0, 33_600)
    assert rows_of(tmp_path / "p")["a"].flaws == ()


def test_folders_differ_where_what_is_kept_differs(config):
    others = [
        config,
        dataclasses.replace(config, waves=False),
        dataclasses.replace(config, encoder="other"),
        dataclasses.replace(config, frame_rate=2.0),
        dataclasses.replace(config, mel=MelSpec(n_mels=80)),
        dataclasses.replace(config, crops=2),
    ]
    names = {folder_name(other, Rules()) for other in others}
    names |= {
        folder_name(config, Rules(silence_db=-50.0)),
        folder_name(config, Rules(drop=frozenset())),
    }
    assert len(names) == 7


def test_without_crops_folders_and_catalogues_are_named_as_before_there_were_any(config):
    assert folder_name(PreparationConfig(), Rules()) == "2f372cdabcd3"
    assert "crops" not in config.to_dict()
    for kept in (config, dataclasses.replace(config, crops=3)):
        assert PreparationConfig.from_dict(kept.to_dict()) == kept


def test_an_encoder_the_configuration_does_not_name_is_rejected(pairs, tmp_path, encoder):
    config = PreparationConfig(encoder="other")
    with pytest.raises(ValueError, match="names the encoder other"):
        prepare(pairs, tmp_path, config, clip_encoder=encoder, rules=Rules(), workers=0)


def test_progress_is_reported_for_every_clip(prepared, pairs, tmp_path):
    calls = []
    prepared(tmp_path, pairs[:2], report=lambda *progress: calls.append(progress))
    assert calls == [("prepare", 0, 2), ("prepare", 1, 2), ("prepare", 2, 2)]
