"""Check the environment's connection settings, and name the variable to blame for a failure.

requests itself reads ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE`` (the certificates to trust),
``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``; Python's ssl ``SSLKEYLOGFILE``.
"""

import os
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

import requests
from requests.utils import should_bypass_proxies

from clipsonic_cli.errors import FetchFailed

CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name a file or folder of certificates; the first that is set holds."""
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's name for a certificate that is not trusted."""


def check_environment(url: str) -> None:
    """Check the variables that decide how the connection to ``url`` is encrypted.

    Raises:
        FetchFailed: A variable names certificates, or a log of keys, that cannot be used.
    """
    if urlsplit(url).scheme != "https":
        return
    if (variable := _first_set(CERTIFICATES)) is not None:
        path = os.environ[variable]
        try:
            place = {"capath" if os.path.isdir(path) else "cafile": path}  # noqa: PTH112
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**place)
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
                f"SSLKEYLOGFILE={log} cannot be written ({error.strerror}), which ends every https "
                "request. Set it to another file, or unset SSLKEYLOGFILE."
            ) from None


def is_final(error: Exception) -> bool:
    """Return whether every further attempt will fail with the same error."""
    return isinstance(error, requests.exceptions.SSLError) and UNTRUSTED in str(error)


def remedy(error: Exception, url: str) -> str:
    """Format which variable to correct after an error of the connection: " ..."; else ""."""
    if is_final(error):
        variable = _first_set(CERTIFICATES)
        trusted = f" The trusted ones are in {variable}." if variable else ""
        return (
            f"{trusted} Behind a proxy that decrypts connections, set {CERTIFICATES[0]} to a file "
            "of its certificates."
        )
    proxy = _proxy_variable(url)
    if proxy is None:
        return ""
    return f" The request goes through the proxy that {proxy} names; correct or unset it."


def _first_set(variables: Sequence[str]) -> str | None:
    return next((name for name in variables if os.environ.get(name)), None)


def _proxy_variable(url: str) -> str | None:
    """Return the variable that names the proxy for an address, if any does."""
    scheme = urlsplit(url).scheme
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    variable = _first_set(names)
    return None if variable is None or should_bypass_proxies(url, no_proxy=None) else variable
