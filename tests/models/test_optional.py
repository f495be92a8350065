"""The commands that install optional packages."""

import importlib.metadata
import shlex
import tomllib
from pathlib import Path

import pytest

from clipsonic_cli.models.optional import install_command

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("extra", ["clap", "eval", "train", "wandb"])
def test_an_extra_is_installed_by_its_packages_wherever_clipsonic_is_from(extra):
    _, *command = shlex.split(install_command(extra))
    assert command == ["-m", "pip", "install", *EXTRAS[extra]]


def test_a_checkout_that_is_not_installed_is_named(monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert install_command("clap") == f'python -m pip install "{ROOT}[clap]"'
