from contextlib import suppress

from clipsonic_cli.cli.generate.deliver import created


def test_folders_are_created_and_removed_again_if_nothing_is_written(tmp_path):
    def fail(folder, file=None):
        with suppress(ZeroDivisionError), created(folder):
            assert folder.is_dir()
            if file is not None:
                (folder / file).touch()
            _ = 1 / 0

    fail(tmp_path / "new" / "deep")
    assert not list(tmp_path.iterdir())
    (tmp_path / "there").mkdir()
    fail(tmp_path / "there" / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    fail(tmp_path / "there" / "new", "of another")
    assert (tmp_path / "there" / "new" / "of another").exists()
    with created(tmp_path / "kept"):
        pass
    assert (tmp_path / "kept").is_dir()
