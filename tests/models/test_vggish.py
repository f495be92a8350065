import published
import pytest
import torch
import torch.nn.functional as F

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.state_dict import build
from clipsonic_cli.models.vggish import VGGish, vggish_pca


@pytest.fixture(scope="module")
def weights():
    return published.vggish()


@pytest.fixture(scope="module")
def network(weights):
    return build(VGGish, weights, "VGGish")


def windows(batch=2):
    return published.wave("windows", 3, 1, 96, 64, scale=4.0)[:batch]


def test_it_has_the_published_number_of_weights(network, weights):
    assert sum(p.numel() for p in network.parameters()) == 72_141_184
    assert {name.split(".")[1] for name in weights if name.startswith("features")} == {
        "0", "3", "6", "8", "11", "13"
    }  # fmt: skip


def test_it_gives_what_torchvggish_gives(network):
    """Its VGG with these weights and without its last layer, the rectification."""
    expected = [
        [4.70280, -1.68518, 0.53002, -0.94369, -0.55542, -3.43414],
        [3.99750, -1.30277, 0.36067, -2.18002, 0.01059, -2.29671],
    ]
    seen = network(windows(3))[[0, 2], :6]
    torch.testing.assert_close(seen, torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_it_is_its_definition_with_channels_last(network, weights):
    h = windows(1)
    for level in ((0,), (3,), (6, 8), (11, 13)):
        for i in level:
            h = F.conv2d(h, weights[f"features.{i}.weight"], weights[f"features.{i}.bias"], 1, 1)
            h = h.relu()
        h = F.max_pool2d(h, 2)
    assert h.shape == (1, 512, 6, 4)
    rows = h[0].flatten(1).T.reshape(1, -1)  # each place's 512 channels, one place after the other
    for i in (0, 2, 4):
        rows = rows @ weights[f"embeddings.{i}.weight"].T + weights[f"embeddings.{i}.bias"]
        rows = rows.relu() if i < 4 else rows
    torch.testing.assert_close(network(windows(1)), rows, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(2, 96, 64), (2, 1, 64, 96), (2, 2, 96, 64)])
def test_windows_of_another_shape_are_rejected(network, shape):
    with pytest.raises(ValueError, match=r"need windows \(B, 1, 96, 64\)"):
        network(torch.zeros(shape))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"embeddings.4.bias": None}, "missing embeddings.4.bias"),
        ({"pproc.pca_means": torch.zeros(128)}, "unexpected pproc.pca_means"),
        ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, r"features.0.weight is \(64, 3, 3, 3\)"),
    ],
)
def test_other_weights_are_rejected(weights, change, fault):
    state = {k: w for k, w in {**weights, **change}.items() if w is not None}
    with pytest.raises(BadBundle, match=f"'VGGish' do not fit.*{fault}"):
        build(VGGish, state, "VGGish")


def test_principal_components_are_read_from_arrays_in_both_shapes():
    params = published.vggish_pca()
    components, means = vggish_pca(params)
    again = vggish_pca({k: torch.tensor(v) for k, v in params.items()} | {
        "pca_means": params["pca_means"][:, None]
    })  # fmt: skip
    assert (components.shape, means.shape) == ((128, 128), (128,))
    assert torch.equal(components, again[0])
    assert torch.equal(means, again[1])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"pca_means": None}, "missing pca_means"),
        ({"pca_means": [0.0] * 64}, r"pca_means is \(64,\) where \(128,\)"),
        ({"embeddings.0.bias": [0.0]}, "unexpected embeddings"),
        ({"pca_means": "none"}, "no numbers"),
    ],
)
def test_other_principal_components_are_rejected(change, fault):
    params = {k: v for k, v in (published.vggish_pca() | change).items() if v is not None}
    with pytest.raises(BadBundle, match=fault):
        vggish_pca(params)
