"""Eight bits lose what they are said to lose, and nothing else is touched."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli.config import MelSpec
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.store.bundle import Bundle, Header, load, write
from clipsonic_cli.store.eight_bit import SCALES, packed, unpacked


@given(st.integers(0, 2**31), st.sampled_from([(3, 5), (1, 1), (4, 2, 3)]), st.floats(-30, 30))
def test_no_number_is_off_by_more_than_half_a_step_of_its_row(seed, shape, magnitude):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2**magnitude
    stored = packed({"a": matrix, "b": matrix}, ["a"])
    assert stored["a"].dtype == torch.int8
    assert stored["b"] is matrix
    read = unpacked(stored)
    step = matrix.flatten(1).abs().amax(1) / 127
    off = (read["a"] - matrix).flatten(1).abs().amax(1)
    assert (off <= 0.501 * step).all()
    assert list(read) == ["a", "b"]


def test_a_row_of_zeros_stays_one():
    matrix = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    assert unpacked(packed({"a": matrix}, ["a"]))["a"][0].tolist() == [0, 0]


def test_what_is_stored_in_eight_bits_is_read_as_numbers(tmp_path):
    matrix = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "listener.safetensors"
    header = Header(kind="listener", config={}, mel=MelSpec(), encoder="e")
    write(path, Bundle(header=header, weights=packed({"a": matrix}, ["a"])))
    read = load(path, kind="listener").weights
    assert read["a"].dtype == torch.float32
    torch.testing.assert_close(read["a"], matrix, rtol=0, atol=float(matrix.abs().max()) / 250)
    assert torch.equal(load(path, kind="listener", only="a").weights["a"], read["a"])


def test_a_file_of_scales_that_fit_nothing_is_damaged(tmp_path):
    path = tmp_path / "listener.safetensors"
    header = Header(kind="listener", config={}, mel=MelSpec(), encoder="e")
    write(path, Bundle(header=header, weights={f"a{SCALES}": torch.ones(2)}))
    with pytest.raises(BadBundle, match=r"listener\.safetensors is damaged \(a\.scales are no"):
        load(path, kind="listener")


@pytest.mark.parametrize(
    "weights",
    [
        {f"a{SCALES}": torch.ones(2)},
        {"a": torch.ones(2, 2), f"a{SCALES}": torch.ones(2)},
        {"a": torch.ones(2, 2).to(torch.int8), f"a{SCALES}": torch.ones(3)},
        {"a": torch.ones(2, 2).to(torch.int8), f"a{SCALES}": torch.ones(2, 1)},
    ],
)
def test_scales_that_fit_no_matrix_are_rejected(weights):
    with pytest.raises(ValueError, match=r"a\.scales are no scales"):
        unpacked(weights)
