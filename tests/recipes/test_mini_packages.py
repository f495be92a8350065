import hashlib
import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import packages
import pytest


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of one wheel that is downloaded already; gives its archive."""
    (tmp_path / "debs").mkdir()
    wheel = tmp_path / "debs" / "some_sounds-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("sounds/cat.ogg", b"meow")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    row = {"package": "some-sounds", "index": "pypi", "version": "1.0", "sha256": sha256}
    tables = {"packages.csv": [row]}
    monkeypatch.setattr(packages, "rows", lambda name: tables.get(name, []))
    monkeypatch.setattr(packages, "run", None)  # nothing is to be downloaded
    return wheel


def test_a_downloaded_wheel_is_checked_and_unpacked_once(tmp_path, table):
    packages.fetch(tmp_path)
    assert (tmp_path / "pkg" / "some-sounds" / "sounds" / "cat.ogg").read_bytes() == b"meow"
    table.write_bytes(b"not looked at again")
    packages.fetch(tmp_path)


def test_an_archive_of_another_digest_is_not_opened(tmp_path, table):
    table.write_bytes(table.read_bytes() + b"x")
    with pytest.raises(SystemExit, match=r"none-any\.whl: sha256 is \w{64}, \w{64} expected"):
        packages.fetch(tmp_path)
    assert not (tmp_path / "pkg" / "some-sounds").exists()


@pytest.mark.parametrize(
    ("index", "command"),
    [
        ("debian", "apt-get download sounds=1.0"),
        ("pypi", "--no-deps .* sounds==1.0"),
        ("npm", "npm pack --silent sounds@1.0"),
    ],
)
def test_what_is_not_there_is_downloaded_at_its_version(tmp_path, monkeypatch, index, command):
    requested = []
    monkeypatch.setattr(packages, "run", lambda words, _: requested.append(" ".join(words)))
    row = {"package": "sounds", "index": index, "version": "1.0"}
    with pytest.raises(SystemExit, match=f"^sounds was not found after: .*{command}$"):
        packages._download(tmp_path, row)
    assert len(requested) == 1


def test_a_tarball_of_npm_is_found_by_its_scope_and_unpacked(tmp_path, monkeypatch):
    (tmp_path / "debs").mkdir()
    tarball = tmp_path / "debs" / "some-icons-1.0.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        entry = tarfile.TarInfo("package/cat.svg")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"<svg"))
    sha256 = hashlib.sha256(tarball.read_bytes()).hexdigest()
    row = {"package": "@some/icons", "index": "npm", "version": "1.0", "sha256": sha256}
    tables = {"packages.csv": [row]}
    monkeypatch.setattr(packages, "rows", lambda name: tables.get(name, []))
    packages.fetch(tmp_path)
    assert (tmp_path / "pkg" / "@some" / "icons" / "package" / "cat.svg").read_bytes() == b"<svg"
    assert tarball.exists()


def zipped_package(folder):
    """A Debian package with a zip file of three members; gives its path."""
    games = folder / "tree" / "usr" / "games"
    games.mkdir(parents=True)
    with zipfile.ZipFile(games / "public.zip", "w") as archive:
        for name in ("audio/cat.ogg", "audio/dog.ogg", "maps/large"):
            archive.writestr(name, name)
    (folder / "tree" / "usr" / "share").mkdir()
    (folder / "tree" / "usr" / "share" / "copyright").write_text("CC0")
    control = folder / "tree" / "DEBIAN" / "control"
    control.parent.mkdir()
    fields = ("Package: game", "Version: 1", "Architecture: all", "Maintainer: a <a@example.org>")
    control.write_text("\n".join([*fields, "Description: game", ""]))
    build = ["dpkg-deb", "--build", str(folder / "tree"), str(folder / "game.deb")]
    subprocess.run(build, check=True, capture_output=True)
    return folder / "game.deb"


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_named_members_of_a_zip_file_in_a_package_are_unpacked_alone(tmp_path):
    deb, zipped = zipped_package(tmp_path), "usr/games/public.zip"
    packages.unpack_members(deb, tmp_path / "out", {zipped: {"audio/cat.ogg"}})
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert files == {zipped, f"{zipped}/audio/cat.ogg"}
    assert (tmp_path / "out" / "usr" / "share" / "copyright").read_text() == "CC0"
    with pytest.raises(KeyError, match="audio/cow"):
        packages.unpack_members(deb, tmp_path / "again", {zipped: {"audio/cow.ogg"}})


def test_zip_members_are_read_from_the_paths_of_the_tables(monkeypatch):
    paths = ["zip:a/b.zip!c/d.ogg", "zip:a/b.zip!e.png", "plain.ogg"]
    named = [{"package": "game", "path": path} for path in paths]
    tables = {"sounds.csv": named[:1], "pictures.csv": named[1:]}
    monkeypatch.setattr(packages, "rows", lambda name: tables[name])
    assert packages.zip_members() == {"game": {"a/b.zip": {"c/d.ogg", "e.png"}}}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("rcc:gcompris/cat.webp", "unpacked/rcc/gcompris/cat.webp"),
        ("cbdt:1f408_cat.png", "unpacked/cbdt/1f408"),
        ("icon:cat.svg", "unpacked/icon/cat.svg"),
        ("cat:usr/x.cat#7", "unpacked/cat/usr/x.cat#7"),
        ("zip:usr/public.zip!audio/cat.ogg", "pkg/stamps/usr/public.zip/audio/cat.ogg"),
        ("usr/share/cat.png", "pkg/stamps/usr/share/cat.png"),
    ],
)
def test_a_row_of_the_tables_is_found_where_it_was_unpacked(path, place):
    row = {"package": "stamps", "path": path}
    assert packages.locate(Path("pkg"), Path("unpacked"), row) == Path(place)
