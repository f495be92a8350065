"""The command as a person types it, on tiny videos and the networks of the micro model."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import soundfile
import typer
from small_videos import write_videos

from clipsonic_cli.cli import app, run
from clipsonic_cli.cli.train.command import CHANGEABLE
from clipsonic_cli.preparation import prepare

LOOP = ["--batch-size", 1, "--save-every", 2, "--precision", "float32", "--workers", 0, "--seed", 3]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = write_videos(tmp_path_factory.mktemp("data") / "pets", 12)
    (folder / "bad.mp4").write_bytes(b"nonsense")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def call(home, tmp_path, monkeypatch, capfd):
    """Run a command in an empty folder and return exit code, stdout and stderr lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPSONIC_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        code = run([*map(str, arguments)])
        printed = capfd.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return call


@pytest.fixture
def begin(call, videos, micro):
    def begin(*arguments, base=micro):
        tiny = ["--base", base, "--warm-start", base, "--sample-every", 0]
        return call("train", "--data", videos, *tiny, *LOOP, *arguments)

    return begin


def test_videos_become_a_model_that_makes_a_sound(begin, call, home):
    code, out, err = begin("--steps", 2, "--name", "whole")
    model = home / "models" / "whole"
    assert (code, out) == (0, [str(model)])
    result = "\n".join(err)
    assert "13 found, 12 kept" in result
    assert "bad.mp4: unreadable" in result
    assert "size of its own (the warm start's)" in result
    assert "\x1b" not in result
    assert "## unet" in (model / "MODEL_CARD.md").read_text()
    line = next(line for line in err if line.startswith("to hear it: "))
    code, (path,), _ = call(*shlex.split(line)[4:], "--steps", 2, "--seconds", 0.3)
    assert (code, soundfile.info(path).frames) == (0, 4800)


def test_json_is_all_that_stdout_says(begin):
    code, (line,), _ = begin("--steps", 1, "--name", "result", "--json")
    result = json.loads(line)
    assert (code, result["model"], result["part"], result["steps"]) == (0, "result", "unet", 1)
    assert Path(result["path"]).is_dir()
    assert result["losses"].keys() >= {"unet"}
    assert result["command"].startswith("clipsonic generate --model result ")


def test_quiet_says_nothing_but_the_result(begin):
    code, out, err = begin("--steps", 1, "--name", "quiet", "--quiet")
    assert (code, len(out), err) == (0, 1, [])


def test_a_second_time_is_rejected_and_resume_goes_on(begin, call):
    begin("--steps", 1, "--name", "again")
    code, out, err = begin("--steps", 1, "--name", "again")
    assert (code, out) == (2, [])
    assert "clipsonic train --resume runs/again" in err[-1]
    code, _, err = call("train", "--resume", "runs/again", "--steps", 3, "--sample-every", 0)
    assert code == 0
    assert any("unet after 3 steps" in line for line in err)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(begin, home):
    def files():
        return {path for folder in (home, Path()) for path in folder.rglob("*")}

    before = files()
    code, out, err = begin("--dry-run", "--name", "planned", "--minutes", 35)
    facts = dict(line.split("\t") for line in out)
    assert (code, err[-1]) == (0, "nothing was trained, and nothing is kept")
    assert facts["clips"].startswith("13 listed; ")
    assert facts["length"].endswith(" steps or 35 minutes, whichever is first")
    assert facts["run"] == "runs/planned"
    assert facts["missing"] == "nothing"
    code, (line,), _ = begin("--dry-run", "--name", "planned", "--json", "--steps", 7)
    result = json.loads(line)
    assert (code, result["data"]["clips"], result["config"]["train"]["steps"]) == (0, 13, 7)
    assert result["train_seconds"] == pytest.approx(7 * result["pace"])
    assert files() == before


def test_a_dry_run_names_what_is_missing_and_fails_as_the_run_would(begin):
    code, out, err = begin("--dry-run", "--name", "planned", base="published")
    assert code == 3
    assert "see 'missing' above" in err[-1]
    facts = dict(line.split("\t") for line in out)
    assert "The paper's preset, and --base published, need CLIP" in facts["missing"]
    assert facts["time"].endswith("training is not timed")


