"""What the environment says of connections, and which variable is to blame where one fails.

requests reads these variables by itself: ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE`` (the
certificates to trust), ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``; Python's
ssl reads ``SSLKEYLOGFILE``. Knows: variables. Does not know: how the web is asked (``web.py``).
"""

import os
import ssl
from urllib.parse import urlsplit

import requests
from requests.utils import should_bypass_proxies

from clipsonic_cli.errors import FetchFailed

CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name a file or folder of certificates; the first that is set holds."""
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
"""What OpenSSL says of a certificate that nobody vouches for."""


def check_environment(url: str) -> None:
    """Check the variables that decide how a connection is encrypted, before there is one.

    Args:
        url: What is to be asked.

    Raises:
        FetchFailed: A variable names certificates, or a log of keys, that cannot be used.
    """
    if urlsplit(url).scheme != "https":
        return
    variable = next((name for name in CERTIFICATES if os.environ.get(name)), None)
    if variable is not None:
        path = os.environ[variable]
        try:
            where = {"capath" if os.path.isdir(path) else "cafile": path}  # noqa: PTH112
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**where)
        except OSError as error:  # ssl's errors are of the same kind
            raise FetchFailed(
                f"{variable}={path} names no certificates ({error.strerror or error}). Set it to a "
                f"file of certificates (PEM), or unset {variable}."
            ) from None
    if log := os.environ.get("SSLKEYLOGFILE"):
        try:
            with open(log, "a"):  # noqa: PTH123 - as ssl opens it
                pass
        except OSError as error:
            raise FetchFailed(
                f"SSLKEYLOGFILE={log} cannot be written ({error.strerror}), so that nothing can be "
                "asked for by https. Set it to another file, or unset SSLKEYLOGFILE."
            ) from None


def is_final(error: Exception) -> bool:
    """Return whether an error of a connection will be the same at every attempt."""
    return isinstance(error, requests.exceptions.SSLError) and UNTRUSTED in str(error)


def remedy(error: Exception, url: str) -> str:
    """Format which variable to look at after an error of the connection: " ..."; else ""."""
    if is_final(error):
        named = next((name for name in CERTIFICATES if os.environ.get(name)), None)
        trusted = f" {named} names those that are trusted." if named else ""
        return (
            f"{trusted} Behind a proxy that opens encrypted connections, set {CERTIFICATES[0]} to "
            "a file of its certificates."
        )
    proxy = _proxy_variable(url)
    if proxy is None:
        return ""
    return f" It is asked through the proxy that {proxy} names; correct or unset it."


def _proxy_variable(url: str) -> str | None:
    """Return the variable that names the proxy an address is asked through, if any does."""
    scheme = urlsplit(url).scheme
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    named = next((name for name in names if os.environ.get(name)), None)
    return None if named is None or should_bypass_proxies(url, no_proxy=None) else named
