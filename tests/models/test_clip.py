import sys
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from clipsonic_cli.errors import BadBundle, ClipsonicError
from clipsonic_cli.models import clip, optional
from clipsonic_cli.models.clip import (
    MINI,
    PAPER,
    ClipConfig,
    EfficientNetLite0,
    MiniLM,
    build_clip,
    clip_identity,
    from_open_clip,
    has_openais_text,
    mean_pool,
)
from clipsonic_cli.models.optional import import_open_clip, needs_torchvision
from clipsonic_cli.models.state_dict import build, load

SMALL = ClipConfig(architecture=MINI, dim=16, text_dim=384, max_text_len=8, vocab_size=50)
IDS = torch.tensor([[2, 7, 9, 3, 0, 0, 0, 0], [2, 8, 3, 0, 0, 0, 0, 0]])


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_clip(SMALL)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def with_norms_folded(timm_state):
    """timm's weights in the order of ours, every batch norm folded into its convolution."""
    values = iter([v for k, v in timm_state.items() if not k.endswith("num_batches_tracked")])
    folded = []
    for conv in values:
        if conv.ndim != 4:
            break  # the classifier
        gain, shift, mean, variance = (next(values) for _ in range(4))
        gain = gain / (variance + 1e-3).sqrt()
        folded += [conv * gain[:, None, None, None], shift - mean * gain]
    return folded


def test_the_image_tower_computes_what_timms_efficientnet_lite0_does():
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("tf_efficientnet_lite0", num_classes=1).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
            module.running_var.fill_(0.7)
    ours = EfficientNetLite0()
    ours.load_state_dict(
        dict(zip(ours.state_dict(), with_norms_folded(theirs.state_dict()), strict=True))
    )
    pixels = noise(1, 3, 97, 64)
    with torch.inference_mode():
        expected = theirs.global_pool(theirs.forward_features(pixels))
        torch.testing.assert_close(ours(pixels), expected, atol=1e-4, rtol=1e-3)


def test_the_image_tower_has_the_published_number_of_convolution_weights():
    convolutions = [p for p in EfficientNetLite0().parameters() if p.ndim == 4]
    # 4,652,008 published parameters, less classifier (1,281,000) and batch norms (42,016)
    assert sum(p.numel() for p in convolutions) == 4_652_008 - 1_281_000 - 42_016


