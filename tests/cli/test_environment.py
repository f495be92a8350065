"""Commands on machines without a home, without temporary files, and with read-only folders."""

import os
import pwd

import pytest
from small_videos import write_videos

from clipsonic_cli.cli import run

pytestmark = pytest.mark.filterwarnings("default::UserWarning")
TINY = ("--steps", 1, "--batch-size", 1, "--save-every", 1, "--sample-every", 0, "--workers", 0)


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Run a command in a container's way: no HOME, no account; return code, stdout, stderr."""
    for name in [name for name in os.environ if name.startswith(("XDG_", "CLIPSONIC_HOME"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", dict[int, object]().__getitem__)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run([*map(str, arguments)])
        printed = capfd.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return call


def test_a_sound_needs_no_home(call, micro, tmp_path):
    code, out, err = call("generate", "dog", "--model", micro, "--steps", 2, "--seconds", 0.3)
    assert (code, len(out)) == (0, 1), err
    assert not any(line.startswith("note:") for line in err)
    assert [path.name for path in tmp_path.iterdir()] == out


def test_a_training_without_a_home_keeps_all_in_its_run(call, micro, tmp_path):
    videos = write_videos(tmp_path / "music", 12)
    begun = ("--base", micro, "--warm-start", micro, "-o", "run")
    code, out, err = call("train", "--data", videos, *begun, *TINY)
    assert (code, out) == (0, ["run/model"]), err
    assert sum("CLIPSONIC_HOME" in line for line in err) == 3  # the model twice, clips
    assert any("generate --model run/model" in line for line in err)
    assert list((tmp_path / "run" / "prepared").rglob("catalogue-*"))
    code, out, err = call("train", "--resume", "run", "--steps", 2)
    assert (code, out) == (0, ["run/model"]), err


def test_a_download_needs_a_folder_and_names_the_variable(call):
    code, _, err = call("download", "vggish")
    assert (code, len(err)) == (1, 1)
    assert "Set CLIPSONIC_HOME" in err[0]
    assert call("download", "--list")[0] == 0


def test_a_run_that_cannot_be_written_is_rejected_before_clips_are_prepared(call, micro, tmp_path):
    videos = write_videos(tmp_path / "music", 2)
    (tmp_path / "file").touch()
    code, _, err = call("train", "--data", videos, "--base", micro, "-o", "file/run")
    assert (code, len(err)) == (2, 1)
    assert "Cannot write in 'file/run'" in err[0]
    assert "--output" in err[0]