def test_the_built_in_model_is_the_base_without_a_gpu(call, videos):
    code, _, err = call("train", "--data", videos, "--size", "huge", "--base", "mini")
    assert (code, err) == (
        2,
        ["clipsonic: Unknown size 'huge'. Known: large, base, mini."],
    )


BAD = [
    ([], 2, "Give either --data FOLDER"),
    (["-d", "{videos}", "--resume", "runs/x"], 2, "Give either --data FOLDER"),
    (["-d", "nowhere"], 2, "There is no data at 'nowhere'"),
    (["-d", "{videos}", "--stage", "vocodr"], 2, "Did you mean 'vocoder'"),
    (["-d", "{videos}", "--condition", "clap"], 2, "Unknown condition 'clap'"),
    (["-d", "{videos}", "--stage", "prior", "--condition", "clip-text"], 2, "not on clip-text"),
    (["-d", "{videos}", "--preset", "papr"], 2, "Did you mean 'paper'"),
    (["-d", "{videos}", "--data-format", "flder"], 2, "Did you mean 'folder'"),
    (["-d", "{videos}", "--drop", "silent"], 2, "Known: clipped, still"),
    (["-d", "{videos}", "--precision", "float16"], 2, "Known: float32, bfloat16"),
    (["-d", "{videos}", "--device", "tpu"], 2, "Unknown device 'tpu'"),
    (["-d", "{videos}", "--tracker", "tensorbord"], 2, "Did you mean 'tensorboard'"),
    (["-d", "{videos}", "--name", "mini"], 2, "built in"),
    (["-d", "{videos}", "--name", "a/b"], 2, "cannot be a model's name"),
    (["-d", "{videos}", "--prompt", " "], 2, "prompt is empty"),
    (["-d", "{videos}", "--prompt", "cat.png"], 2, "There is no image cat.png"),
    (["-d", "{videos}", "--base", "published"], 3, "clipsonic download --for train"),
    (["-d", "{videos}", "--condition", "clap-text"], 3, "clipsonic download clap"),
    (["-d", "{videos}", "--preset", "paper"], 3, "clipsonic download --for train"),
    (["-d", "{videos}", "--warm-start", "improved-diffusion"], 3, "clipsonic download improved"),
    (["-d", "{videos}", "--warm-start", "bigvgan-44k"], 2, "not a warm start for the stage 'unet'"),
    (["-d", "{videos}", "--zero-snr", "--stage", "vocoder"], 2, "--zero-snr has no meaning"),
    (["-d", "{videos}", "--critics-from", "9"], 2, "'unet', but for: vocoder"),
    (["-d", "{videos}", "--vocoder", "vocos"], 2, "--vocoder has no meaning"),
    (["-d", "{videos}", "--stage", "vocoder", "--vocoder", "voco"], 2, "Did you mean 'vocos'"),
    (["-d", "{videos}", "--stage", "statistics", "--lr", "1"], 2, "--lr has no meaning"),
    (["--resume", "{videos}"], 2, "holds no run"),
    (["--resume", "runs/x", "--dry-run"], 2, "--dry-run is for a run that is to begin"),
    (["--resume", "runs/x", "--size", "mini"], 2, "--size was decided when the run began"),
    (["--resume", "runs/x", "--seed", "0"], 2, "--seed was decided when the run began"),
]


@pytest.mark.parametrize(("arguments", "code", "reason"), BAD)
def test_what_is_wrong_is_one_line_before_any_work(call, videos, arguments, code, reason):
    result, out, err = call("train", *(part.format(videos=videos) for part in arguments))
    assert (result, out, len(err)) == (code, [], 1)
    assert reason in err[0]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((name, "0") for name in ("steps", "batch-size", "micro-batch", "save-every", "lr")),
        *((name, "-1") for name in ("minutes", "workers", "seed", "sample-every")),
        ("cond-cosine", "0"),
        ("validate-every", "0"),
        ("frame-rate", "nan"),
        ("minutes", "inf"),
        ("window", "100"),
        ("mean-of", "0"),
        ("min-snr", "0"),
        ("steps", "many"),
        ("lr", "fast"),
        *((name, "1" + "0" * 400) for name in ("steps", "batch-size", "seed", "workers")),
        *((name, "1e400") for name in ("lr", "minutes", "frame-rate", "cond-cosine", "min-snr")),
        ("lr", "1e9"),
        ("steps", "2.5"),
        ("window", "1000000"),
    ],
)
def test_numbers_that_make_no_sense_are_named(call, videos, option, value):
    code, out, err = call("train", "-d", videos, f"--{option}={value}")
    assert (code, out, len(err)) == (2, [], 1)
    assert f"--{option}" in err[0]


