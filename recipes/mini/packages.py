"""Fetches the Debian, PyPI and npm packages of a table of ``sources/`` and unpacks them; no root.

Knows archives (.deb, wheels, npm's tarballs) and the containers inside them (``containers.py``
reads those), not what is made of their files. Nothing is installed and no code from a package is
run; every archive's sha256 is checked before it is opened.
"""

import csv
import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import containers
from steps import run

SOURCES = Path(__file__).parent / "sources"


def rows(name: str, tables: Path = SOURCES) -> list[dict[str, str]]:
    """Read a table of ``sources/``, or of the copy that a data set keeps."""
    with (tables / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fetch(root: Path, table: str = "packages.csv") -> None:
    """Download, check and unpack every package of a table under ``root/debs`` and ``root/pkg``.

    Raises:
        SystemExit: A package is not what the table says, or cannot be had.
    """
    archives, unpacked = root / "debs", root / "pkg"
    archives.mkdir(parents=True, exist_ok=True)
    zipped = zip_members()
    for row in rows(table):
        target = unpacked / row["package"]
        if target.exists():
            continue
        print(f"fetch {row['package']} {row['version']}", file=sys.stderr)
        path = _archive(archives, row) or _download(archives, row)
        with path.open("rb") as file:
            seen = hashlib.file_digest(file, "sha256").hexdigest()
        if seen != row["sha256"]:
            sys.exit(f"{path.name}: sha256 is {seen}, {row['sha256']} expected; was it updated?")
        partial = target.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _unpack(path, partial, row)
        partial.rename(target)
        if row["package"] in zipped:  # what is needed of it is unpacked, and it is large
            path.unlink()


def zip_members() -> dict[str, dict[str, set[str]]]:
    """Return the members that the tables name inside zip files: package -> zip file -> members."""
    named: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in (row for table in ("sounds.csv", "pictures.csv") for row in rows(table)):
        if row["path"].startswith("zip:"):
            archive, _, member = row["path"].removeprefix("zip:").partition("!")
            named[row["package"]][archive].add(member)
    return named


def _unpack(path: Path, out: Path, row: dict[str, str]) -> None:
    """Unpack an archive; of a Debian package with named zip members, those and its copyright."""
    if members := zip_members().get(row["package"]):
        unpack_members(path, out, members)
    elif row["index"] == "debian":
        run(["dpkg-deb", "-x", str(path), str(out)])
    elif row["index"] == "npm":
        with tarfile.open(path) as tarball:
            tarball.extractall(out, filter="data")
    else:
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(out)


def unpack_members(path: Path, out: Path, members: dict[str, set[str]]) -> None:
    """Unpack members of zip files inside a Debian package, and its copyright.

    A zip file's members go into a folder of its name. The package is read as a stream; only a zip
    file is stored whole, until its members are out.

    Args:
        path: The .deb.
        out: Folder of the unpacked package.
        members: Zip file, as named in the package -> paths inside it.

    Raises:
        SystemExit: The package cannot be read.
        KeyError: A zip file lacks a member.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as tar,
    ):
        for entry in tar:
            name = entry.name.removeprefix("./")
            if name in members or name.endswith("/copyright"):
                tar.extract(entry, out, filter="data")
            if name in members:
                whole = (out / name).rename(out / f"{name}.whole")
                with zipfile.ZipFile(whole) as archive:
                    archive.extractall(out / name, sorted(members[name]))
                whole.unlink()
    if process.returncode:
        sys.exit(f"dpkg-deb cannot read {path} ({process.returncode}): delete it and run again.")


def unpack_containers(pkg: Path, out: Path) -> None:
    """Take the files that the tables name out of the containers they are kept in."""
    paths = [row["path"] for table in ("sounds.csv", "pictures.csv") for row in rows(table)]
    wanted = set(paths)
    for path, content in inside(pkg, {path.partition("/")[0] for path in paths}):
        if path in wanted or path.startswith("cbdt:"):
            target = out / path.replace(":", "/", 1)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def inside(pkg: Path, groups: set[str]) -> Iterator[tuple[str, bytes]]:
    """List the contents of the packages' containers, by the paths that the tables use.

    Args:
        pkg: The unpacked packages.
        groups: First parts of these paths; OpenClonk's other groups are not opened.
    """
    for code_point, png in containers.emoji(next(pkg.glob("fonts-noto*/**/NotoColorEmoji.ttf"))):
        yield f"cbdt:{code_point}", png
    for resource in sorted((pkg / "gcompris-qt-data").glob("**/*.rcc")):
        for path, content in containers.qt_resources(resource):
            yield f"rcc:{path}", content
    for group in sorted((pkg / "openclonk-data").glob("**/*.oc[gd]")):
        if f"c4group:{group.name}" in groups:
            for path, content in containers.c4_group(group):
                yield f"c4group:{path}", content
    catalogue = next(pkg.glob("openttd-opensfx/**/opensfx.cat"))
    for number, wave in containers.cat_sounds(catalogue):
        yield f"cat:{catalogue.relative_to(pkg / 'openttd-opensfx')}#{number}", wave
    for name, drawing in containers.icons(pkg / "@iconify-json/game-icons/package/icons.json"):
        yield f"icon:{name}.svg", drawing.encode()


def locate(pkg: Path, unpacked: Path, row: dict[str, str]) -> Path:
    """Return the unpacked file of a row of the tables."""
    kind, _, path = row["path"].rpartition(":")
    if kind == "drawing":
        return SOURCES / "drawings" / path
    if kind == "zip":
        return pkg / row["package"] / path.replace("!", "/")
    if kind == "cbdt":
        path = path[:5]
    return unpacked / kind / path if kind else pkg / row["package"] / path


def _archive(archives: Path, row: dict[str, str]) -> Path | None:
    """Find a package's archive among the downloaded ones."""
    stem = row["package"].removeprefix("@").replace("/", "-")
    if row["index"] == "pypi":
        stem = stem.replace("-", "_")
    return next(iter(sorted(archives.glob(f"{stem}[_-]*"))), None)


def _download(archives: Path, row: dict[str, str]) -> Path:
    """Download a package by name and version into ``archives``."""
    if row["index"] == "debian":
        command = ["apt-get", "download", f"{row['package']}={row['version']}"]
    elif row["index"] == "npm":
        command = ["npm", "pack", "--silent", f"{row['package']}@{row['version']}"]
    else:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        # The very wheels of the table, whatever machine this is.
        pip += ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"]
        pip += ["--platform", "manylinux_2_28_x86_64", "--platform", "any"]
        command = [*pip, f"{row['package']}=={row['version']}"]
    run(command, archives)
    path = _archive(archives, row)
    if path is None:
        sys.exit(f"{row['package']} was not found after: {' '.join(command)}")
    return path
