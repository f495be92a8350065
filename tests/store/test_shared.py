"""Models that people share: archives, parts, folders, and what must not come out of them."""

import hashlib
import shutil
import stat
import zipfile

import pytest

from clipsonic_cli.errors import BadBundle, FetchFailed, UsageError
from clipsonic_cli.store import model_folders, shared
from clipsonic_cli.store.fetch import Fetched


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


def packed(path, names, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, content)
    return path


def install_twice(served, monkeypatch):
    """Install one address that serves something wrong first, and then something right."""

    def download(urls, target, *, report):
        if not target.exists():
            target.write_bytes(served.pop(0))
        return Fetched(path=target, bytes=0, sha256="")

    monkeypatch.setattr(shared, "fetch", download)
    with pytest.raises(BadBundle):
        install("https://example.org/m.zip")
    assert install("https://example.org/m.zip").name == "m"


def parts_of(folder, prefix=""):
    return {f"{prefix}{path.name}": path.read_bytes() for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize("prefix", ["", "music/"])
def test_an_archive_becomes_a_model_of_its_name(micro, tmp_path, prefix):
    source = archive(tmp_path / "music.zip", parts_of(micro, prefix))
    model = install(source)
    assert model.name == "music"
    assert "pd" in model.modes()
    assert "music" in model_folders.names()


def test_a_folder_and_a_part_alone_are_taken_too(micro, tmp_path):
    assert install(micro, "whole").modes() == model_folders.ModelFolder(micro).modes()
    shutil.copyfile(micro / "unet.safetensors", tmp_path / "my own.safetensors")
    model = install(tmp_path / "my own.safetensors", "part")
    assert {path.name for path in model.path.iterdir()} == {"unet.safetensors", "receipt.json"}


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
    names = {path.name for path in model.path.iterdir()}
    assert names == {*parts_of(micro), "LICENSE.md", "receipt.json"}
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
    assert "cut" not in model_folders.names()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_one_line_and_nothing_is_left(micro, tmp_path, home, method):
    source = tmp_path / "m.zip"
    with zipfile.ZipFile(source, "w", method) as file:
        file.writestr("vocoder.safetensors", parts_of(micro)["vocoder.safetensors"][:50_000])
        first = file.infolist()[0]
    content = bytearray(source.read_bytes())
    begin = len(first.filename) + 30
    for place in range(begin + 5, begin + first.compress_size, 97):
        content[place] ^= 0xFF
    source.write_bytes(content)
    with pytest.raises(BadBundle, match=r"'m\.zip' is no zip archive, or damaged"):
        install(source)
    assert not [path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_damaged_download_is_thrown_away_so_that_the_next_recovers(micro, tmp_path, monkeypatch):
    good = packed_parts(tmp_path / "good.zip", micro)
    damaged = bytearray(good)
    for place in range(60, len(damaged) // 2, 97):
        damaged[place] ^= 0xFF
    served = [bytes(damaged), good]
    install_twice(served, monkeypatch)


def test_a_member_that_wants_gigabytes_to_be_unpacked_is_rejected(micro, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("vocoder.safetensors", parts_of(micro)["vocoder.safetensors"])
    content = bytearray((tmp_path / "m.zip").read_bytes())
    place = 30 + len("vocoder.safetensors") + 5
    content[place : place + 4] = (0xFFFFFFFF).to_bytes(4, "little")
    (tmp_path / "m.zip").write_bytes(content)
    with pytest.raises(BadBundle, match="needs 4,294,967,295 bytes"):
        install(tmp_path / "m.zip")


def test_a_place_before_an_archives_beginning_is_no_fault_of_the_disk(micro, tmp_path):
    damaged = bytearray(packed_parts(tmp_path / "m.zip", micro))
    end = damaged.rindex(b"PK\x05\x06")
    damaged[end + 16 : end + 20] = (1 << 31).to_bytes(4, "little")
    (tmp_path / "m.zip").write_bytes(damaged)
    with pytest.raises(BadBundle, match="damaged"):
        install(tmp_path / "m.zip")


def packed_parts(path, micro):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("vocoder.safetensors", parts_of(micro)["vocoder.safetensors"])
    return path.read_bytes()


def test_an_archive_of_countless_entries_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "MEMBERS", 5)
    source = archive(tmp_path / "m.zip", {f"{number}.txt": b"" for number in range(6)})
    with pytest.raises(BadBundle, match="6 entries, at most 5"):
        install(source)


@pytest.mark.parametrize("source", ["http://[::1/m.zip", "https:///m.zip", "http://a:x/m.zip"])
def test_what_is_no_address_is_one_line(source):
    with pytest.raises(UsageError, match="not like https://example"):
        install(source)


def test_a_part_under_the_name_of_another_is_rejected(micro, tmp_path):
    parts = parts_of(micro)
    parts["vocoder.safetensors"] = parts["unet.safetensors"]
    with pytest.raises(BadBundle, match="holds a unet"):
        install(archive(tmp_path / "m.zip", parts))


def test_an_archive_that_would_fill_the_disk_is_not_unpacked(tmp_path, home):
    bomb = packed(tmp_path / "m.zip", ["unet.safetensors"], bytes(3_000_000))
    with pytest.raises(BadBundle, match="would unpack to 3,000,000"):
        install(bomb)
    assert not [path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_two_files_of_one_name_in_an_archive_are_rejected(micro, tmp_path):
    source = archive(tmp_path / "m.zip", parts_of(micro) | parts_of(micro, "music/"))
    with pytest.raises(BadBundle, match="more than one file"):
        install(source)


def test_a_name_no_disk_can_hold_is_no_part(micro, tmp_path):
    hostile = {f"unet-{'a' * 300}.safetensors": b"x", f"LICENSE{'E' * 300}": b"x"}
    model = install(archive(tmp_path / "m.zip", parts_of(micro) | hostile))
    assert {path.name for path in model.path.iterdir()} == {*parts_of(micro), "receipt.json"}


def test_a_wrong_archive_is_not_kept_for_the_next_call(micro, tmp_path, monkeypatch):
    served = [b"no archive", archive(tmp_path / "m.zip", parts_of(micro)).read_bytes()]
    install_twice(served, monkeypatch)


def test_what_one_source_left_is_not_taken_for_that_of_another(monkeypatch):
    targets = []

    def download(urls, target, *, report):
        targets.append(target)
        target.write_bytes(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr(shared, "fetch", download)
    for source in ("https://a.example/m.zip", "https://b.example/m.zip"):
        with pytest.raises(KeyboardInterrupt):
            install(source, "m")
    assert len(set(targets)) == 2


def test_parts_of_the_hub_that_came_before_an_interruption_are_kept(micro, tmp_path, monkeypatch):
    parts, requested = parts_of(micro), []
    listed = [
        {"rfilename": name, "lfs": {"sha256": hashlib.sha256(data).hexdigest()}}
        for name, data in sorted(parts.items())
    ]
    monkeypatch.setattr(shared, "fetch_json", lambda url: {"siblings": listed})

    def download(urls, target, *, size, sha256, report):
        if not target.exists():
            requested.append(target.name)
            if len(requested) == 2:
                raise KeyboardInterrupt
            target.write_bytes(parts[target.name])
        return Fetched(path=target, bytes=0, sha256="")

    monkeypatch.setattr(shared, "fetch", download)
    with pytest.raises(KeyboardInterrupt):
        install("hf:owner/m")
    assert install("hf:owner/m").name == "m"
    assert len(requested) == len(parts) + 1


@pytest.mark.parametrize(
    "listing",
    [
        None,
        [],
        {},
        {"siblings": 1},
        {"siblings": [1]},
        {"siblings": [{"rfilename": "unet.safetensors", "lfs": {"sha256": "x"}}]},
    ],
)
def test_a_hub_that_speaks_nonsense_ends_in_one_line(monkeypatch, listing):
    monkeypatch.setattr(shared, "fetch_json", lambda url: listing)
    with pytest.raises(FetchFailed, match="owner/m"):
        install("hf:owner/m")


def test_the_name_of_published_weights_is_rejected(micro):
    with pytest.raises(UsageError, match="another with `name`"):
        install(micro, "vggish")


def test_a_disk_that_rejects_ends_in_one_line(micro, home):
    home.mkdir()
    (home / "incoming").write_bytes(b"")
    with pytest.raises(FetchFailed, match="CLIPSONIC_HOME"):
        install(micro, "m")


def test_a_model_that_is_a_link_is_removed_and_what_it_points_to_is_kept(micro, home):
    (home / "models").mkdir(parents=True)
    (home / "models" / "linked").symlink_to(micro)
    shared.remove("linked")
    assert "linked" not in model_folders.names()
    assert parts_of(micro)


def test_an_archive_without_parts_is_rejected(tmp_path):
    with pytest.raises(BadBundle, match="no part"):
        install(archive(tmp_path / "m.zip", {"README.md": b"hello"}))


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 65, "a b"])
def test_a_name_that_leaves_the_folder_is_rejected(micro, name):
    with pytest.raises(UsageError, match="another with `name`"):
        shared.install(str(micro), name=name or "-", report=lambda *_: None)


def test_a_taken_name_is_rejected_and_a_removed_one_is_free(micro):
    install(micro, "music")
    with pytest.raises(UsageError, match="models remove music"):
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
def test_what_is_no_source_is_rejected(source):
    with pytest.raises(UsageError):
        install(source, "x")
