"""Audiobox Aesthetics as its publisher has it; see ``published.py``."""

import math

import torch
from published import wave

AXES = ("CE", "CU", "PC", "PQ")
DESCRIBED = {
    "normalize_embed": True,
    "nth_layer": 13,
    "output_dim": 1,
    "precision": "32",
    "proj_act_fn": "gelu",
    "proj_dropout": 0.0,
    "proj_ln": True,
    "proj_num_layer": 5,
    "target_transform": {
        "CE": {"mean": 5.06865, "std": 1.93029},
        "CU": {"mean": 5.73633, "std": 1.75669},
        "PC": {"mean": 3.18591, "std": 1.86637},
        "PQ": {"mean": 6.57505, "std": 1.51466},
    },
    "use_weighted_layer_sum": True,
}
"""``config.json``."""
SMALL = {"channels": 16, "dim": 32, "depth": 2, "heads": 2}


def audiobox(channels=512, dim=768, depth=12, heads=12):
    """``model.safetensors``; of other sizes it is another network, but small."""
    wavlm = "wavlm_model."
    encoder = f"{wavlm}encoder."
    matrices = {f"{wavlm}post_extract_proj": (dim, channels)}
    norms = {f"{wavlm}layer_norm": channels, f"{encoder}layer_norm": dim}
    weights = {f"{wavlm}mask_emb": wave("mask", dim)}
    narrow = 1
    for i, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        name = f"{wavlm}feature_extractor.conv_layers.{i}.0.weight"
        weights[name] = wave(name, channels, narrow, kernel, scale=3 / math.sqrt(narrow * kernel))
        narrow = channels
    norms[f"{wavlm}feature_extractor.conv_layers.0.2"] = channels
    position = f"{encoder}pos_conv.0."
    weights[f"{position}bias"] = wave("positions", dim, scale=0.1)
    weights[f"{position}weight_g"] = 1 + wave("gains", 1, 1, 128, scale=0.3)
    weights[f"{position}weight_v"] = wave("directions", dim, dim // 16, 128)
    for i in range(depth):
        layer = f"{encoder}layers.{i}."
        attention = f"{layer}self_attn."
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            matrices[f"{attention}{name}"] = (dim, dim)
        matrices[f"{attention}grep_linear"] = (8, dim // heads)
        weights[f"{attention}grep_a"] = 1 + wave(f"gates{i}", 1, heads, 1, 1)
        matrices |= {f"{layer}fc1": (4 * dim, dim), f"{layer}fc2": (dim, 4 * dim)}
        norms |= {f"{layer}self_attn_layer_norm": dim, f"{layer}final_layer_norm": dim}
    biases = f"{encoder}layers.0.self_attn.relative_attention_bias.weight"
    weights[biases] = wave("biases", 320, heads, scale=1.0)
    for axis in AXES:
        weights[f"layer_weights.{axis}"] = wave(axis, depth + 1, scale=1.0)
        head = f"proj_layer.{axis}."
        for index in (0, 3, 6, 9):
            matrices[f"{head}{index}"] = (dim, dim)
            norms[f"{head}{index + 1}"] = dim
        matrices[f"{head}12"] = (1, dim)
    for name, (wide, narrow) in matrices.items():
        weights[f"{name}.weight"] = wave(name, wide, narrow, scale=2 / math.sqrt(narrow))
        weights[f"{name}.bias"] = wave(f"{name}b", wide, scale=0.1)
    for name, width in norms.items():
        weights[f"{name}.weight"] = 1 + wave(f"{name}w", width, scale=0.2)
        weights[f"{name}.bias"] = wave(f"{name}b", width, scale=0.1)
    return weights


def small():
    """A small one as our network has it: positions without weight norm, and the scale."""
    weights = audiobox(**SMALL)
    del weights["wavlm_model.mask_emb"]
    position = "wavlm_model.encoder.pos_conv.0.weight"
    direction, gain = (weights.pop(f"{position}_{end}") for end in "vg")
    weights[position] = torch._weight_norm(direction, gain, 2)
    scale = DESCRIBED["target_transform"]
    for name in ("mean", "std"):
        weights[name] = torch.tensor([scale[axis][name] for axis in ("PQ", "PC", "CE", "CU")])
    return weights
