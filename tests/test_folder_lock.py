"""A folder has one owner: by other processes, and after one has died."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import filelock
import pytest

from clipsonic_cli import folder_lock
from clipsonic_cli.errors import UsageError
from clipsonic_cli.folder_lock import owned

HOLD = """
import sys
from pathlib import Path
from clipsonic_cli.folder_lock import owned
with owned(Path(sys.argv[1]), "clipsonic train"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path until its standard input ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], **pipes)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    if not process.stdin.closed:
        process.stdin.close()


def test_a_folder_that_another_process_holds_is_rejected_with_its_name(holder, tmp_path):
    holds = rf"clipsonic train, process {holder.pid} on {socket.gethostname()}, since \d{{4}}-"
    with pytest.raises(UsageError, match=holds), owned(tmp_path, "clipsonic eval"):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, None], ids=["killed", "ended"])
def test_a_folder_whose_owner_has_gone_is_free(holder, tmp_path, number):
    if number is None:
        holder.stdin.close()
    else:
        holder.send_signal(number)
    holder.wait()
    with owned(tmp_path, "clipsonic eval"):
        assert json.loads((tmp_path / folder_lock.OWNER).read_text())["pid"] == os.getpid()
    assert not (tmp_path / folder_lock.OWNER).exists()


def test_its_own_process_enters_a_folder_again(tmp_path):
    with owned(tmp_path, "a"):
        with owned(tmp_path / ".", "b"):
            pass
        assert (tmp_path / folder_lock.OWNER).exists()


def test_another_thread_does_not(tmp_path):
    refusals = []

    def enter():
        try:
            with owned(tmp_path, "b"):
                pass
        except UsageError as error:
            refusals.append(str(error))

    with owned(tmp_path, "a"):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert len(refusals) == 1


def test_a_new_folder_in_which_nothing_came_to_be_goes_again(tmp_path):
    with owned(tmp_path / "runs" / "run", "a"):
        assert (tmp_path / "runs" / "run").is_dir()
    assert not list(tmp_path.iterdir())
    with owned(tmp_path / "run", "a"):
        (tmp_path / "run" / "file").touch()
    assert (tmp_path / "run" / "file").exists()


@pytest.fixture
def lockless(monkeypatch):
    """A disk that knows no locks."""

    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    monkeypatch.setattr(filelock.FileLock, "__enter__", refuse)


def test_a_disk_without_locks_is_reported_and_used(lockless, tmp_path):
    with pytest.warns(UserWarning, match="knows no locks"), owned(tmp_path, "a"):
        assert (tmp_path / folder_lock.OWNER).exists()


@pytest.mark.parametrize(
    ("pid", "free"), [(os.getpid(), False), (2**22 + 1, True)], ids=["alive", "gone"]
)
@pytest.mark.filterwarnings("ignore:The disk of")
def test_there_what_the_owner_wrote_down_counts_while_it_lives(lockless, tmp_path, pid, free):
    owner = {"work": "w", "pid": pid, "host": socket.gethostname(), "since": "now"}
    (tmp_path / folder_lock.OWNER).write_text(json.dumps(owner))
    if free:
        with owned(tmp_path, "a"):
            return
    with pytest.raises(UsageError, match=f"process {pid}"), owned(tmp_path, "a"):
        pass


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pid": "x"}', "[" * 4000])
def test_what_the_owner_wrote_down_may_be_anything(lockless, tmp_path, content):
    (tmp_path / folder_lock.OWNER).write_text(content)
    with pytest.warns(UserWarning, match="knows no locks"), owned(tmp_path, "a"):
        pass
