import contextlib
import shutil
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from store.server import CONTENT, DIGEST, OTHER, Fault, Server, certificate

from clipsonic_cli.errors import FetchFailed, UsageError
from clipsonic_cli.store.fetch import fetch_json
from clipsonic_cli.store.web import sources


def test_a_mirror_is_tried_first_and_verified_the_same(server, get, target, monkeypatch):
    url = server.serve("/a", CONTENT)
    mirrored = f"/m{url.removeprefix('http:/')}"
    monkeypatch.setenv("CLIPSONIC_MIRROR", f"{server.base}/m/")
    server.serve(mirrored, OTHER)
    assert get(url, sha256=DIGEST).url == url
    target.unlink()
    server.serve(mirrored, CONTENT)
    assert get(url, sha256=DIGEST).url == server.base + mirrored


def test_a_server_is_left_alone_as_long_as_it_asks(server, get, waits):
    busy = [{"Retry-After": "7"}, {"Retry-After": formatdate(time.time() + 100, usegmt=True)}]
    busy += [{"Retry-After": "99999"}]
    for headers, (least, most) in zip(busy, [(7, 7), (40, 100), (120, 120)], strict=True):
        waits.clear()
        fault = Fault(status=429, headers=headers)
        with pytest.raises(FetchFailed):
            get(server.serve("/a", CONTENT, fault), attempts=2)
        assert least <= sum(waits) <= most


def test_a_long_wait_is_said_and_bounded(server, get, waits, caplog):
    far = formatdate(time.time() + 10**9, usegmt=True)
    for retry_after in ("5000", "9" * 400, far):
        caplog.clear()
        waits.clear()
        fault = Fault(status=429, headers={"Retry-After": retry_after})
        with pytest.raises(FetchFailed):
            get(server.serve("/a", CONTENT, fault), attempts=2)
        assert sum(waits) == 120
        assert "the next one is in 120 s (attempt 2 of 2)" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        *("http://[::1/m.zip", "http:///m.zip", "ftp://a/m.zip", "http://a:99999/m.zip"),
        *("http://a:0/m.zip", "http://a:b/m.zip", "http://a b/m.zip", "file:///etc/passwd.zip"),
    ],
)
def test_what_is_no_address_is_rejected_before_anything_is_asked(url):
    with pytest.raises(UsageError, match="not like https://example"):
        sources([url])


def test_an_answer_of_json_without_end_is_not_read(server, monkeypatch):
    monkeypatch.setattr("clipsonic_cli.store.web.MAX_JSON", 1000)
    url = server.serve("/j", b"[" + b"1," * 5000 + b"1]")
    with pytest.raises(FetchFailed, match="over 1,000 bytes of JSON"):
        fetch_json(url)


def test_the_body_of_a_redirect_is_not_read(server, get):
    target, sent = server.serve("/b", CONTENT), []

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client hangs up
                while len(sent) < 100:
                    self.wfile.write(bytes(1 << 20))
                    sent.append(1)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Endless) as redirecting:
        serving = threading.Thread(target=redirecting.handle_request)
        serving.start()
        fetched = get(f"http://127.0.0.1:{redirecting.server_port}/a")
        serving.join()
    assert fetched.bytes == len(CONTENT)
    assert len(sent) < 100


def test_waits_double_between_attempts(server, get, waits):
    with pytest.raises(FetchFailed):
        get(server.serve("/a", CONTENT, Fault(status=500)), attempts=5)
    assert 7.5 <= sum(waits) <= 15
    assert max(waits) <= 1  # a report between them can end it


@pytest.mark.parametrize("variable", ["CLIPSONIC_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_no_request_is_made(server, get, target, variable, monkeypatch):
    monkeypatch.setenv(variable, "Yes")
    with pytest.raises(FetchFailed, match=f"{variable}=Yes forbids"):
        get(server.serve("/a", CONTENT))
    assert not server.requests
    assert not target.parent.exists()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A proxy that plays huggingface.co and cdn.example over TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("a certificate needs the openssl command")
    path = certificate(tmp_path, "huggingface.co", "cdn.example")
    (tmp_path / "netrc").write_text("default login me password secret\n")
    with Server(tls=path) as server:
        for name in ("NO_PROXY", "no_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", server.base)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        yield server


def test_the_token_goes_to_the_hub_and_not_where_it_redirects(hub, get, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    stated = {"X_Linked_Etag": f'"{DIGEST}"', "X_Linked_Size": str(len(CONTENT))}
    hub.redirect("/o/m/resolve/main/a", "/new/resolve/main/a")
    hub.redirect("/new/resolve/main/a", "https://cdn.example/b?Signature=s", **stated)
    hub.serve("/b?Signature=s", CONTENT)
    fetched = get("https://huggingface.co/o/m/resolve/main/a")
    assert [(sent.host, sent.headers["Authorization"]) for sent in hub.requests] == [
        ("huggingface.co", "Bearer hf_secret"),
        ("huggingface.co", "Bearer hf_secret"),
        ("cdn.example", None),  # nor what .netrc has for every host
    ]
    assert fetched.sha256 == DIGEST


def test_what_the_hub_states_is_held_against_what_comes(hub, get, target):
    hub.redirect("/r", "https://cdn.example/b", X_Linked_Etag=f'"{DIGEST}"')
    hub.serve("/b", OTHER)
    with pytest.raises(FetchFailed, match=f"not {DIGEST}; it was deleted"):
        get("https://huggingface.co/r")
    assert not target.exists()


def test_a_gated_file_says_how_to_be_let_in(hub, get):
    hub.serve("/o/m/resolve/main/a", b"", Fault(status=401))
    with pytest.raises(
        FetchFailed, match=r"licence at https://huggingface.co/o/m, and set HF_TOKEN"
    ):
        get("https://huggingface.co/o/m/resolve/main/a")


def test_a_redirect_from_https_to_http_is_rejected(hub, server, get):
    hub.redirect("/r", server.serve("/a", CONTENT))
    with pytest.raises(FetchFailed, match="which is not https"):
        get("https://huggingface.co/r")
    assert not server.requests


def test_no_other_host_gets_the_token(server, get, target, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", server.base)
    with Server("localhost") as other:
        other.serve("/a", CONTENT)
        url = server.redirect("/r", f"{other.base}/a")
        get(url)
        target.unlink()
        server.serve("/h/a", CONTENT)
        get("https://huggingface.co/h/a")
        requests = [*server.requests, *other.requests]
    assert [request.headers["Authorization"] for request in requests] == [None, None, None]


@pytest.mark.parametrize("variable", ["CLIPSONIC_MIRROR", "HF_ENDPOINT", "HF_TOKEN"])
def test_an_invalid_variable_is_named(get, variable, monkeypatch):
    monkeypatch.setenv(variable, "not so\nsecret")
    with pytest.raises(UsageError, match=variable) as error:
        get("https://huggingface.co/a")
    assert variable != "HF_TOKEN" or "secret" not in str(error.value)


def test_a_certificate_that_is_not_trusted_ends_at_the_first_attempt(hub, get, waits, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with pytest.raises(FetchFailed, match=r"failed: .*certificate.*set REQUESTS_CA_BUNDLE"):
        get("https://huggingface.co/o/m/resolve/main/a")
    assert not waits
