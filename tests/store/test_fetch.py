import hashlib
import json
import socket

import pytest
from store.server import CONTENT, DIGEST, FINE, OTHER, Fault

from clipsonic_cli.errors import FetchFailed, NoConnection
from clipsonic_cli.store.fetch import fetch, fetch_json

RESUMED = "bytes=500000-"
CUT = Fault(cut_after=500_000)


def requested_ranges(server):
    return [request.headers["Range"] for request in server.requests]


def patience(fault, silence):
    """Return seconds for a connection and an answer: few only for a server that falls silent."""
    return (60, 60 if fault.stall_after is None else silence)


def test_a_file_is_fetched_under_its_name_and_nothing_else(server, get, target):
    fetched = get(server.serve("/a", CONTENT), size=len(CONTENT), sha256=DIGEST[:8].upper())
    assert fetched.path.read_bytes() == CONTENT
    assert (fetched.sha256, fetched.bytes) == (DIGEST, len(CONTENT))
    assert list(target.parent.iterdir()) == [target]
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("fault", "ranges"),
    [
        (CUT, [None, RESUMED]),
        (Fault(stall_after=500_000), [None, RESUMED]),
        (Fault(cut_after=500_000, headers={"ETag": None}), [None, None]),
        (Fault(cut_after=500_000, headers={"ETag": 'W/"weak"'}), [None, None]),
        (Fault(cut_after=500_000, chunked=True), [None, RESUMED]),
        (Fault(cut_after=500_000, unsized=True), [None, RESUMED]),
        (Fault(status=500), [None, None]),
        (Fault(status=503), [None, None]),
        (Fault(status=429), [None, None]),
        (Fault(chunked=True), [None]),
        (Fault(block=100_000, pause=0.05), [None]),
    ],
)
def test_a_fault_that_passes_ends_in_the_right_file(server, get, target, fault, ranges):
    expected = {"size": len(CONTENT), "sha256": DIGEST, "timeout": patience(fault, 2)}
    fetched = get(server.serve("/a", CONTENT, fault, FINE), **expected)
    assert (target.read_bytes(), fetched.sha256) == (CONTENT, DIGEST)
    assert requested_ranges(server) == ranges


def closed_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{door.getsockname()[1]}"


def test_without_a_network_every_attempt_is_said_and_what_to_do(get, target, caplog):
    host, mirror = closed_port(), closed_port()
    urls = [f"http://{name}/a" for name in (host, mirror)]
    with pytest.raises(NoConnection) as error:
        fetch(urls, target, attempts=3)
    assert str(error.value).startswith(f"No connection to {host} (")
    assert f" or {mirror} (" in str(error.value)
    assert "CLIPSONIC_MIRROR" in str(error.value)
    assert caplog.messages == [
        f"{name} cannot be reached; no network? (attempt {attempt} of 3)"
        for name in (host, mirror)
        for attempt in (2, 3)
    ]


def test_one_address_that_answers_is_no_missing_network(server, get, target):
    urls = [f"http://{closed_port()}/a", server.serve("/a", CONTENT, Fault(status=404))]
    with pytest.raises(FetchFailed, match=r"does not give the file .404") as error:
        fetch(urls, target, attempts=2)
    assert not isinstance(error.value, NoConnection)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (Fault(status=403), "does not give the file .403 Forbidden"),
        (Fault(status=404), "does not give the file .404 Not Found"),
        (Fault(status=500), "failed 3 times in a row, last: 500"),
        (Fault(stall_after=0), "failed 3 times in a row, last: Read timed out"),
        (Fault(stall_after=9), "failed 3 times in a row, last: Read timed out"),
        (Fault(cut_after=9, ranges=False), "failed 3 times in a row, last: Connection broken"),
        (Fault(longer=9), "has another file: bytes 1000009, not 1000000"),
        (Fault(longer=-9), "has another file: bytes 999991, not 1000000"),
        (Fault(headers={"Content-Encoding": "gzip"}), "gives the file in gzip coding only"),
        (Fault(headers={"X-Linked-Size": "7"}), "states several lengths of the file: .7, 1000000"),
        (Fault(headers={"X-Linked-Etag": f'"{"0" * 64}"'}), "has another file: SHA-256 0000"),
        (Fault(status=302, headers={"Location": "/a"}), "Exceeded 30 redirects"),
        (Fault(status=302, headers={"Location": "//[::1/a"}), "not usable"),
        (Fault(status=302, headers={"Location": "file:///etc/passwd"}), "not usable"),
        (Fault(status=206), "does not give the file .206"),
    ],
)
def test_a_fault_that_stays_ends_in_one_clear_line(server, get, target, fault, line):
    url = server.serve("/a", CONTENT, fault)
    expected = {"size": len(CONTENT), "sha256": DIGEST, "timeout": patience(fault, 0.5)}
    with pytest.raises(FetchFailed, match=line) as error:
        get(url, attempts=3, **expected)
    assert "\n" not in str(error.value)
    assert not target.exists()


