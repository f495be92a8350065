"""How the web is asked: by which addresses, with which credentials, and what an answer means.

Environment:
    CLIPSONIC_MIRROR: An address asked first: ``MIRROR/HOST/PATH`` for ``https://HOST/PATH``. It
        gets no token, and what it gives is verified the same.
    CLIPSONIC_OFFLINE, HF_HUB_OFFLINE: With 1, true, yes or on nothing is asked for.
    HF_TOKEN: Sent to https://huggingface.co and to no other host.
    HF_ENDPOINT: Asked instead of https://huggingface.co, without the token.
    HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE and the like: As requests reads them.

Knows: HTTP. Does not know: files (``store/fetch.py``).
"""

import json
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from clipsonic_cli.errors import FetchFailed, UsageError
from clipsonic_cli.store import connection
from clipsonic_cli.text import printable

T = TypeVar("T")

HUB = "huggingface.co"
PROGRESS = 1 << 18
"""Bytes that count as having got further; a server that trickles and stalls is given up."""
LONGEST_WAIT = 120.0
"""Seconds between two attempts at most, whatever a server asks for."""
NOTABLE_WAIT = 5.0
"""Seconds of waiting for a server from which on it is said."""
LOGGER = logging.getLogger(__name__)


MAX_JSON = 16 << 20
"""Bytes of a JSON answer; the listing of a hub repository with thousands of files has 1 MB."""


class Unavailable(Exception):
    """This address does not give what is asked for; another one may."""


class Interrupted(Exception):
    """An answer failed or ended early; the same address may go on.

    Args:
        reason: What happened.
        wait: Seconds the server asks to be left alone; None where it does not say.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Session(requests.Session):
    """Requests with the token of the hub to the hub alone, and no credentials of ``.netrc``.

    Args:
        environ: Where HF_TOKEN is looked up.

    Raises:
        UsageError: HF_TOKEN cannot be a token. It is not shown.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._token = environ.get("HF_TOKEN", "").strip()
        if self._token and not re.fullmatch("[!-~]+", self._token):
            raise UsageError("HF_TOKEN holds blanks or signs that no token has; set it again.")
        self.headers["Accept-Encoding"] = "identity"  # the bytes on disk are the file's own
        self.auth = self._authorize  # requests asks .netrc only where there is no auth
        self.hooks["response"].append(_drop_redirect_body)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, once the environment lets it be encrypted.

        Raises:
            FetchFailed: A variable of ``store/connection.py`` cannot be used.
            requests.RequestException: There is no answer.
        """
        connection.check_environment(request.url or "")
        return super().send(request, **options)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)
        where = urlsplit(request.url or "")
        if self._token and (where.scheme, where.netloc.lower()) == ("https", HUB):
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Decides about credentials anew at each redirect, and refuses to leave https."""
        here, there = response.url, prepared_request.url or ""
        if urlsplit(here).scheme == "https" and urlsplit(there).scheme != "https":
            raise Unavailable(f"{show(here)} redirects to {show(there)}, which is not https.")
        self._authorize(prepared_request)


def check_online(wanted: str, environ: Mapping[str, str]) -> None:
    """Refuses to connect where a variable forbids it.

    Args:
        wanted: What is asked for, for the message.
        environ: Where the variables are looked up.

    Raises:
        FetchFailed: One is set.
    """
    for variable in ("CLIPSONIC_OFFLINE", "HF_HUB_OFFLINE"):
        if (value := environ.get(variable, "")).lower() in ("1", "true", "yes", "on"):
            raise FetchFailed(
                f"{wanted} is not on this machine, and {variable}={value} forbids to fetch it. "
                f"Unset {variable}, or copy it there."
            )


