"""Published weights on disk: receipts, pins, verification, removal."""

import errno
import hashlib
import json
from collections import namedtuple

import pytest
import torch
from filelock import FileLock

from clipsonic_cli.errors import BadBundle, FetchFailed, MissingWeights
from clipsonic_cli.store import assets
from clipsonic_cli.store.bundle import Bundle, Header
from clipsonic_cli.store.fetch import Fetched
from clipsonic_cli.store.install import install as install_asset
from clipsonic_cli.store.manifest import Asset, RemoteFile

CONTENT = {"a.bin": b"weights", "b.json": b"{}"}
ASSET = Asset(
    name="ours",
    title="Ours",
    licence="MIT",
    page="https://example.org",
    files=tuple(RemoteFile(name=name, urls=(f"https://example.org/{name}",)) for name in CONTENT),
    size=9,
    part="clip",
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    return tmp_path


class Publisher:
    """Stands in for the network: serves content and records the requests."""

    def __init__(self, content=CONTENT):
        self.content, self.requests = content, []

    def __call__(self, urls, target, *, size=None, sha256=None, report):
        self.requests.append((target.name, sha256))
        data = self.content[target.name]
        digest = hashlib.sha256(data).hexdigest()
        if sha256 is not None and not digest.startswith(sha256):
            raise FetchFailed(f"{target.name} has another digest, not {sha256}")
        target.write_bytes(data)
        report(len(data), len(data))
        return Fetched(path=target, url=urls[0], bytes=len(data), sha256=digest)


def convert(files):
    assert {name: path.read_bytes() for name, path in files.items()} == CONTENT
    header = Header(kind="clip", config={}, encoder="ours")
    return Bundle(header=header, weights={"w": torch.ones(3)})


def install(convert=convert, publisher=None, report=lambda *_: None):
    publisher = publisher or Publisher()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clipsonic_cli.store.install.fetch", publisher)
        install_asset(ASSET, convert=convert, report=report)
    return publisher


def test_an_asset_is_converted_once_and_its_own_files_go():
    assert assets.state(ASSET) == "absent"
    install()
    assert assets.state(ASSET) == "here"
    names = {path.name for path in assets.folder(ASSET).iterdir()}
    assert names == {"clip.safetensors", "receipt.json"}
    assert install().requests == []


def test_without_a_conversion_the_files_stay():
    install(convert=None)
    assert assets.file_of(ASSET, "a.bin").read_bytes() == CONTENT["a.bin"]


def test_what_is_not_here_says_how_to_get_it():
    with pytest.raises(MissingWeights, match="clipsonic download ours"):
        assets.file_of(ASSET)


def test_the_first_download_pins_and_the_second_must_agree(home):
    assert install().requests == [("a.bin", None), ("b.json", None)]
    assets.remove(ASSET)
    changed = Publisher(CONTENT | {"a.bin": b"another"})
    with pytest.raises(FetchFailed, match="another digest"):
        install(publisher=changed)
    pins = json.loads((home / "weights" / "pins.json").read_text())
    assert pins["https://example.org/a.bin"] == hashlib.sha256(CONTENT["a.bin"]).hexdigest()


def test_a_changed_bundle_is_found_by_verifying():
    install()
    assert assets.verify(ASSET) == []
    path = assets.file_of(ASSET)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "sha256" in assets.verify(ASSET)[0]


def test_a_bundle_cut_short_is_not_here():
    install()
    path = assets.file_of(ASSET)
    path.write_bytes(path.read_bytes()[:-1])
    assert assets.state(ASSET) == "partial"
    install()
    assert assets.verify(ASSET) == []


def test_what_cannot_be_converted_leaves_no_receipt():
    def fail(files):
        raise BadBundle("these are not the weights")

    with pytest.raises(BadBundle):
        install(convert=fail)
    assert assets.state(ASSET) == "absent"


def test_what_cannot_be_converted_is_deleted_and_not_pinned():
    def fail(files):
        raise BadBundle("these are not the weights")

    with pytest.raises(BadBundle):
        install(convert=fail, publisher=Publisher(CONTENT | {"a.bin": b"<html>"}))
    assert install().requests == [("a.bin", None), ("b.json", None)]
    assert assets.verify(ASSET) == []


def test_a_digest_that_disagrees_with_a_pin_says_where_it_is_pinned():
    install(publisher=Publisher(CONTENT | {"a.bin": b"wrong"}), convert=None)
    assets.remove(ASSET)
    with pytest.raises(FetchFailed, match=r"pinned at the first download.*pins\.json"):
        install()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"x": 5}', '{"x": "abc"}', " " * 2_000_000]
)
def test_damaged_pins_are_never_silently_dropped(home, text):
    (home / "weights").mkdir()
    (home / "weights" / "pins.json").write_text(text)
    with pytest.raises(FetchFailed, match=r"pins\.json.*Delete it"):
        install()


def test_what_a_killed_process_left_half_written_goes():
    leftover = assets.folder(ASSET) / ".clip.safetensors.123.part"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    install()
    assert not leftover.exists()


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS])
def test_a_disk_fault_while_converting_ends_in_one_line(fault):
    def fail(files):
        raise OSError(fault, "injected")

    with pytest.raises(FetchFailed, match="injected"):
        install(convert=fail)
    assert assets.state(ASSET) == "partial"
    install()
    assert assets.state(ASSET) == "here"


def test_what_is_here_needs_no_folder_that_can_be_written(monkeypatch):
    install()
    monkeypatch.setattr("clipsonic_cli.store.install.FileLock", None)
    assert install().requests == []


def test_waiting_for_another_process_warns_and_can_be_ended():
    folder = assets.folder(ASSET)
    folder.parent.mkdir()

    def stop(*_):
        raise KeyboardInterrupt

    with (
        FileLock(folder.parent / "ours.lock"),
        pytest.warns(UserWarning, match=r"Another process .*ours\.lock; this one waits"),
        pytest.raises(KeyboardInterrupt),
    ):
        install(convert=None, report=stop)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"kept": {"clip.safetensors": {"bytes": NaN, "sha256": 5}}}',
        '{"x": NaN, "kept": {"a": {"bytes": 1, "sha256": "%s"}}}' % ("0" * 64),
        '{"kept": {"../../x": {"bytes": 1, "sha256": "%s"}}}' % ("0" * 64),
        '{"kept": {"..": {"bytes": 1, "sha256": "%s"}}}' % ("0" * 64),
        '{"kept": {"NAME": {"bytes": 1, "sha256": "%s"}}}'.replace("NAME", "a" * 70_000)
        % ("0" * 64),
    ],
)
def test_a_damaged_or_hostile_receipt_is_none(text):
    install()
    (assets.folder(ASSET) / "receipt.json").write_text(text)
    assert assets.read_receipt(assets.folder(ASSET)) is None
    assert assets.state(ASSET) == "partial"


def test_removing_frees_what_it_says():
    install()
    size = assets.on_disk(ASSET)
    assert size > 0
    assert assets.remove(ASSET) == size
    assert assets.state(ASSET) == "absent"
    assert assets.remove(ASSET) == 0


def test_a_disk_too_small_for_file_and_bundle_is_an_error_before_any_request(monkeypatch):
    usage = namedtuple("usage", "total used free")(100, 83, 17)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    publisher = Publisher()
    with pytest.raises(FetchFailed, match="ours needs 18 bytes, 17 are free"):
        install(publisher=publisher)
    assert not publisher.requests
    install(convert=None, publisher=publisher)  # what is not converted needs half
    assert assets.state(ASSET) == "here"
