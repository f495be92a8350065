"""What the small CLIP, and the prior after it, learn from: concepts of pictures and words."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from augment import FeatureCache
from prompts import imagenet_texts, label_texts
from prototypes import prototypes
from steps import need
from torch import Tensor

CAPTION_VIEWS, LABEL_VIEWS, CLASS_VIEWS = 2, 12, 12
SAME_PICTURE = 0.995
"""Cosine of features above which a captioned picture is taken for a test picture."""


@dataclass
class Concept:
    """Pictures and words that mean one thing; two draws of one concept are no negatives."""

    features: Tensor  # (n, 1280) float32
    texts: list[int]  # rows of the text table


@dataclass
class Material:
    """All that is learned from, by source."""

    captions: list[Concept]
    labels: list[Concept]
    classes: list[Concept]
    texts: list[str]
    label_names: list[str]
    label_of: dict[int, str]  # ImageNet class -> label


def gather(out: Path, cache: FeatureCache, weight: Tensor, bias: Tensor) -> Material:
    """Read the data set and return for every concept its image features and its texts."""
    data = out / "data"
    described = need(data, "labels.json", "data.py").read_text(encoding="utf-8")
    labels: list[dict[str, Any]] = json.loads(described)
    captions = read_lines(need(data, "captions.jsonl", "data.py"))
    caption_features = cache([data / row["path"] for row in captions], CAPTION_VIEWS)
    pictures = read_lines(need(data, "pictures.jsonl", "data.py"))
    features = cache([data / row["path"] for row in pictures], LABEL_VIEWS)

    numbers: dict[str, int] = {}

    def number(texts: list[str]) -> list[int]:
        return [numbers.setdefault(text, len(numbers)) for text in texts]

    paired = list(zip(features, pictures, strict=True))
    held_out = [rows[0].float() for rows, row in paired if row["split"] == "test"]
    known = F.normalize(torch.stack(held_out), dim=1).T
    pairs = [
        Concept(rows.float(), number([row["text"]]))
        for rows, row in zip(caption_features, captions, strict=True)
        if (F.normalize(rows[0].float(), dim=0) @ known).max() < SAME_PICTURE
    ]
    real = torch.cat([c.features[:1] for c in pairs])
    label_of = {i: label["label"] for label in labels for i in label["imagenet"]}
    made = prototypes(
        [i for i in range(1000) for _ in range(CLASS_VIEWS)],
        real,
        weight,
        bias,
        torch.Generator().manual_seed(0),
    ).view(1000, CLASS_VIEWS, -1)
    classes = [Concept(made[i], number(t)) for i, t in enumerate(imagenet_texts(label_of))]
    own = []
    for label in labels:
        rows = [
            views.float()
            for views, row in paired
            if row["label"] == label["label"] and row["split"] == "train"
        ]
        rows += [made[i] for i in label["imagenet"]]
        if rows:
            own.append(Concept(torch.cat(rows), number(label_texts(label))))
    return Material(pairs, own, classes, list(numbers), [x["label"] for x in labels], label_of)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
