"""Files that are whole or absent."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from clipsonic_cli.atomic import why_unwritable, written


@pytest.fixture(params=[None, b"old"], ids=["new", "replaced"])
def path(request, tmp_path):
    if request.param is not None:
        (tmp_path / "file").write_bytes(request.param)
    return tmp_path / "file"


def contents(path):
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


def test_a_file_gets_its_name_once_it_is_whole(path):
    before = contents(path)
    with written(path) as temporary, temporary.open("wb") as file:
        assert contents(path) == before | {temporary.name: b""}
        file.write(b"whole")
    assert contents(path) == {"file": b"whole"}


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_what_was_there(path, error):
    def fail():
        with written(path) as temporary:
            temporary.write_bytes(b"half")
            raise error("the reason")

    before = contents(path)
    with pytest.raises(error, match="the reason"):
        fail()
    assert contents(path) == before


def test_a_block_that_writes_nothing_replaces_nothing(path):
    before = contents(path)
    with pytest.raises(FileNotFoundError), written(path):
        pass
    assert contents(path) == before


def test_why_a_block_failed_is_not_hidden_by_tidying_up(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    def fail():
        folder.rmdir()
        folder.touch()  # beneath a file nothing can be looked for
        raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"), written(folder / "file"):
        fail()


def test_what_cannot_be_renamed_leaves_nothing_next_to_it(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"), written(tmp_path / "folder") as temporary:
        temporary.write_bytes(b"whole")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits file size by rlimit")
def test_a_full_disk_leaves_what_was_there(path):
    import resource

    before = contents(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"), written(path) as temporary:
            temporary.write_bytes(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(path) == before


def test_a_process_that_is_killed_leaves_what_was_there(path):
    before = contents(path)
    program = (
        "import os, pathlib, sys; from clipsonic_cli.atomic import written\n"
        "with written(pathlib.Path(sys.argv[1])) as temporary:\n"
        f"    temporary.write_bytes(b'half'); os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    )
    assert subprocess.run([sys.executable, "-c", program, path]).returncode == -signal.SIGKILL
    (left,) = path.parent.glob(".*.part")
    assert contents(path) == before | {left.name: b"half"}


def test_a_file_is_on_the_disk_before_it_is_renamed(path, monkeypatch):
    before, synced = contents(path), []

    def fsync(descriptor):
        assert contents(path) == before | {temporary.name: b"whole"}
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    with written(path) as temporary:
        temporary.write_bytes(b"whole")
    assert synced == [path.stat().st_ino]


def test_the_longest_name_is_not_too_long(tmp_path):
    path = tmp_path / ("n" * 255)
    with written(path) as temporary:
        temporary.write_bytes(b"whole")
    assert contents(path) == {path.name: b"whole"}


def test_writers_of_one_file_do_not_mix(path):
    wholes = [bytes([number]) * 50_000 for number in range(8)]

    def write(whole):
        with written(path) as temporary:
            temporary.write_bytes(whole)
        return path.read_bytes() in wholes

    with ThreadPoolExecutor(4) as writers:
        assert all(writers.map(write, wholes))
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    path, plain = tmp_path / "file", tmp_path / "plain"
    plain.touch()
    with written(path) as temporary:
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors does
    assert path.stat().st_mode == plain.stat().st_mode


def test_an_error_of_the_disk_names_the_file_that_was_to_be(path):
    with pytest.raises(OSError, match="No space") as caught, written(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(path)


def test_a_folder_that_takes_files_or_can_be_made_is_left_as_it_is(tmp_path):
    assert why_unwritable(tmp_path) is None
    assert why_unwritable(tmp_path / "new" / "deeper") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "reason"), [("file/below", "Not a directory"), ("x" * 300, "File name too long")]
)
def test_a_folder_that_cannot_be_is_reported_in_the_systems_words(tmp_path, name, reason):
    (tmp_path / "file").touch()
    assert why_unwritable(tmp_path / name) == reason