def test_the_text_tower_is_post_norm_bert_written_out():
    tower = MiniLM(50, 8).eval().requires_grad_(requires_grad=False)
    ids = IDS[:1, :4]
    h = tower.norm(tower.words(ids) + tower.positions[:4])
    for layer in tower.layers.layers:
        weight, bias = layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias
        q, k, v = ((h @ weight.T + bias).view(1, 4, 3, 12, 32).permute(2, 0, 3, 1, 4)).unbind()
        attended = ((q @ k.mT / 32**0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
        h = layer.norm1(h + layer.self_attn.out_proj(attended))
        h = layer.norm2(h + layer.linear2(torch.nn.functional.gelu(layer.linear1(h))))
    torch.testing.assert_close(tower(ids), h, atol=1e-5, rtol=1e-4)


def test_padding_changes_no_embedding_and_has_zero_encodings(network):
    embed, encodings = network.encode_text(IDS)
    alone, _ = network.encode_text(IDS[1:, :3])
    torch.testing.assert_close(embed[1:], alone, atol=1e-5, rtol=1e-4)
    assert encodings.shape == (2, 8, 384)
    assert not encodings[IDS == 0].any()
    assert encodings[IDS != 0].abs().amax(-1).all()


def test_mean_pooling_leaves_padding_out():
    encodings = torch.tensor([[[1.0], [3.0], [0.0]]])
    assert mean_pool(encodings, torch.tensor([[5, 6, 0]])).item() == 2.0


def test_both_embeddings_have_unit_norm(network):
    image = network.encode_image(noise(2, 3, 64, 64))
    text, _ = network.encode_text(IDS)
    for embed in (image, text):
        assert embed.shape == (2, 16)
        torch.testing.assert_close(embed.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("fault", ["missing", "superfluous", "misshapen"])
def test_weights_that_do_not_fit_are_rejected(network, fault):
    weights = dict(network.state_dict())
    match fault:
        case "missing":
            del weights["image.stem.bias"]
        case "superfluous":
            weights["image.extra"] = torch.zeros(1)
        case "misshapen":
            weights["image.stem.bias"] = torch.zeros(3)
    with pytest.raises(BadBundle, match=r"image\.(stem\.bias|extra)"):
        load(network, weights, "clip")


def test_half_precision_weights_are_computed_in_float32(network):
    other = build_clip(SMALL)
    load(other, {k: v.half() for k, v in network.state_dict().items()}, "clip")
    assert {p.dtype for p in other.parameters()} == {torch.float32}


def test_the_identity_changes_with_any_weight(network):
    weights = {k: v.clone() for k, v in network.state_dict().items()}
    before = clip_identity(MINI, weights)
    assert before == clip_identity(MINI, dict(reversed(weights.items())))
    weights["image.stem.bias"][0] += 1
    assert before != clip_identity(MINI, weights)
    assert before.startswith("mini-clip-")


def test_an_architecture_open_clip_does_not_know_is_rejected():
    with pytest.raises(BadBundle, match="ViT-X-99"):
        build_clip(ClipConfig(architecture="ViT-X-99"))


@pytest.mark.parametrize(
    "architecture",
    ["roberta-ViT-B-32", "ViT-L-14-CLIPA", "ViT-B-16-SigLIP", "coca_ViT-B-32", "MobileCLIP-B"],
)
def test_an_architecture_with_text_of_its_own_is_rejected_before_it_is_built(
    monkeypatch, architecture
):
    monkeypatch.setattr(import_open_clip(), "create_model", None)
    with pytest.raises(BadBundle, match=f"'{architecture}' has a text tower or tokenizer"):
        build_clip(ClipConfig(architecture=architecture))


@pytest.mark.parametrize("architecture", [PAPER, "RN50-quickgelu", "ViT-B-32", "convnext_base"])
def test_openais_architectures_and_those_with_its_text_are_not_rejected(architecture):
    assert has_openais_text(import_open_clip().get_model_config(architecture))


@pytest.mark.parametrize("message", ["", "operator x\nis missing"])
def test_an_import_that_fails_is_explained_in_one_line(message):
    with (
        pytest.raises(ClipsonicError, match=r"^some_package cannot .*(operator x|Error)\)") as e,
        needs_torchvision("some_package"),
    ):
        raise ImportError(message)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("error", [RuntimeError("operator torchvision::nms does not exist")])
def test_a_torchvision_of_another_release_is_explained(monkeypatch, error):
    class Broken:
        def find_spec(self, name, *_):
            if name == "open_clip":
                raise error

    monkeypatch.delitem(sys.modules, "open_clip", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    monkeypatch.setattr(torch, "__version__", "2.14.1+cpu")
    monkeypatch.setattr(optional, "_version_of", lambda _package: "0.28.0")
    with pytest.raises(
        ClipsonicError,
        match=r"nms.*torch is 2\.14\.1\+cpu and torchvision 0\.28\.0.*torchvision 0\.29:",
    ):
        import_open_clip()


@pytest.mark.parametrize(
    ("torch_version", "torchvision_version", "remedy"),
    [
        ("2.14.1", "0.29.1", ""),
        ("2.9.0a0+git", "0.24.0+cu128", ""),
        ("2.14.1", "0.2.9", "torchvision 0.29:"),
        ("2.14.1", None, "torchvision not installed"),
        ("3.0.0", "1.0.0", "of the same day"),
    ],
)
def test_torchvision_is_blamed_only_where_it_is_of_another_release(
    torch_version, torchvision_version, remedy
):
    message = optional._mismatch(torch_version, torchvision_version)
    assert remedy in message
    assert bool(message) == bool(remedy)


@pytest.fixture(scope="module")
def tiny_open_clip(tmp_path_factory):
    """A CLIP of open_clip's own code with QuickGELU, small enough to test on."""
    import json

    open_clip = import_open_clip()
    folder = tmp_path_factory.mktemp("configs")
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    described = {"embed_dim": 16, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    (folder / "tiny-quickgelu.json").write_text(json.dumps(described))
    open_clip.add_model_config(folder)
    return build_clip(ClipConfig(architecture="tiny-quickgelu", dim=16, text_dim=16, image_size=32))


def test_open_clips_encodings_are_those_its_embedding_is_projected_from(tiny_open_clip):
    ids = import_open_clip().get_tokenizer("tiny-quickgelu")(["a photo of violin", "cat"])
    embed, encodings = tiny_open_clip.encode_text(ids)
    end = ids.argmax(1)
    at_end = encodings[torch.arange(2), end] @ tiny_open_clip.clip.text_projection
    torch.testing.assert_close(embed, normalize(at_end, dim=-1))
    for row, last in zip(encodings, end, strict=True):
        assert row[: last + 1].abs().amax(-1).all()
        assert not row[last + 1 :].any()


def test_open_clips_own_weights_are_adapted(tiny_open_clip):
    state = {k: v + 1 for k, v in tiny_open_clip.clip.state_dict().items()}
    other = build_clip(ClipConfig(architecture="tiny-quickgelu", dim=16, text_dim=16))
    load(other, from_open_clip({**state, "context_length": torch.tensor(77)}), "clip")
    for name, weight in other.clip.state_dict().items():
        assert torch.equal(weight, state[name])


def test_openais_activation_is_quick_gelu(tiny_open_clip):
    from open_clip.transformer import QuickGELU

    kinds = {type(m).__name__ for m in tiny_open_clip.modules() if "GELU" in type(m).__name__}
    assert kinds == {QuickGELU.__name__}


def test_a_width_that_heads_cannot_share_is_rejected():
    with pytest.raises(BadBundle, match="text_dim 49 is no multiple of 12"):
        build(lambda: build_clip(replace(SMALL, text_dim=49)), {}, "clip")


def test_an_architecture_of_gigabytes_over_few_bytes_is_rejected_before_it_is_built():
    config = clip.ClipConfig(architecture="ViT-bigG-14-quickgelu")
    with pytest.raises(BadBundle, match=r"'clip' do not fit its network \(\d{3} faults"):
        build(lambda: build_clip(config), {"a": torch.zeros(1)}, "clip")
