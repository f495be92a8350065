"""Other people's checkpoints: damaged, hostile, old, and good."""

import pickle
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from clipsonic_cli.errors import BadBundle, MissingWeights
from clipsonic_cli.store.foreign import NUMPY, read_foreign

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(1, dtype=torch.float16)}


class Evil:
    """A pickle that makes a file where it is read."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


def assert_same(read, wanted=STATE):
    assert read.keys() == wanted.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in wanted.items())


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign") / "good.pt"
    torch.save({"state_dict": STATE, "epoch": 3}, path)
    return path


def test_the_three_formats_are_read(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors")
    torch.save(STATE, tmp_path / "a.pt")
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "a.pt", "old.pth"):
        assert_same(read_foreign(tmp_path / name))


def test_what_is_around_a_state_dict_is_given_too(good):
    assert read_foreign(good)["epoch"] == 3


@pytest.mark.parametrize("new_format", [True, False])
def test_a_malicious_pickle_is_never_executed(tmp_path, new_format):
    path, trace = tmp_path / "evil.pt", tmp_path / "trace"
    state = {"w": torch.ones(1), "x": Evil(trace)}
    torch.save(state, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(BadBundle, match="would run code") as caught:
        read_foreign(path)
    assert "\n" not in str(caught.value)
    assert "open" in str(caught.value)
    assert not trace.exists()


def test_a_bare_malicious_pickle_is_never_executed(tmp_path):
    path, trace = tmp_path / "evil.bin", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(BadBundle):
        read_foreign(path)
    assert not trace.exists()


@pytest.mark.parametrize("numpy", [b"numpy._core", b"numpy.core"])
def test_numbers_of_numpy_are_read_as_either_version_wrote_them(tmp_path, numpy):
    path = tmp_path / "a.pt"
    state = {"step": np.float64(2.5), "seen": np.arange(3), "mean": np.ones(2, np.float32)}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core", numpy))
    before = set(torch.serialization.get_safe_globals())
    back = read_foreign(path)
    assert back["step"] == 2.5
    assert all(np.array_equal(back[name], state[name]) for name in ("seen", "mean"))
    assert set(torch.serialization.get_safe_globals()) == before  # no global state is left


def test_arrays_of_anything_but_numbers_are_rejected(tmp_path):
    torch.save({"seen": np.array([{"a": 1}, None], dtype=object)}, tmp_path / "a.pt")
    with pytest.raises(BadBundle, match="which was not done"):
        read_foreign(tmp_path / "a.pt")


def test_the_allowed_names_are_numpys_and_no_others():
    allowed = {entry[0] if isinstance(entry, tuple) else entry for entry in NUMPY}
    assert {entry.__module__.split(".")[0] for entry in allowed} == {"numpy"}


def test_a_missing_file_is_missing_weights(tmp_path):
    with pytest.raises(MissingWeights):
        read_foreign(tmp_path / "none.pt")


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_or_changed_file_is_read_or_a_bad_bundle(good, tmp_path, data):
    content = bytearray(good.read_bytes())
    cut = data.draw(st.integers(0, len(content)))
    content = content[:cut]
    for _ in range(data.draw(st.integers(0, 3)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.pt"
    path.write_bytes(content)
    with suppress(BadBundle):  # any other error fails; so would a hang
        read_foreign(path)
