import io
import re
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from make_media import clips_of, read_samples, write_tar
from server import Fault, Server

from clipsonic_cli.data import remote, webdataset
from clipsonic_cli.data.media import read_frames
from clipsonic_cli.data.source import Unreadable
from clipsonic_cli.errors import UsageError


def test_patterns_stand_for_shards():
    assert webdataset.expand("a-{008..010}.tar") == ["a-008.tar", "a-009.tar", "a-010.tar"]
    assert webdataset.expand("{x,y}/{0..1}.tar") == ["x/0.tar", "x/1.tar", "y/0.tar", "y/1.tar"]
    with pytest.raises(UsageError, match="more than 1,000,000"):
        webdataset.expand("{0..99999999999}.tar")


def test_labels_come_from_text_and_json(make, tmp_path):
    clips = list(clips_of(str(make["shards"](tmp_path))))
    listed = [(clip.id, clip.label) for clip in clips]
    assert listed == [("000.tar/a", "dog"), ("000.tar/b", None), ("001.tar/a", "cat")]


def test_a_truncated_shard_costs_what_is_missing(make, tmp_path):
    root = make["shards"](tmp_path)
    whole = (root / "000.tar").read_bytes()
    (root / "000.tar").write_bytes(whole[:3000])
    clips = list(clips_of(str(root)))
    assert [clip.id for clip in clips] == ["000.tar/a", "000.tar", "001.tar/a"]
    assert "listed up to here" in clips[1].problem
    with pytest.raises(Unreadable, match="its shard ends in the middle of it"):
        read_samples(clips[0], 16_000)
    assert len(read_samples(clips[2], 16_000)) == 40_000


@pytest.mark.parametrize("name", ["../../a.mp4", "/etc/a.mp4", "a\\b.mp4"])
def test_names_that_lead_out_of_a_shard_are_rejected(tmp_path, name):
    [clip] = clips_of(str(write_tar(tmp_path / "a.tar", {name: b"x"})))
    assert clip.problem == "its name leads out of the shard"


def test_links_in_a_shard_are_rejected(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("a.mp4")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    [clip] = clips_of(str(tmp_path))
    assert "no file" in clip.problem


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"start": -1}', b"\xff", b"[" * 100_000])
def test_bad_json_costs_that_clip(tmp_path, text):
    write_tar(tmp_path / "a.tar", {"a.mp4": b"x", "a.json": text, "b.mp4": b"x"})
    bad, good = clips_of(str(tmp_path))
    assert "JSON" in bad.problem
    assert good.problem is None


@contextmanager
def object_store(files: dict[str, bytes], busy: int = 0) -> Iterator[tuple[str, list[int]]]:
    """Serve files in parts alone; yield its address and the sizes of what it sent."""
    sent: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        refused = 0

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            content = files[self.path]
            start, end = map(
                int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups()
            )
            part = content[start : end + 1]
            if Handler.refused < busy:
                Handler.refused += 1
                self.send_response(503)
                part = b""
            else:
                self.send_response(206 if part else 416)
            last = start + len(part) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)
            sent.append(len(part))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", sent
        http.shutdown()
        thread.join()


def test_shards_are_read_from_the_web_without_a_copy(make, tmp_path):
    root = make["shards"](tmp_path)
    local = list(clips_of(str(root)))
    files = {f"/{name}.tar": (root / f"{name}.tar").read_bytes() for name in ("000", "001")}
    with object_store(files) as (base, _):
        clips = list(clips_of(f"{base}/{{000..001}}.tar"))
        sounds = [read_samples(clip, 16_000) for clip in clips]
        images = [next(read_frames(clip, [0.1])) for clip in clips]
    listed = [[(c.id, c.label, c.split) for c in each] for each in (local, clips)]
    assert listed[0] == listed[1]
    assert all((read_samples(c, 16_000) == s).all() for c, s in zip(local, sounds, strict=True))
    assert [next(read_frames(clip, [0.1])) for clip in local] == images


def test_listing_a_remote_shard_skips_what_is_large(tmp_path):
    big = bytes(2_000_000)
    content = write_tar(tmp_path / "a.tar", {"a.mp4": big, "b.mp4": big}).read_bytes()
    with object_store({"/a.tar": content}) as (base, sent):
        assert len(list(clips_of(f"{base}/a.tar"))) == 2
    assert sum(sent) < 6 * remote.BLOCK


def test_a_busy_server_is_tried_again(monkeypatch):
    monkeypatch.setattr("clipsonic_cli.store.web.sleep", lambda seconds: None)
    with object_store({"/a.bin": bytes(range(100))}, busy=2) as (base, sent):
        with remote.RemoteFile(f"{base}/a.bin") as file:
            file.seek(-10, io.SEEK_END)
            assert file.read() == bytes(range(90, 100))
        assert sent[:2] == [0, 0]


def test_a_shard_that_is_not_there_or_not_in_parts_is_reported():
    with Server() as server:
        url = server.serve("/a.tar", b"x" * 1000, Fault(ranges=False))
        assert "not given in parts" in clips_of(url)[0].problem
        assert "404" in clips_of(f"{server.base}/b.tar")[0].problem