@pytest.mark.parametrize("fault", [FINE, Fault(chunked=True)])
def test_a_body_of_another_length_than_known_is_rejected(server, get, target, fault):
    for size in (len(CONTENT) - 1, len(CONTENT) + 1):
        with pytest.raises(FetchFailed, match=f"not {size}"):
            get(server.serve("/a", CONTENT, fault), size=size)
        assert not target.exists()


def test_a_length_that_exceeds_the_body_is_never_believed(server, get, target):
    with pytest.raises(FetchFailed, match="9 more expected"):
        get(server.serve("/a", CONTENT, Fault(longer=9)))
    assert not target.exists()


def test_a_body_whose_end_looks_like_a_cut_needs_a_digest(server, get, target):
    url = server.serve("/a", CONTENT, Fault(unsized=True))
    with pytest.raises(FetchFailed, match="does not say where the file ends"):
        get(url)
    assert get(url, sha256=DIGEST).sha256 == DIGEST


def test_a_line_cut_again_and_again_gets_there(server, get):
    faults = [Fault(cut_after=300_000)] * 4
    assert get(server.serve("/a", CONTENT, *faults), sha256=DIGEST, attempts=2)


@pytest.mark.parametrize("fault", [FINE, Fault(ranges=False), Fault(conditions=False)])
def test_a_file_that_changes_in_between_is_fetched_again(server, get, fault):
    url = server.serve("/a", OTHER, CUT)
    server.then("/a", CONTENT, fault, FINE)
    assert get(url).sha256 == DIGEST
    assert requested_ranges(server)[:2] == [None, RESUMED]


def test_what_another_address_began_is_not_gone_on_with(server, get):
    urls = [server.serve("/a", OTHER, CUT, Fault(status=404)), server.serve("/b", CONTENT)]
    assert get(*urls).sha256 == DIGEST
    assert requested_ranges(server) == [None, RESUMED, None]


def test_a_wrong_file_is_deleted_and_requested_once(server, get, target):
    with pytest.raises(FetchFailed, match=f"of SHA-256 {hashlib.sha256(OTHER).hexdigest()}, not"):
        get(server.serve("/a", OTHER), sha256=DIGEST)
    assert len(server.requests) == 1
    assert [path.suffix for path in target.parent.iterdir()] == [".lock"]


def test_a_wrong_file_that_came_in_pieces_is_fetched_whole_once_more(server, get):
    same = {"ETag": '"same"'}
    url = server.serve("/a", OTHER, Fault(cut_after=500_000, headers=same))
    server.then("/a", CONTENT, Fault(headers=same))
    assert get(url, sha256=DIGEST).sha256 == DIGEST
    assert requested_ranges(server) == [None, RESUMED, None]


def test_the_next_address_is_asked_when_one_fails(server, get):
    urls = [server.serve("/gone", b"", Fault(status=404)), server.serve("/wrong", OTHER)]
    right = server.serve("/right", CONTENT)
    assert get(*urls, right, sha256=DIGEST).url == right


def test_an_existing_file_is_verified_without_a_request(server, get, target, monkeypatch):
    url = server.serve("/a", CONTENT)
    get(url)
    seen = []
    monkeypatch.setenv("CLIPSONIC_OFFLINE", "1")
    assert get(url, sha256=DIGEST).url is None
    for expected in ({"sha256": "0" * 64}, {"size": 7}):
        with pytest.raises(FetchFailed, match=r"another file than expected.*Delete it"):
            get(url, **expected, report=lambda *at: seen.append(at))
    assert len(server.requests) == 1
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert target.read_bytes() == CONTENT


@pytest.mark.usefixtures("waits")
def test_json_is_got_with_the_same_patience(server):
    url = server.serve("/j", json.dumps({"a": 1}).encode(), Fault(status=503), FINE)
    assert fetch_json(url) == {"a": 1}
    with pytest.raises(FetchFailed, match="not usable"):
        fetch_json(server.serve("/k", b"<html>"))
    with pytest.raises(FetchFailed, match="404"):
        fetch_json(server.base + "/none")


def test_wrong_arguments_are_a_value_error(get):
    for urls, digest in (((), None), (("https://a.example/b",), "xyz")):
        with pytest.raises(ValueError, match="needs an address"):
            get(*urls, sha256=digest)