def test_help_and_wrong_names_load_nothing_heavy():
    for arguments in (["train", "--help"], ["train", "-d", "x", "--stage", "y"]):
        program = f"import sys; from clipsonic_cli.cli import run; run({arguments!r}); " + (
            "print('LOADED', *{name.split('.')[0] for name in sys.modules})"
        )
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        loaded = set(done.stdout.splitlines()[-1].split())
        assert not loaded & {"torch", "numpy", "av", "accelerate", "PIL", "safetensors"}
        assert "typer" in loaded


def test_a_tracker_without_its_package_is_rejected(call, videos, monkeypatch):
    import clipsonic_cli.trainer.tracking as metrics

    monkeypatch.setattr(metrics, "find_spec", lambda _name: None)
    code, _, err = call("train", "-d", videos, "--tracker", "wandb")
    assert code == 2
    assert 'python -m pip install "wandb>=' in err[0]


def test_what_may_change_next_to_resume_are_options():
    names = {option.name for option in typer.main.get_command(app).commands["train"].params}
    assert set(CHANGEABLE) <= names
    assert not {"data", "size", "seed", "name"} & set(CHANGEABLE)


@pytest.fixture
def start(home, tmp_path, videos, micro):
    """Start the command as a process of its own, after ``before`` if given."""
    begun = []

    def start(*arguments, before=()):
        tiny = ["--base", micro, "--warm-start", micro, "--sample-every", 0, "--device", "cpu"]
        command = ["train", "--data", videos, *tiny, *LOOP, *arguments]
        begun.append(
            subprocess.Popen(
                [*before, sys.executable, "-m", "clipsonic_cli", *map(str, command)],
                cwd=tmp_path,
                env={**os.environ, "CLIPSONIC_HOME": str(home)},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def wait_for(found):
    """Wait for something to be there; a hang alone takes ten minutes."""
    deadline = time.monotonic() + 600
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_signal_during_training_saves_and_says_how_to_go_on(start, call, tmp_path):
    """Ctrl-C does not, as it is ignored: so a shell starts what it starts in the background."""
    background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    loop = ["--steps", 100_000, "--minutes", 60, "--save-every", 1]
    process = start(*loop, "--name", "stopped", before=background)

    def saved():
        assert process.poll() is None
        return max((path.name for path in tmp_path.glob("runs/stopped/state-*.pt")), default="")

    wait_for(saved)
    process.send_signal(signal.SIGINT)
    later = f"state-{int(saved()[6:-3]) + 3:08d}.pt"  # the step that the signal met ends before
    wait_for(lambda: saved() >= later)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    *_, how, last = err.splitlines()
    how, left = how.split(" --minutes ")
    assert how == "to go on: clipsonic train --resume runs/stopped"
    assert 0 < float(left) <= 60
    assert last.startswith("clipsonic: Interrupted.")
    code, _, _ = call(*shlex.split(how)[4:], "--steps", 1)
    assert code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_is_lost_in_a_callback_ends_preparation_all_the_same(
    begin, number, monkeypatch
):
    decode, seen = prepare.decode, []

    def losing(clip, **rules):
        seen.append(clip)
        if len(seen) == 2:
            with suppress(KeyboardInterrupt):  # as Cython does
                signal.raise_signal(number)
        return decode(clip, **rules)

    monkeypatch.setattr(prepare, "decode", losing)
    before = signal.getsignal(number)
    code, _, err = begin("--steps", 1, "--name", "lost", "--frame-rate", 3)
    assert (code, len(seen)) == (130, 2)
    assert "to go on: the same command again" in "".join(err)
    assert signal.getsignal(number) is before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_preparation_says_how_to_go_on(start, tmp_path, number):
    more = write_videos(tmp_path / "more", 300)
    process = start("--data", more, "--name", "early", "--frame-rate", 4, "--steps", 1)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("preparing the clips of")
    wait_for(lambda: process.stderr.readline())
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "to go on: the same command again; what was prepared is kept" in err
    assert not (tmp_path / "runs" / "early" / "run.json").exists()
