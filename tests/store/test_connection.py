"""What fails because of a variable names the variable, and not the folder of weights."""

import errno
import os

import pytest
import requests

from clipsonic_cli.errors import FetchFailed
from clipsonic_cli.store import connection
from clipsonic_cli.store.fetch import REMEDIES, disk_error

VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSLKEYLOGFILE", "HTTPS_PROXY", "ALL_PROXY")
URL = "https://example.invalid/weights.bin"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in [*VARIABLES, "NO_PROXY"]:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("name", "reason"), [("absent", "No such file"), ("text", r"NO_CERTIFICATE|no certificate")]
)
def test_a_variable_that_names_no_certificates_is_named(
    get, target, tmp_path, monkeypatch, variable, name, reason
):
    (tmp_path / "text").write_text("no certificate")
    monkeypatch.setenv(variable, str(tmp_path / name))
    with pytest.raises(FetchFailed, match=rf"^{variable}=.*{name} names no certificates") as error:
        get(URL)
    error.match(reason)
    assert str(target.parent) not in str(error.value)


def test_certificates_of_an_unencrypted_address_do_not_matter(server, get, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    assert get(server.serve("/a", b"content")).bytes == 7


def test_a_log_of_keys_that_cannot_be_written_is_named(get, monkeypatch, tmp_path):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "absent" / "keys"))
    with pytest.raises(FetchFailed, match=r"^SSLKEYLOGFILE=.*No such file.*unset SSLKEYLOGFILE"):
        get(URL)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1"])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_does_not_answer_is_named_by_its_variable(get, monkeypatch, variable, proxy):
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(FetchFailed, match=rf"example\.invalid.*the proxy that {variable} names"):
        get(URL)


def test_a_proxy_that_is_not_used_is_not_blamed(get, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(FetchFailed, match="refused") as error:
        get("https://127.0.0.1:1/a")
    assert "PROXY" not in str(error.value)


def test_a_certificate_that_nobody_vouches_for_is_not_tried_again():
    error = requests.exceptions.SSLError(f"[SSL: {connection.UNTRUSTED}] self-signed certificate")
    assert connection.is_final(error)
    assert "set REQUESTS_CA_BUNDLE" in connection.remedy(error, URL)
    assert not connection.is_final(requests.exceptions.SSLError("unexpected end of file"))


@pytest.mark.parametrize("number", sorted(REMEDIES))
def test_an_error_of_the_disk_has_its_own_remedy(tmp_path, number):
    error = OSError(number, os.strerror(number), str(tmp_path / "there"))
    message = str(disk_error(tmp_path, error))
    assert message.startswith(str(tmp_path / "there"))
    assert os.strerror(number) in message
    assert message.endswith(REMEDIES[number])


def test_too_many_open_files_are_not_a_matter_of_access(tmp_path):
    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    assert "Allow access" not in str(disk_error(tmp_path, error))
