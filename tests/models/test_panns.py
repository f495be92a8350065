import published
import pytest
import torch

from clipsonic_cli.audio.mel import mel_filters
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.panns import SPEC, Cnn14, from_panns
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.store.foreign import read_foreign


@pytest.fixture(scope="module")
def checkpoint():
    return published.panns()


@pytest.fixture(scope="module")
def network(checkpoint):
    weights = from_panns(checkpoint, mel_filters(SPEC))
    return build(Cnn14, weights, "CNN14")


def mels(frames):
    return published.wave("mels", 1, 1, frames, 64, scale=30.0) - 40


def test_it_has_the_published_number_of_weights(network):
    assert sum(p.numel() for p in network.parameters()) == 80_753_615


def test_places_are_pooled_by_maximum_and_mean(network):
    h = network.bn0(mels(64).transpose(1, 3)).transpose(1, 3)
    for i in range(1, 7):
        h = network.get_submodule(f"conv_block{i}")(h)
    assert h.shape == (1, 2048, 2, 2)
    places = h.mean(3)[0]
    pooled = places.max(1).values + (places[:, 0] + places[:, 1]) / 2
    expected = (network.fc1.weight @ pooled + network.fc1.bias).relu()
    torch.testing.assert_close(network(mels(64))[0], expected, atol=1e-5, rtol=1e-5)


def test_a_block_is_its_definition(network):
    block, h = network.conv_block1, mels(33)
    by_hand = h
    for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
        by_hand = torch.nn.functional.conv2d(by_hand, conv.weight, padding=1)
        scale = norm.weight / (norm.running_var + 1e-5).sqrt()
        by_hand = (by_hand - norm.running_mean[:, None, None]) * scale[:, None, None]
        by_hand = (by_hand + norm.bias[:, None, None]).relu()
    squares = by_hand[:, :, :32].unflatten(2, (16, 2)).unflatten(4, (32, 2)).mean((3, 5))
    assert squares.shape == (1, 64, 16, 32)
    torch.testing.assert_close(block(h), squares, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(64, 64), (1, 2, 64, 64), (1, 1, 64, 32)])
def test_mels_of_another_shape_are_rejected(network, shape):
    with pytest.raises(ValueError, match=r"need mels \(B, 1, T, 64\)"):
        network(torch.zeros(shape))


def test_fewer_frames_than_one_place_needs_are_rejected(network):
    with pytest.raises(ValueError, match="need 32 frames or more, got 31"):
        network(mels(31))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"fc1.bias": None}, "missing fc1.bias"),
        ({"att_block.att.weight": torch.zeros(1)}, "unexpected att_block"),
        ({"fc_audioset.weight": torch.zeros(10, 2048)}, r"fc_audioset.weight is \(10, 2048\)"),
        ({"logmel_extractor.melW": torch.zeros(513, 64)}, r"melW is \(513, 64\)"),
        ({"logmel_extractor.melW": torch.ones(257, 64)}, "reads other mels"),
        ({"logmel_extractor.melW": torch.full((257, 64), torch.nan)}, "melW .* not finite"),
        ({"fc1.bias": torch.full((2048,), torch.inf)}, r"fc1\.bias .* not finite"),
    ],
)
def test_other_weights_are_rejected(checkpoint, change, fault):
    state = {k: w for k, w in {**checkpoint["model"], **change}.items() if w is not None}
    with pytest.raises(BadBundle, match=fault):
        from_panns({"model": state}, mel_filters(SPEC))


@pytest.mark.parametrize("read", [None, 3, [1], {}, {"model": 3}])
def test_what_is_no_checkpoint_is_rejected(read):
    with pytest.raises(BadBundle, match="no checkpoint of PANNs"):
        from_panns(read, mel_filters(SPEC))


def test_the_file_is_read_with_where_its_training_was(tmp_path):
    small = published.panns(widths=(2, 2), classes=3)
    torch.save(small, tmp_path / "panns.pth", _use_new_zipfile_serialization=False)
    back = read_foreign(tmp_path / "panns.pth")
    assert back["sampler"]["pointers_of_classes"] == [2, 0]
    assert torch.equal(back["model"]["fc1.bias"], small["model"]["fc1.bias"])
