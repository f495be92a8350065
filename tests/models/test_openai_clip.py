import copy
import json

import published
import pytest
import torch

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.clip import ClipConfig, build_clip
from clipsonic_cli.models.openai_clip import from_openai
from clipsonic_cli.models.optional import import_open_clip
from clipsonic_cli.models.state_dict import load

SMALL = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
DESCRIBED = published.CLIP_CONFIG | {"model_cfg": SMALL}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    (folder / "small-quickgelu.json").write_text(json.dumps(SMALL))
    import_open_clip().add_model_config(folder)
    return "small-quickgelu"


def described(**changes):
    made = copy.deepcopy(DESCRIBED)
    for name, value in changes.items():
        part = "model_cfg" if name in SMALL else "preprocess_cfg"
        made[part][name] = value
    return made


def test_the_weights_and_the_configuration_make_the_network(small):
    file = published.openai_clip(SMALL)
    config, weights = from_openai(DESCRIBED, file, small)
    assert config == ClipConfig(architecture=small, dim=16, text_dim=32, image_size=32)
    network = build_clip(config)
    load(network, weights, "clip")
    assert all(torch.equal(w, file[name]) for name, w in network.clip.state_dict().items())


def test_the_network_is_of_quick_gelu(small):
    file = published.openai_clip(SMALL)
    network = build_clip(from_openai(DESCRIBED, file, small)[0])
    kinds = {type(m).__name__ for m in network.modules() if "GELU" in type(m).__name__}
    assert kinds == {"QuickGELU"}


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True])
def test_the_real_file_is_the_papers_clip(mixed):
    file = published.openai_clip(mixed=mixed)
    assert sum(w.numel() for w in file.values()) == 427_616_513
    config, weights = from_openai(published.CLIP_CONFIG, file)
    assert config == ClipConfig()
    network = build_clip(config)
    load(network, weights, "clip")
    embed, encodings = network.encode_text(import_open_clip().get_tokenizer("ViT-L-14")(["cat"]))
    assert (embed.shape, encodings.shape) == ((1, 768), (1, 77, 768))
    assert embed.isfinite().all()


def test_weights_of_mixed_precision_are_computed_in_single(small):
    file = published.openai_clip(SMALL, mixed=True)
    assert {w.dtype for w in file.values()} == {torch.float16, torch.float32}
    config, weights = from_openai(DESCRIBED, file, small)
    network = build_clip(config)
    load(network, weights, "clip")
    assert {w.dtype for w in network.parameters()} == {torch.float32}
    assert all(torch.equal(w, file[name].float()) for name, w in network.clip.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quick_gelu": False}, "says quick_gelu False, OpenAI's .* has True"),
        ({"quick_gelu": None}, "says quick_gelu None, OpenAI's .* has True"),
        ({"mean": [0.5, 0.5, 0.5]}, r"says mean \[0.5, 0.5, 0.5\], .* has \[0.48145466, "),
        ({"std": [0.5, 0.5, 0.5]}, r"says std \[0.5, 0.5, 0.5\], .* has \[0.26862954, "),
        ({"interpolation": "bilinear"}, "bilinear, .* has bicubic"),
        ({"resize_mode": "squash"}, "squash, .* has shortest"),
        ({"embed_dim": 512}, "says embed_dim 512, .* has 16"),
        ({"vision_cfg": SMALL["vision_cfg"] | {"layers": 3}}, "vision_cfg.layers 3, .* has 2"),
        ({"text_cfg": SMALL["text_cfg"] | {"heads": 4}}, "text_cfg.heads 4, .* has 2"),
        ({"text_cfg": SMALL["text_cfg"] | {"no_causal_mask": True}}, "True, .* has False"),
        ({"text_cfg": {"hats": 4}}, "unusable 'text_cfg' .*hats"),
        ({"vision_cfg": "ViT"}, "unusable 'vision_cfg'"),
    ],
)
def test_another_activation_preprocessing_or_size_is_rejected_with_both_values(
    small, change, message
):
    with pytest.raises(BadBundle, match=message) as caught:
        from_openai(described(**change), published.openai_clip(SMALL), small)
    assert "\n" not in str(caught.value)


def test_what_a_description_leaves_to_open_clips_defaults_is_not_missed(small):
    short = described(vision_cfg=SMALL["vision_cfg"] | {"head_width": 64, "mlp_ratio": 4.0})
    del short["preprocess_cfg"]["interpolation"], short["preprocess_cfg"]["resize_mode"]
    assert from_openai(short, published.openai_clip(SMALL), small)[0].dim == 16


def test_a_description_without_an_activation_is_rejected(small):
    plain = described()
    del plain["model_cfg"]["quick_gelu"]
    with pytest.raises(BadBundle, match=r"says quick_gelu False, OpenAI's .* has True"):
        from_openai(plain, published.openai_clip(SMALL), small)


@pytest.mark.parametrize("described", [{}, {"model_cfg": SMALL}, {"model_cfg": 1}])
def test_a_description_without_its_parts_is_rejected(small, described):
    with pytest.raises(BadBundle, match="lacks 'model_cfg' or 'preprocess_cfg'"):
        from_openai(described, published.openai_clip(SMALL), small)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"visual.proj": None}, "missing clip.visual.proj"),
        ({"visual.head.weight": torch.zeros(1)}, "unexpected clip.visual.head.weight"),
        ({"logit_scale": torch.zeros(2)}, r"clip.logit_scale is \(2,\) where \(\) is needed"),
    ],
)
def test_other_weights_are_rejected(small, change, fault):
    state = {k: w for k, w in (published.openai_clip(SMALL) | change).items() if w is not None}
    with pytest.raises(BadBundle, match=fault):
        from_openai(DESCRIBED, state, small)
