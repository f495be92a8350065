"""A folder like those that people have: what is bad is named, and a model comes of the rest."""

import csv
import shlex

import pytest
import soundfile
from bad_media import DROPPED, KEPT, lock, write_zoo
from small_videos import write_videos

from clipsonic_cli.cli import run

GOOD = 6
LOOP = [
    "--steps",
    2,
    "--batch-size",
    1,
    "--precision",
    "float32",
    "--workers",
    0,
    "--device",
    "cpu",
]


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Run a command in an empty folder and home and return exit code, stdout and stderr lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        code = run([*map(str, arguments)])
        printed = capfd.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return call


def test_bad_files_are_named_and_a_model_comes_of_the_rest(call, micro, tmp_path, monkeypatch):
    data = write_videos(write_zoo(tmp_path / "zoo"), GOOD)
    lock(monkeypatch)  # this process alone, which therefore decodes
    # Windows of 16 frames, 0.512 seconds, as most of the files are a second long.
    tiny = ["--base", micro, "--warm-start", micro, "--window", 16, "--sample-every", 0]
    code, out, err = call("train", "--data", data, *tiny, *LOOP)
    model = tmp_path / "home" / "models" / "zoo"
    assert (code, out) == (0, [str(model)])
    found, kept = len(KEPT) + len(DROPPED) + GOOD, len(KEPT) + GOOD
    assert any(f"{found} found, {kept} kept" in line for line in err)
    assert "left out 1 file: not a video by its name (1: 'notes.txt')" in err

    with (tmp_path / "runs" / "zoo" / "data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    result: dict[str, str] = {}
    for row in rows:
        flaw = f"{row['flaw']}: {row['reason']}"
        result[row["clip"]] = f"{result[row['clip']]}; {flaw}" if row["clip"] in result else flaw
    dropped = {row["clip"] for row in rows if row["dropped"] == "yes"}
    assert dropped == DROPPED.keys() | {"notes.txt"}
    assert not {
        name: result[name] for name, why in DROPPED.items() if not result[name].startswith(why)
    }
    flawed = {name: why for name, why in KEPT.items() if why}
    assert {name: why for name, why in result.items() if name not in dropped} == flawed

    line = next(line for line in err if line.startswith("to hear it: "))
    words = shlex.split(line.removeprefix("to hear it: clipsonic "))
    code, (path,), _ = call(*words, "--steps", 2, "--seconds", 0.3)
    samples, rate = soundfile.read(path)
    assert (code, rate, samples.shape) == (0, 16_000, (4800,))
    assert samples.any()
