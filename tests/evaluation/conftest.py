"""What tests of evaluations share: fakes that cost nothing, a folder of small videos, a browser."""

import pytest
from small_videos import write_videos


@pytest.fixture(scope="session")
def pets(tmp_path_factory):
    """Ten videos of two labels, and one that is broken."""
    folder = write_videos(tmp_path_factory.mktemp("data") / "pets", 10)
    (folder / "violin" / "bad.mp4").write_bytes(b"nonsense")
    return folder
