import errno
import os

import pytest
import torch

from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.trainer import checkpoint


def test_the_newest_are_kept_and_the_newest_is_read(tmp_path):
    for step in (1, 2, 30):
        checkpoint.save(tmp_path, step, {"step": step}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state-00000002.pt", "state-00000030.pt"]
    assert checkpoint.load_newest(tmp_path) == {"step": 30}


def test_a_run_that_never_saved_has_no_checkpoint(tmp_path):
    assert checkpoint.load_newest(tmp_path) is None


def test_a_save_killed_half_way_leaves_the_last_good_one(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, {"step": 1}, keep=1)

    def killed(_state, file):
        file.write(b"PK half a file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(tmp_path, 2, {"step": 2}, keep=1)
    assert checkpoint.load_newest(tmp_path) == {"step": 1}
    checkpoint.save(tmp_path, 3, {"step": 3}, keep=1)
    assert [p.name for p in tmp_path.iterdir()] == ["state-00000003.pt"]


def test_what_a_killed_save_left_goes_before_the_next_is_written(tmp_path, monkeypatch):
    left, save = tmp_path / ".0123456789abcdef.part", torch.save
    left.write_bytes(b"PK half a file")

    def look(state, file):
        assert not left.exists()  # the disk need not hold both
        save(state, file)

    monkeypatch.setattr(torch, "save", look)
    checkpoint.save_best(tmp_path, {"step": 1, "score": 0.5})
    assert [p.name for p in tmp_path.iterdir()] == ["best.pt"]


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code in a checkpoint was executed",))


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    torch.save({"step": Bomb()}, tmp_path / "state-00000001.pt")
    with pytest.raises(ClipsonicError, match="cannot be read"):
        checkpoint.load_newest(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_damaged_checkpoint_is_named(tmp_path, share):
    path = checkpoint.save(tmp_path, 1, {"w": torch.zeros(100)}, keep=1)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ClipsonicError, match=r"state-00000001\.pt cannot be read"):
        checkpoint.load_newest(tmp_path)


@pytest.mark.parametrize("state", [[1, 2], torch.zeros(3)])
def test_a_checkpoint_of_something_else_is_named(tmp_path, state):
    torch.save(state, tmp_path / "state-00000001.pt")
    with pytest.raises(ClipsonicError, match=r"state-00000001\.pt cannot be read"):
        checkpoint.load_newest(tmp_path)


@pytest.mark.parametrize(("old", "new"), [(b"step", b"\xc7tep"), (b"step", b"s\xffep")])
def test_a_checkpoint_whose_names_are_no_text_is_named(tmp_path, old, new):
    path = tmp_path / "state-00000001.pt"
    torch.save({"step": 1}, path)
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(ClipsonicError, match=r"state-00000001\.pt cannot be read"):
        checkpoint.load_newest(tmp_path)


def test_the_best_is_kept_next_to_the_newest(tmp_path):
    assert checkpoint.load_best(tmp_path) is None
    checkpoint.save_best(tmp_path, {"step": 1, "score": 0.5})
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, {"step": step}, keep=1)
    checkpoint.save_best(tmp_path, {"step": 2, "score": 0.25})
    assert checkpoint.load_best(tmp_path) == {"step": 2, "score": 0.25}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.pt", "state-00000003.pt"]


def test_a_checkpoint_that_the_system_does_not_read_is_not_to_be_deleted(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, {}, keep=1)

    def refuse(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(ClipsonicError, match=r"cannot be read \(Input/output error\)\.$"):
        checkpoint.load_newest(tmp_path)
