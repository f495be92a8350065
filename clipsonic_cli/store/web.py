"""Make web requests: addresses, credentials, retries and the meaning of an answer.

Environment:
    CLIPSONIC_MIRROR: A mirror to try first: ``MIRROR/HOST/PATH`` for ``https://HOST/PATH``. It
        gets no token, and its files are verified all the same.
    CLIPSONIC_OFFLINE, HF_HUB_OFFLINE: With 1, true, yes or on no request is made.
    HF_TOKEN: Sent to https://huggingface.co and to no other host.
    HF_ENDPOINT: Used instead of https://huggingface.co, without the token.
    HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE and the like: As requests reads them.
"""

import json
import logging
import math
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from time import sleep
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from clipsonic_cli.errors import NoConnection, UsageError
from clipsonic_cli.store import connection
from clipsonic_cli.text import printable

T = TypeVar("T")

HUB = "huggingface.co"
PROGRESS = 1 << 18
"""Bytes that count as progress between two failures; a server that trickles is given up."""
LONGEST_WAIT = 120.0
"""Seconds between two attempts at most, even where a server states more."""
NOTABLE_WAIT = 5.0
"""Seconds of waiting for a server from which on a warning is logged."""
MAX_JSON = 16 << 20
"""Bytes of a JSON answer; the listing of a hub repository with thousands of files has 1 MB."""
LOGGER = logging.getLogger(__name__)


class Unavailable(Exception):
    """This address does not provide the file; another one may."""


class Unreachable(Unavailable):
    """There is no connection to this address, such as without a network."""


