"""CLAP's weights in the two published spellings, written from the modules of one random network.

LAION's names and shapes were listed once from the network of its own code; they are spelled here by
walking through transformers' modules, not by the table of ``models/clap.py``.
"""

from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing
from torch import Tensor

from clipsonic_cli.models.clap import IMAGE, ClapConfig, ClapNetwork, build_clap, leaf_of
from clipsonic_cli.models.state_dict import outline

SMALL = ClapConfig(
    dim=8,
    text_dim=16,
    text_depth=1,
    text_heads=2,
    vocab_size=40,
    max_text_len=12,
    audio_dim=8,
    audio_depths=(2, 1, 1, 1),
    audio_heads=(1, 2, 2, 2),
)
CLASSES = 527
MADE = ("position_ids", "token_type_ids", "relative_position_index", "num_batches_tracked")


def random_clap(config: ClapConfig = SMALL, seed: int = 0) -> Any:
    """A ``ClapNetwork`` of which every weight has an effect."""
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.rand(t.shape, generator=generator) + 0.5
        if name.endswith(("running_var", "norm.weight", "LayerNorm.weight"))
        else torch.randn(t.shape, generator=generator)
        / max(t[0].numel() if t.ndim else 1, 4) ** 0.5
        for name, t in outline(lambda: ClapNetwork(config), "clap").state_dict().items()
        if leaf_of(name) not in MADE
    }
    return build_clap(config, weights)


def in_transformers_spelling(network: Any) -> dict[str, Tensor]:
    """A state dict as ``laion/clap-htsat-fused`` holds it."""
    return dict(network.clap.state_dict())


def in_laions_spelling(network: Any, config: ClapConfig = SMALL) -> dict[str, Any]:
    """A checkpoint as ``630k-audioset-fusion-best.pt`` is: with an optimizer's numpy scalars."""
    clap = network.clap
    state: dict[str, Tensor] = {"logit_scale_a": clap.logit_scale_a}
    state["logit_scale_t"] = clap.logit_scale_t
    audio_tower(state, clap.audio_model.audio_encoder, config)
    spell(state, "text_branch", clap.text_model)
    del state["text_branch.embeddings.token_type_ids"]  # LAION's transformers did not save it
    for tower in ("text", "audio"):
        projection = getattr(clap, f"{tower}_projection")
        spell(state, f"{tower}_projection.0", projection.linear1)
        spell(state, f"{tower}_projection.2", projection.linear2)
        for layer in (0, 3):
            state[f"{tower}_transform.sequential.{layer}.weight"] = torch.ones(
                config.dim, config.dim
            )
            state[f"{tower}_transform.sequential.{layer}.bias"] = torch.ones(config.dim)
    groups = [{"lr": np.float64(1e-4), "betas": (0.9, 0.99), "params": [0]}]
    return {
        "epoch": 45,
        "name": "a run",
        "state_dict": {f"module.{name}": tensor.detach() for name, tensor in state.items()},
        "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.ones(2)}}, "param_groups": groups},
    }


def audio_tower(state: dict[str, Tensor], encoder: Any, config: ClapConfig) -> None:
    """Adds HTSAT's tensors, with the mel's and the classifier's, which no embedding needs."""
    for name in ("real", "imag"):
        state[f"audio_branch.spectrogram_extractor.stft.conv_{name}.weight"] = torch.ones(
            513, 1, 1024
        )
    state["audio_branch.logmel_extractor.melW"] = torch.ones(513, 64)
    spell(state, "audio_branch.bn0", encoder.batch_norm)
    spell(state, "audio_branch.patch_embed", encoder.patch_embed)
    for i, stage in enumerate(encoder.layers):
        for j, block in enumerate(stage.blocks):
            transformer_block(state, f"audio_branch.layers.{i}.blocks.{j}", block)
            side = IMAGE // 4 // 2**i // config.window
            if j % 2 and side > 1:  # shifted windows
                mask = torch.zeros(side * side, config.window**2, config.window**2)
                state[f"audio_branch.layers.{i}.blocks.{j}.attn_mask"] = mask
        if stage.downsample is not None:
            spell(state, f"audio_branch.layers.{i}.downsample", stage.downsample)
    spell(state, "audio_branch.norm", encoder.norm)
    state["audio_branch.tscam_conv.weight"] = torch.ones(CLASSES, 8 * config.audio_dim, 2, 3)
    state["audio_branch.tscam_conv.bias"] = torch.ones(CLASSES)
    state["audio_branch.head.weight"] = torch.ones(CLASSES, CLASSES)
    state["audio_branch.head.bias"] = torch.ones(CLASSES)


def transformer_block(state: dict[str, Tensor], name: str, block: Any) -> None:
    """Adds one block, its query, key and value as one layer."""
    attention = block.attention.self
    parts = (attention.query, attention.key, attention.value)
    spell(state, f"{name}.norm1", block.layernorm_before)
    state[f"{name}.attn.relative_position_bias_table"] = attention.relative_position_bias_table
    state[f"{name}.attn.relative_position_index"] = attention.relative_position_index
    state[f"{name}.attn.qkv.weight"] = torch.cat([part.weight for part in parts])
    state[f"{name}.attn.qkv.bias"] = torch.cat([part.bias for part in parts])
    spell(state, f"{name}.attn.proj", block.attention.output.dense)
    spell(state, f"{name}.norm2", block.layernorm_after)
    spell(state, f"{name}.mlp.fc1", block.intermediate.dense)
    spell(state, f"{name}.mlp.fc2", block.output.dense)


def spell(state: dict[str, Tensor], prefix: str, module: Any) -> None:
    """Adds a module's tensors as they are."""
    state.update({f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()})


SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}


def tokenizer():
    """RoBERTa's, without merges: every byte is a token."""
    letters = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()), len(SPECIAL))}
    made = Tokenizer(BPE(SPECIAL | letters, [], unk_token="<unk>"))
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    made.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return made
