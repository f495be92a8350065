"""A server that misbehaves, and fetching from it without waiting."""

import pytest
from store.server import Server

from clipsonic_cli.store.fetch import fetch


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "wéights of ☂" / "a file.bin"


@pytest.fixture
def waits():
    return []


@pytest.fixture
def get(target, waits):
    """Fetches without the machine's environment and without waiting."""

    def get(*urls, **expected):
        options = {"environ": {}, "timeout": (60, 60), "sleep": waits.append}
        return fetch(urls, target, **(options | expected))

    return get
