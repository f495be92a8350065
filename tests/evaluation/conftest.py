"""What tests of evaluations share: ears that cost nothing, and a folder of small videos."""

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
