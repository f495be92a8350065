"""Models that people share: archives, parts, folders, and what must not come out of them."""

import shutil
import stat
import zipfile

import pytest

from clipsonic_cli.errors import BadBundle, UsageError
from clipsonic_cli.store import models, shared


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def install(source, name=None):
    return shared.install(str(source), name=name, report=lambda *_: None)


def archive(path, entries):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def parts_of(folder, prefix=""):
    return {f"{prefix}{path.name}": path.read_bytes() for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize("prefix", ["", "music/"])
def test_an_archive_becomes_a_model_of_its_name(micro, tmp_path, prefix):
    source = archive(tmp_path / "music.zip", parts_of(micro, prefix))
    model = install(source)
    assert model.name == "music"
    assert "pd" in model.modes()
    assert "music" in models.names()


def test_a_folder_and_a_part_alone_are_taken_too(micro, tmp_path):
    assert install(micro, "whole").modes() == models.ModelFolder(micro).modes()
    shutil.copyfile(micro / "unet.safetensors", tmp_path / "my own.safetensors")
    assert [
        path.name for path in install(tmp_path / "my own.safetensors", "part").path.iterdir()
    ] == ["unet.safetensors"]


def test_only_the_files_of_a_model_come_out_of_an_archive(micro, tmp_path, home):
    hostile = {
        "../../escaped.safetensors": b"x",
        "/etc/unet.safetensors": b"x",
        "run.py": b"print()",
        "a/b/unet.safetensors": b"deep",
        "..\\vocoder.safetensors": b"x",
        "LICENSE.md": b"free",
    }
    model = install(archive(tmp_path / "m.zip", parts_of(micro) | hostile))
    assert {path.name for path in model.path.iterdir()} == {*parts_of(micro), "LICENSE.md"}
    assert not list(home.rglob("*.py"))
    assert not list(tmp_path.rglob("escaped*"))


def test_a_link_in_an_archive_is_not_followed(micro, tmp_path):
    source = archive(tmp_path / "m.zip", parts_of(micro))
    with zipfile.ZipFile(source, "a") as file:
        link = zipfile.ZipInfo("README.md")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    assert not (install(source).path / "README.md").exists()


@pytest.mark.parametrize("length", [0, 10, 1000])
def test_an_archive_cut_short_leaves_no_model(micro, tmp_path, length):
    source = archive(tmp_path / "cut.zip", parts_of(micro))
    source.write_bytes(source.read_bytes()[:length])
    with pytest.raises(BadBundle, match=r"cut\.zip"):
        install(source)
    assert "cut" not in models.names()


def test_a_part_under_the_name_of_another_is_refused(micro, tmp_path):
    parts = parts_of(micro)
    parts["vocoder.safetensors"] = parts["unet.safetensors"]
    with pytest.raises(BadBundle, match="holds a unet"):
        install(archive(tmp_path / "m.zip", parts))


def test_an_archive_without_parts_is_refused(tmp_path):
    with pytest.raises(BadBundle, match="no part"):
        install(archive(tmp_path / "m.zip", {"README.md": b"hello"}))


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 65, "a b"])
def test_a_name_that_leaves_the_shelf_is_refused(micro, name):
    with pytest.raises(UsageError, match="--as"):
        shared.install(str(micro), name=name or "-", report=lambda *_: None)


def test_a_taken_name_is_refused_and_a_removed_one_is_free(micro):
    install(micro, "music")
    with pytest.raises(UsageError, match="--remove music"):
        install(micro, "music")
    assert shared.remove("music") > 0
    install(micro, "music")


def test_the_embedded_model_is_not_removed():
    with pytest.raises(UsageError, match="part of clipsonic"):
        shared.remove("mini")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("hf:owner/violins", "violins"),
        ("hf:owner/violins@v2", "violins"),
        ("https://example.org/a/music.zip?download=1", "music"),
        ("./music/unet.safetensors", "unet"),
    ],
)
def test_a_shared_model_is_called_what_its_source_is(source, name):
    assert shared.default_name(source) == name


@pytest.mark.parametrize("source", ["hf:owner", "hf:../../etc", "https://example.org/model.pt"])
def test_what_is_no_source_is_refused(source):
    with pytest.raises(UsageError):
        install(source, "x")
