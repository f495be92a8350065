import errno
import hashlib
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from store.server import CONTENT, DIGEST, FINE, Fault

from clipsonic_cli.errors import FetchFailed
from clipsonic_cli.store.fetch import fetch

CUT = Fault(cut_after=500_000)


def requested_ranges(server):
    return [request.headers["Range"] for request in server.requests]


PROGRAM = """
import sys, pathlib
from clipsonic_cli.store.fetch import fetch
fetch([sys.argv[1]], pathlib.Path(sys.argv[2]), sha256=sys.argv[3])
"""


def start(url, target):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, url, str(target), DIGEST])


def test_a_download_killed_again_and_again_goes_on_from_there(server, target):
    stalls = [Fault(block=10_000, stall_after=250_000)] * 3  # so that it never ends before
    url = server.serve("/a", CONTENT, Fault(stall_after=1), *stalls, FINE)
    for kept in (1, 250_000, 500_000, 750_000):
        with start(url, target) as process:
            while server.sent < kept:
                time.sleep(0.002)
            process.kill()
        assert not target.exists()
    assert start(url, target).wait() == 0
    assert hashlib.sha256(target.read_bytes()).hexdigest() == DIGEST
    assert list(target.parent.iterdir()) == [target]
    assert server.sent < 2 * len(CONTENT)  # each kill costs what the sockets held
    assert any(requested_ranges(server))


def test_killed_just_before_its_name_a_file_needs_no_further_request(server, get, target):
    url = server.serve("/a", CONTENT)

    def kill(done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(url, report=kill)
    assert not target.exists()
    assert get(url, sha256=DIGEST).bytes == len(CONTENT)
    assert len(server.requests) == 1


@pytest.mark.filterwarnings("ignore:Another process is fetching the same")
def test_two_processes_and_threads_at_once_fetch_once(server, target):
    url = server.serve("/a", CONTENT, Fault(block=10_000, pause=0.005))
    processes = [start(url, target) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(fetch, [url], target) for _ in range(2)]
        assert {job.result().sha256 for job in jobs} == {DIGEST}
    assert [process.wait() for process in processes] == [0, 0]
    assert len(server.requests) == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 kB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_file_larger_than_the_free_space_is_not_started(server, small_disk):
    with pytest.raises(FetchFailed, match=r"needs 1,000,000 bytes, [456]\d\d,\d\d\d are free"):
        fetch([server.serve("/a", CONTENT)], small_disk / "a")
    assert [path.name for path in small_disk.iterdir()] == ["a.lock"]


def test_a_disk_that_fills_up_ends_in_one_line(server, small_disk):
    url = server.serve("/a", CONTENT, Fault(chunked=True))
    with pytest.raises(FetchFailed, match=r"No space left on device.*free some space"):
        fetch([url], small_disk / "a")
    assert (small_disk / "a.part").stat().st_size > 400_000
    assert not (small_disk / "a").exists()


def test_a_folder_that_only_reads_gives_what_it_has_and_takes_nothing(server, small_disk):
    url = server.serve("/a", CONTENT[:1000])
    fetch([url], small_disk / "a")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert fetch([url], small_disk / "a").bytes == 1000
    with pytest.raises(FetchFailed, match=r"Read-only file system.*CLIPSONIC_HOME"):
        fetch([url], small_disk / "b")


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS])
def test_a_disk_fault_ends_in_one_line(server, get, target, monkeypatch, fault):
    def fail(*_):
        raise OSError(fault, "injected")

    monkeypatch.setattr("clipsonic_cli.store.partial.os.fsync", fail)
    with pytest.raises(FetchFailed, match="injected"):
        get(server.serve("/a", CONTENT))
    assert not target.exists()


def test_a_folder_that_is_a_file_ends_in_one_line(server, get, target):
    target.parent.write_bytes(b"")
    with pytest.raises(FetchFailed, match="cannot be read or written"):
        get(server.serve("/a", CONTENT))


def test_a_damaged_sidecar_costs_only_what_came(server, get, target):
    url = server.serve("/a", CONTENT, CUT, FINE)
    with pytest.raises(FetchFailed):
        get(url, attempts=1)
    target.with_name(f"{target.name}.part.json").write_text('{"url": ')
    assert get(url).sha256 == DIGEST
