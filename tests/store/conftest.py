"""Fixtures: a server with faults, and downloads from it without waiting."""

import pytest
from store.server import Server

from clipsonic_cli.store.fetch import fetch

VARIABLES = ("CLIPSONIC_MIRROR", "CLIPSONIC_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_ENDPOINT")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "wéights of ☂" / "a file.bin"


@pytest.fixture
def waits(monkeypatch):
    """Seconds of each wait between attempts; none is waited for."""
    waits = []
    monkeypatch.setattr("clipsonic_cli.store.web.sleep", waits.append)
    return waits


@pytest.fixture
def get(target, waits):
    """Fetch to ``target`` without waiting."""

    def get(*urls, **options):
        return fetch(urls, target, **({"timeout": (60, 60)} | options))

    return get
