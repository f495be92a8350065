import runpy
import sys
import warnings
from pathlib import Path

import pytest
import torch
from steps import need, need_part, run

MINI = Path(__file__).parents[2] / "recipes" / "mini"


def python(code):
    return [sys.executable, "-c", code]


def test_a_file_that_is_there_is_given_by_name_or_pattern(tmp_path):
    (tmp_path / "debs").mkdir()
    (tmp_path / "debs" / "b-1.whl").touch()
    assert need(tmp_path, "debs/b-1.whl", "data.py") == tmp_path / "debs" / "b-1.whl"
    assert need(tmp_path, "debs/b*.whl", "data.py") == tmp_path / "debs" / "b-1.whl"


def test_a_missing_part_is_named_with_the_step_that_makes_it(tmp_path):
    with pytest.raises(SystemExit, match=r"model.clip\.safetensors is missing: .*mini/clip\.py"):
        need_part(tmp_path / "absent", "clip")
    with pytest.raises(SystemExit, match=r"prior-sd\.safetensors .*/train\.py prior-sd first"):
        need_part(tmp_path, "prior-sd")


def test_a_program_gives_its_output():
    assert run(python("print('made', end='')"), keep=True) == b"made"


def test_a_program_runs_in_the_folder_requested(tmp_path):
    run(python("open('here', 'w').close()"), tmp_path)
    assert (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import sys; sys.exit('first\\nlast \\xff')", r"failed \(1\): last \S+$"),
        ("raise SystemExit(3)", r"failed \(3\): no message$"),
    ],
)
def test_a_program_that_fails_is_reported_in_a_line_with_its_last(code, told):
    with pytest.raises(SystemExit, match=told) as caught:
        run(python(code))
    assert "\n" not in str(caught.value)


def test_a_program_that_is_not_there_is_reported():
    with pytest.raises(SystemExit, match=r"^no-such-program is missing: install it\.$"):
        run(["no-such-program", "-x"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["clip.py"], "efficientnet*.whl is missing: run recipes/mini/data.py first"),
        (["train.py", "student"], "features.pt is missing: run recipes/mini/clip.py first"),
        (["train.py", "unet"], "features.pt is missing: run recipes/mini/clip.py first"),
        (["train.py", "bigvgan"], "clips.jsonl is missing: run recipes/mini/data.py first"),
        (["evaluate.py"], "labels.json is missing: run recipes/mini/data.py first"),
        (["ship.py"], "clip.safetensors is missing: run recipes/mini/clip.py first"),
    ],
)
def test_a_step_out_of_turn_says_which_comes_before(tmp_path, monkeypatch, arguments, told):
    script = str(MINI / arguments[0])
    monkeypatch.setattr(sys, "argv", [script, *arguments[1:], "--out", str(tmp_path)])
    with torch.random.fork_rng(), warnings.catch_warnings(), pytest.raises(SystemExit) as caught:
        runpy.run_path(script, run_name="__main__")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