def sources(urls: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the addresses to ask, in order: those of the mirror first.

    Raises:
        UsageError: A variable, or one of ``urls``, is no address of the web.
    """
    mirror = environ.get("CLIPSONIC_MIRROR", "").rstrip("/")
    endpoint = environ.get("HF_ENDPOINT", "").rstrip("/")
    named = [("CLIPSONIC_MIRROR", mirror), ("HF_ENDPOINT", endpoint)]
    for name, url in [pair for pair in named if pair[1]] + [("The address", url) for url in urls]:
        if not is_url(url):
            raise UsageError(
                f"{name} is '{printable(url)}', which is none like https://example.org/path."
            )
    hub = f"https://{HUB}/"
    mirrored = [f"{mirror}/{_host(url)}{urlsplit(url).path}" for url in urls] if mirror else []
    return mirrored + [
        f"{endpoint}/{url.removeprefix(hub)}" if endpoint and url.startswith(hub) else url
        for url in urls
    ]


def is_url(text: str) -> bool:
    """Return whether a text is an address of the web that can be asked."""
    if not re.fullmatch(r"https?://[^/?#\s\[\]\\]+([/?#]\S*)?", text):
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0  # a port beyond 65535 is a ValueError
    except ValueError:
        return False


def read_json(response: requests.Response, url: str) -> Any:
    """Return the JSON value of an answer.

    Raises:
        Unavailable: It is larger than :data:`MAX_JSON`, or no JSON.
    """
    body = response.raw.read(MAX_JSON + 1)
    if len(body) > MAX_JSON:
        raise Unavailable(f"{show(url)} gives over {MAX_JSON:,} bytes of JSON, which are not read.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{show(url)} is not usable (no JSON: {str(error)[:80]}).") from None


def check_status(response: requests.Response, url: str, *, resumed: bool) -> None:
    """Let pass an answer that brings what was asked for.

    Args:
        response: The answer, of which only the head is read.
        url: What was asked, before any redirect.
        resumed: Whether the rest of a file was asked for, rather than all.

    Raises:
        Interrupted: It may come when asked again.
        Unavailable: It will not; says why, and what can be done.
    """
    status, said = response.status_code, f"{response.status_code} {response.reason}"
    if status in (408, 425, 429) or status >= 500:
        raise Interrupted(said, wait=_retry_after(response))
    if status in (401, 403) and urlsplit(response.url).hostname == HUB:
        raise Unavailable(
            f"{show(url)} is not given to everybody ({said}). Accept its licence at "
            f"{show(url).partition('/resolve/')[0]}, and set HF_TOKEN to a token of that account."
        )
    if status != 200 and not (status == 206 and resumed):
        raise Unavailable(f"{show(url)} does not give the file ({said}).")
    if (coding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise Unavailable(f"{show(url)} gives the file in {coding} coding only.")


def insist(
    ask: Callable[[], T],
    url: str,
    *,
    attempts: int,
    sleep: Callable[[float], None],
    done: Callable[[], int] = lambda: 0,
) -> T:
    """Ask again, after waits that double, while a connection fails or a server is busy.

    Args:
        ask: Asks once.
        url: What it asks, for messages.
        attempts: How often in a row it may fail without getting further by :data:`PROGRESS`.
        sleep: Waits that many seconds, of which there is never more than one at a time.
        done: Says how far it is.

    Returns:
        What ``ask`` returned.

    Raises:
        Unavailable: It failed too often, or in a way that will not change.
    """
    jitter = Random(url)  # files fetched side by side do not ask again side by side
    furthest = failures = 0
    while True:
        try:
            return ask()
        except (ValueError, requests.TooManyRedirects) as error:
            # Of requests, whose errors about addresses and JSON are ValueErrors.
            text = " ".join(str(error).split()).rstrip(".")
            advice = connection.remedy(error, url)
            raise Unavailable(f"{show(url)} is not usable ({text}).{advice}") from None
        except (Interrupted, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if done() >= furthest + PROGRESS:
                furthest, failures = done(), 0
            failures += 1
            if failures >= attempts or connection.is_final(error):
                kept = f" The {done():,} bytes that came are kept." if done() else ""
                advice = connection.remedy(error, url) or " Try again later."
                often = f"failed {failures} times in a row, last" if failures > 1 else "failed"
                raise Unavailable(f"{show(url)} {often}: {_reason(error)}.{kept}{advice}") from None
            wait = getattr(error, "wait", None)
            if wait is None:
                wait = 2 ** (failures - 1) * jitter.uniform(0.5, 1)
            elif wait >= NOTABLE_WAIT:
                again, wait = f"{wait:,.0f}", min(wait, LONGEST_WAIT)
                LOGGER.warning(
                    "%s asks to be left alone for %s s; it is asked again in %.0f s (attempt %d of "
                    "%d). Ctrl-C keeps what came.",
                    *(show(url), again, wait, failures + 1, attempts),
                )
        for begun in range(math.ceil(wait)):
            sleep(min(wait - begun, 1))


def _reason(error: Exception) -> str:
    """Return an error of the connection in few words, without urllib3's description of the pool."""
    cause = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)
    text = " ".join(str(getattr(cause, "original_error", cause)).split())  # a proxy's
    return re.sub(r"^HTTPS?Connection(Pool)?\(host=[^)]*\): ", "", text).rstrip(".")


def show(url: str) -> str:
    """Return an address for messages, without passwords and signatures."""
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
