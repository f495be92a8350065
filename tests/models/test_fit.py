import torch

from clipsonic_cli.models.fit import NAMED, listed, misfits

WANTED = {"a": torch.zeros(2), "b": torch.zeros(3, 1)}


def test_what_fits_has_no_faults():
    assert misfits({"b": torch.ones(3, 1), "a": torch.ones(2).half()}, WANTED) == []


def test_every_kind_of_fault_is_named():
    faults = misfits({"b": torch.zeros(3), "c": torch.zeros(1)}, WANTED)
    assert faults == ["missing a", "unexpected c", "b is (3,) where (3, 1) is needed"]
    assert misfits({"a": 5, "b": torch.zeros(3, 1)}, WANTED) == ["a is no tensor"]


def test_faults_are_one_line_that_does_not_grow_without_end():
    assert listed(["missing a"]) == "1 fault: missing a"
    assert listed(["missing a", "missing b"]) == "2 faults: missing a; missing b"
    many = listed([f"missing {i}" for i in range(500)])
    assert many.startswith("500 faults: missing 0; ")
    assert many.endswith(f"missing {NAMED - 1}; and {500 - NAMED} more")
