"""What ``--version`` and ``--debug`` say of the machine."""

from importlib import metadata
from pathlib import Path

import pytest

from clipsonic_cli import __version__
from clipsonic_cli.cli import environment, run


def test_the_version_names_python_torch_and_device(capsys):
    assert run(["--version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"clipsonic {__version__}"
    assert second.startswith("Python 3.")
    assert f"torch {metadata.version('torch')}, device: " in second


@pytest.mark.parametrize(
    ("torch", "platform", "driver", "visible", "device"),
    [
        ("2.9.0+cpu", "linux", True, None, "cpu (torch is built for it alone)"),
        ("2.9.0", "darwin", False, None, "mps (Apple silicon)"),
        ("2.9.0", "linux", False, None, "cpu (no NVIDIA driver found)"),
        ("2.9.0", "linux", True, "", "cpu (CUDA_VISIBLE_DEVICES hides every GPU)"),
        ("2.9.0", "linux", True, "0", "cuda (NVIDIA driver found)"),
        ("2.9.0", "linux", True, None, "cuda (NVIDIA driver found)"),
    ],
)
def test_the_device_is_what_signs_say(monkeypatch, torch, platform, driver, visible, device):
    monkeypatch.setattr(environment, "version", lambda _name: torch)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setattr(Path, "exists", lambda path: driver and path.name == "nvidiactl")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert environment.likely_device() == device


def test_torch_may_be_absent(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    assert environment.version("torch") is None
