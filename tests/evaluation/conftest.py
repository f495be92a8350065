"""What tests of evaluations share: ears that cost nothing, a folder of small videos, a browser."""

import os
import shutil
from pathlib import Path

import pytest
from small_videos import write_videos

from clipsonic_cli.metrics import BACKBONES


@pytest.fixture
def ears(monkeypatch):
    """Puts ``ears.Ears`` in the place of the embedded network, and gives its module."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "metrics")
    monkeypatch.setitem(BACKBONES._entries, "mini", "ears:Ears")
    import ears

    return ears


@pytest.fixture(scope="session")
def pets(tmp_path_factory):
    """Ten videos of two labels, and one that is broken."""
    folder = write_videos(tmp_path_factory.mktemp("data") / "pets", 10)
    (folder / "violin" / "bad.mp4").write_bytes(b"nonsense")
    return folder


@pytest.fixture(scope="module")  # no longer: while it is there, nobody else can run an event loop
def browser():
    """Chromium or Chrome: on the path, named by ``CHROMIUM``, or playwright's own."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with driver.sync_playwright() as playwright:
        path = Path(found or playwright.chromium.executable_path)
        if not path.exists():
            pytest.skip("no Chromium: put one on the path or its file's name into CHROMIUM")
        started = playwright.chromium.launch(executable_path=path)
        yield started
        started.close()