class Interrupted(Exception):
    """An answer failed or ended early; the same address may continue after ``wait`` seconds.

    ``wait`` is None where the server does not say.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Session(requests.Session):
    """A session that sends HF_TOKEN to the hub alone, and no credentials of ``.netrc``."""

    def __init__(self) -> None:
        super().__init__()
        self._token = os.environ.get("HF_TOKEN", "").strip()
        if self._token and not re.fullmatch("[!-~]+", self._token):
            # note: the message does not show it.
            raise UsageError("HF_TOKEN has spaces or signs that no token has; set it again.")
        self.headers["Accept-Encoding"] = "identity"  # the bytes on disk are the file's own
        self.auth = self._authorize  # requests reads .netrc only without an auth
        self.hooks["response"].append(_drop_redirect_body)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, after checking the variables of ``store/connection.py``."""
        connection.check_environment(request.url or "")
        return super().send(request, **options)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)
        url = urlsplit(request.url or "")
        if self._token and (url.scheme, url.netloc.lower()) == ("https", HUB):
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Decide about credentials at each redirect; raise Unavailable if it leaves https."""
        source, target = response.url, prepared_request.url or ""
        if urlsplit(source).scheme == "https" and urlsplit(target).scheme != "https":
            raise Unavailable(f"{show(source)} redirects to {show(target)}, which is not https.")
        self._authorize(prepared_request)


def check_online(wanted: str) -> None:
    """Check that no variable forbids to fetch ``wanted``, a name for the message."""
    for variable in ("CLIPSONIC_OFFLINE", "HF_HUB_OFFLINE"):
        if (value := os.environ.get(variable, "")).lower() in ("1", "true", "yes", "on"):
            raise NoConnection(
                f"{wanted} is not on this machine, and {variable}={value} forbids to fetch it. "
                f"Unset {variable}."
            )


def check_url(url: str, name: str = "The address") -> None:
    """Check that an address, or the variable ``name`` that holds one, can be requested."""
    if not is_url(url):
        raise UsageError(f"{name} '{printable(url)}' is not like https://example.org/path.")


def sources(urls: Sequence[str], *, mirrored: bool = True) -> list[str]:
    """Return the addresses to request, in order: those of the mirror first, if there is one.

    Raises:
        UsageError: A variable, or one of ``urls``, is not a web address.
    """
    mirror = os.environ.get("CLIPSONIC_MIRROR", "").rstrip("/") if mirrored else ""
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    for name, address in (("CLIPSONIC_MIRROR", mirror), ("HF_ENDPOINT", endpoint)):
        if address:
            check_url(address, name)
    for url in urls:
        check_url(url)
    hub = f"https://{HUB}/"
    mirrors = [f"{mirror}/{_host(url)}{urlsplit(url).path}" for url in urls] if mirror else []
    return mirrors + [
        f"{endpoint}/{url.removeprefix(hub)}" if endpoint and url.startswith(hub) else url
        for url in urls
    ]


def is_url(text: str) -> bool:
    """Return whether a text is an http or https address."""
    if not re.fullmatch(r"https?://[^/?#\s\[\]\\]+([/?#]\S*)?", text):
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0  # a port beyond 65535 is a ValueError
    except ValueError:
        return False


def read_json(response: requests.Response, url: str) -> Any:
    """Read the JSON value of an answer; raise Unavailable if it is invalid or over MAX_JSON."""
    body = response.raw.read(MAX_JSON + 1)
    if len(body) > MAX_JSON:
        raise Unavailable(f"{show(url)} sends over {MAX_JSON:,} bytes of JSON, the limit.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{show(url)} is not usable (no JSON: {str(error)[:80]}).") from None


def check_status(response: requests.Response, url: str, *, resumed: bool) -> None:
    """Check by its head that an answer brings the file, or the rest of it if ``resumed``.

    Raises:
        Interrupted: Another request may succeed.
        Unavailable: No other request will.
    """
    status = f"{response.status_code} {response.reason}"
    if response.status_code in (408, 425, 429) or response.status_code >= 500:
        raise Interrupted(status, wait=_retry_after(response))
    if response.status_code in (401, 403) and urlsplit(response.url).hostname == HUB:
        raise Unavailable(
            f"{show(url)} is gated ({status}). Accept its licence at "
            f"{show(url).partition('/resolve/')[0]}, and set HF_TOKEN to a token of that account."
        )
    if response.status_code != 200 and not (response.status_code == 206 and resumed):
        raise Unavailable(f"{show(url)} does not give the file ({status}).")
    if (coding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise Unavailable(f"{show(url)} gives the file in {coding} coding only.")


def insist(
    request: Callable[[], T],
    url: str,
    *,
    attempts: int,
    done: Callable[[], int] = lambda: 0,
    report: Callable[[], None] = lambda: None,
) -> T:
    """Repeat a request, after waits that double, while a connection fails or a server is busy.

    Args:
        request: Makes one attempt.
        url: Its address, for messages.
        attempts: Failures in a row without :data:`PROGRESS` in between, at most.
        done: Returns the number of bytes received so far.
        report: Called at every second of waiting; what it raises ends the call.

    Returns:
        The result of ``request``.

    Raises:
        Unavailable: It failed too often, or in a way that will not change.
        Unreachable: There was no connection; the message is the host and why.
    """
    jitter = Random(url)  # files fetched at once do not try again at once
    furthest = failures = 0
    while True:
        try:
            return request()
        except (ValueError, requests.TooManyRedirects) as error:
            # Of requests, whose errors about addresses and JSON are ValueErrors.
            text = " ".join(str(error).split()).rstrip(".")
            advice = connection.remedy(error, url)
            raise Unavailable(f"{show(url)} is not usable ({text}).{advice}") from None
        except (Interrupted, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # Give up, or choose a wait.
            if done() >= furthest + PROGRESS:
                furthest, failures = done(), 0
            failures += 1
            unreachable = isinstance(error, requests.ConnectionError) and not done()
            if failures >= attempts or connection.is_final(error):
                kept = f" The {done():,} bytes received are kept." if done() else ""
                advice = connection.remedy(error, url)
                if unreachable and not advice:
                    raise Unreachable(f"{_host(url)} ({_reason(error)})") from None
                advice = advice or " Try again later."
                count = f"failed {failures} times in a row, last" if failures > 1 else "failed"
                raise Unavailable(f"{show(url)} {count}: {_reason(error)}.{kept}{advice}") from None
            wait = getattr(error, "wait", None)
            if wait is None:
                wait = 2 ** (failures - 1) * jitter.uniform(0.5, 1)
                if unreachable:
                    LOGGER.warning(
                        "%s cannot be reached; no network? (attempt %d of %d)",
                        *(_host(url), failures + 1, attempts),
                    )
            elif wait >= NOTABLE_WAIT:
                requested, wait = f"{wait:,.0f}", min(wait, LONGEST_WAIT)
                LOGGER.warning(
                    "%s takes no request for %s s; the next one is in %.0f s (attempt %d of %d). "
                    "Ctrl-C keeps the bytes received.",
                    *(show(url), requested, wait, failures + 1, attempts),
                )
        # Wait.
        for second in range(math.ceil(wait)):
            report()
            sleep(min(wait - second, 1))


def _reason(error: Exception) -> str:
    """Format an error of the connection without urllib3's description of the pool."""
    cause = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)
    text = " ".join(str(getattr(cause, "original_error", cause)).split())  # a proxy's
    return re.sub(r"^HTTPS?Connection(Pool)?\(host=[^)]*\): ", "", text).rstrip(".")


def show(url: str) -> str:
    """Format an address for messages, without passwords and signatures."""
    return f"{urlsplit(url).scheme}://{_host(url)}{urlsplit(url).path}"


def _drop_redirect_body(response: requests.Response, **_: Any) -> None:
    """Close a redirect without its body, which requests would read whole."""
    if response.is_redirect:
        response.raw.close()
        response._content, response._content_consumed = b"", True


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _retry_after(response: requests.Response) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:12])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
