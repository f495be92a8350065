import pytest
import torch

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.state_dict import NAMED, build, listed, load, misfits, outline, unusable

WANTED = {"a": torch.zeros(2), "b": torch.zeros(3, 1)}


def test_what_fits_has_no_faults():
    assert misfits({"b": torch.ones(3, 1), "a": torch.ones(2).half()}, WANTED) == []


def test_every_kind_of_fault_is_named():
    faults = misfits({"b": torch.zeros(3), "c": torch.zeros(1)}, WANTED)
    assert faults == ["missing a", "unexpected c", "b is (3,) where (3, 1) is needed"]
    assert misfits({"a": 5, "b": torch.zeros(3, 1)}, WANTED) == ["a is no dense tensor"]


@pytest.mark.parametrize("read", [None, 3, [1], "abc", torch.ones(2)])
def test_what_is_no_state_dict_at_all_is_said_to_be_none(read):
    assert "no state dict" in misfits(read, WANTED)[0]
    assert "no state dict" in unusable(read)[0]


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (torch.ones(2).to_sparse(), "no dense tensor"),
        (torch.ones(2, device="meta"), "no dense tensor"),
        (torch.ones(2, dtype=torch.int8), "torch.int8 where torch.float32"),
        (torch.ones(2, dtype=torch.bool), "torch.bool where torch.float32"),
        (torch.ones(2, dtype=torch.complex64), "torch.complex64 where torch.float32"),
    ],
)
def test_other_numbers_than_a_network_has_are_a_fault(tensor, fault):
    assert fault in misfits({"a": tensor, "b": torch.zeros(3, 1)}, WANTED)[0]


def test_a_state_dict_is_names_and_dense_tensors():
    assert unusable(WANTED) == []
    assert unusable({1: torch.ones(1), "a": 5, "b": torch.ones(1).to_sparse()}) == [
        "1 is no dense tensor",
        "a is no dense tensor",
        "b is no dense tensor",
    ]


def test_faults_are_one_line_that_does_not_grow_without_end():
    assert listed(["missing a"]) == "1 fault: missing a"
    assert listed(["missing a", "missing b"]) == "2 faults: missing a; missing b"
    many = listed([f"missing {i}" for i in range(500)])
    assert many.startswith("500 faults: missing 0; ")
    assert many.endswith(f"missing {NAMED - 1}; and {500 - NAMED} more")


def test_a_fitted_network_is_ready_to_be_used_and_not_to_be_trained():
    def make():
        return torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout())

    weights = {"0.weight": torch.tensor([[1.0, 2.0]]).half(), "0.bias": torch.tensor([3.0])}
    network = build(make, weights, "small")
    assert network(torch.ones(1, 2)).tolist() == [[6.0]]
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert not network.training
    with pytest.raises(BadBundle, match=r"'small' do not fit its network \(2 faults.*0\.weight"):
        build(make, {}, "small")


def test_a_buffer_that_no_file_holds_is_computed():
    class Scaled(torch.nn.Linear):
        def __init__(self):
            super().__init__(1, 1)
            self.register_buffer("scale", torch.tensor(3.0), persistent=False)

        def forward(self, x):
            return self.scale * super().forward(x)

    weights = {"weight": torch.tensor([[2.0]]), "bias": torch.tensor([1.0])}
    assert build(Scaled, weights, "scaled")(torch.ones(1, 1)).item() == 9.0


def test_loading_changes_nothing_unless_everything_fits():
    network = torch.nn.Linear(2, 1)
    before = network.weight.clone()
    with pytest.raises(BadBundle, match=r"^The weights of 'x' .*missing bias\)\. Do that\.$"):
        load(network, {"weight": torch.ones(1, 2)}, "x", advice="Do that.")
    assert torch.equal(network.weight, before)
    load(network, {"weight": torch.ones(1, 2).half(), "bias": torch.ones(1)}, "x")
    assert network.weight.dtype == torch.float32
    assert network(torch.ones(1, 2)).item() == 3.0


def test_an_outline_takes_no_memory():
    network = outline(lambda: torch.nn.Linear(1 << 20, 1 << 20), "unet")  # 4 TB
    assert network.weight.is_meta


@pytest.mark.parametrize("error", [ValueError, KeyError, ZeroDivisionError, RuntimeError])
def test_a_configuration_of_no_network_is_a_bad_bundle(error):
    def make():
        raise error("no such sizes\nand more")

    with pytest.raises(BadBundle, match=r"^'unet' describes a network .* be built: [^\n]+$"):
        outline(make, "unet")
