from pathlib import Path

import pytest

from clipsonic_cli.store import home


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
