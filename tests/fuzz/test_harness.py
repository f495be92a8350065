"""The fuzz sees what goes wrong."""

import sys

import pytest
from harness import Runner
from mutations import mutated_text
from reader import Reader

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bounds memory as Linux does")


@pytest.mark.parametrize(
    ("reader", "fault", "seconds"),
    [
        ("faults", "KeyError: 'missing'", 20),
        ("eats", "MemoryError", 20),
        ("hangs", "TooLong", 2),
        ("ends", "the process ended: 7", 20),
        ("crashes", "the process ended: -11", 20),
    ],
)
def test_a_reader_that_goes_wrong_is_caught_its_file_kept_and_the_next_case_run(
    tmp_path, reader, fault, seconds
):
    runner = Runner("faulty_readers", tmp_path, tmp_path / "fuzz", seconds=seconds)
    bad, good = runner.run([(reader, 3), ("good", 4)], workers=1)
    assert fault in bad.fault
    assert (good.fault, good.outcome) == (None, "UsageError")
    assert (tmp_path / "fuzz" / "faults" / f"{reader}-3" / "x").read_bytes() != b"valid"


def test_what_a_reader_prints_is_no_answer(tmp_path):
    runner = Runner("faulty_readers", tmp_path, tmp_path / "fuzz")
    (case,) = runner.run([("talks", 1)], workers=1)
    assert (case.fault, case.outcome) == (None, "read")


def test_a_seed_makes_the_same_file_each_time():
    reader = Reader(name="x", file="x", text='{"a": [1, 2.5, "b"]}', read=print)
    files = [reader.damaged(seed) for seed in range(200)]
    assert files == [reader.damaged(seed) for seed in range(200)]
    assert len(set(files)) > 100


def test_text_that_is_no_json_is_damaged_as_text():
    from random import Random

    assert mutated_text("name,text\na.wav,rain\n", Random(1)) != "name,text\na.wav,rain\n"
