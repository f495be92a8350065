import errno
import os
import pwd
from pathlib import Path

import pytest

from clipsonic_cli.errors import MissingWeights, UsageError
from clipsonic_cli.store import assets, home, model_folders
from clipsonic_cli.store.manifest import ASSETS


def test_clipsonic_home_holds_everything(monkeypatch, tmp_path):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))
    assert (home.data_home(), home.cache_home()) == (tmp_path, tmp_path / "cache")


def test_clipsonic_home_may_be_relative_or_start_at_the_persons_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPSONIC_HOME", "sounds")
    assert home.data_home() == tmp_path / "sounds"
    monkeypatch.setenv("CLIPSONIC_HOME", "~/sounds")
    assert home.cache_home() == Path.home() / "sounds" / "cache"


@pytest.mark.parametrize("unset", [None, ""])
def test_without_it_the_operating_system_is_asked(monkeypatch, tmp_path, unset):
    monkeypatch.delenv("CLIPSONIC_HOME", raising=False)
    if unset is not None:
        monkeypatch.setenv("CLIPSONIC_HOME", unset)
    monkeypatch.setattr(home, "user_data_path", lambda *_, **__: tmp_path / "data")
    monkeypatch.setattr(home, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    assert (home.data_home(), home.cache_home()) == (tmp_path / "data", tmp_path / "cache")


@pytest.fixture
def homeless(monkeypatch):
    """An account that is in no list of accounts, as in a container, without HOME."""
    for name in [name for name in os.environ if name.startswith(("XDG_", "CLIPSONIC_HOME"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", dict[int, object]().__getitem__)


def test_without_a_home_the_variable_that_replaces_it_is_named(homeless):
    for find in (home.data_home, home.cache_home):
        with pytest.raises(home.NoHome, match=r"HOME is not set.*Set CLIPSONIC_HOME"):
            find()
    assert home.find_folder("models") is None
    assert "Set CLIPSONIC_HOME" in home.why_unreadable()


def test_a_tilde_without_a_home_is_a_name_like_any_other(homeless, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPSONIC_HOME", "~/sounds")
    assert home.data_home() == tmp_path / "~" / "sounds"
    with pytest.raises(UsageError, match="There is no model '~nobody/x'"):
        model_folders.find("~nobody/x")


def test_a_home_that_cannot_be_read_is_reported_where_something_is_missed(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path / "file"))
    assert model_folders.names() == ["mini"]
    assert assets.state(next(iter(ASSETS.values()))) == "absent"

    def refuse(folder):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match=r"There is no model 'music'.*Permission denied.*HOME"):
        model_folders.find("music")
    with pytest.raises(MissingWeights, match=r"Permission denied.*CLIPSONIC_HOME"):
        assets.file_of(next(iter(ASSETS.values())))
