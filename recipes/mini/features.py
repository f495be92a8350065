"""The trained CLIP's vectors of the whole data set, once, for the U-Net's and the prior's training.

``OUT/features.pt`` is read with :func:`read_features`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from augment import FeatureCache
from clip_data import LABEL_VIEWS, Concept, gather, read_lines
from torch import Tensor

from clipsonic_cli.encoders.clip import ClipModel
from clipsonic_cli.models.clip import MiniClip

TEXTS_A_PICTURE = 8


@dataclass
class Features:
    """Vectors of the small CLIP; all embeddings are float16 of unit norm.

    Args:
        encoder: Identity of the CLIP.
        labels: Names, in the order the label numbers mean.
        picture_embeds: (N, V, D), V views of each picture; view 0 is what the encoder gives.
        picture_labels: (N,) int64.
        picture_is_test: (N,) bool.
        class_embeds: (M, D), synthetic pictures of ImageNet classes that have a label.
        class_labels: (M,) int64.
        image_embeds: (I, D), every picture the prior may learn from; no test pictures.
        texts: The T texts.
        text_embeds: (T, D).
        encodings: (tokens, C), the token encodings of all texts one after the other.
        offsets: (T + 1,) int64, where each text's encodings start.
        pairs: (P, 3) int64: row of ``image_embeds``, row of ``texts``, source (0 titled picture,
            1 label, 2 ImageNet class).
    """

    encoder: str
    labels: list[str]
    picture_embeds: Tensor
    picture_labels: Tensor
    picture_is_test: Tensor
    class_embeds: Tensor
    class_labels: Tensor
    image_embeds: Tensor
    texts: list[str]
    text_embeds: Tensor
    encodings: Tensor
    offsets: Tensor
    pairs: Tensor

    def encodings_of(self, rows: Tensor, max_text_len: int) -> Tensor:
        """Return (B, L, C) float32, zero after the end, for rows (B,) of ``texts``."""
        out = torch.zeros(len(rows), max_text_len, self.encodings.shape[1])
        for i, row in enumerate(rows.tolist()):
            start, end = int(self.offsets[row]), int(self.offsets[row + 1])
            out[i, : end - start] = self.encodings[start:end]
        return out


def read_features(path: Path) -> Features:
    """Read what :func:`write_features` wrote."""
    return Features(**torch.load(path, weights_only=True))


def write_features(clip: ClipModel, weight: Tensor, bias: Tensor, out: Path) -> None:
    """Encode the data set and write ``OUT/features.pt``.

    Args:
        clip: The mini CLIP.
        weight: (1000, 1280) of the image tower's ImageNet classifier.
        bias: (1000,) of it.
        out: The recipe's folder.
    """
    network = clip.network
    assert isinstance(network, MiniClip)
    cache = FeatureCache(out / "views.pt", network.image, clip.config)
    material = gather(out, cache, weight, bias)
    labels = material.label_names
    number = {name: i for i, name in enumerate(labels)}
    pictures = read_lines(out / "data" / "pictures.jsonl")
    views = cache([out / "data" / row["path"] for row in pictures], LABEL_VIEWS)

    def project(features: Tensor) -> Tensor:
        with torch.inference_mode():
            return network.project_image(features.float()).half().clone()

    image_embeds, pairs, rows = [], [], 0
    generator = torch.Generator().manual_seed(2)
    sources = (material.captions, material.labels, material.classes)
    for source, concepts in enumerate(sources):
        for concept in concepts:
            pairs += _pairs(concept, rows, source, generator)
            rows += len(concept.features)
            image_embeds.append(project(concept.features))
    text_embeds, encodings, offsets = _encode(clip, material.texts)
    features = Features(
        encoder=clip.identity,
        labels=labels,
        picture_embeds=torch.stack([project(view) for view in views]),
        picture_labels=torch.tensor([number[row["label"]] for row in pictures]),
        picture_is_test=torch.tensor([row["split"] == "test" for row in pictures]),
        class_embeds=torch.cat(
            [project(material.classes[i].features) for i in sorted(material.label_of)]
        ),
        class_labels=torch.tensor(
            [
                number[material.label_of[i]]
                for i in sorted(material.label_of)
                for _ in material.classes[i].features
            ]
        ),
        image_embeds=torch.cat(image_embeds),
        texts=material.texts,
        text_embeds=text_embeds,
        encodings=encodings,
        offsets=offsets,
        pairs=torch.tensor(pairs),
    )
    temporary = out / "features.part"
    torch.save(asdict(features), temporary)
    temporary.replace(out / "features.pt")
    print(f"features: {len(features.image_embeds)} pictures, {len(features.texts)} texts")


def _pairs(
    concept: Concept, first: int, source: int, generator: torch.Generator
) -> list[tuple[int, int, int]]:
    count = min(TEXTS_A_PICTURE, len(concept.texts))
    pairs = []
    for i in range(len(concept.features)):
        chosen = torch.randperm(len(concept.texts), generator=generator)[:count]
        pairs += [(first + i, concept.texts[j], source) for j in chosen.tolist()]
    return pairs


def _encode(clip: ClipModel, texts: list[str]) -> tuple[Tensor, Tensor, Tensor]:
    embeds, encodings, lengths = [], [], []
    for start in range(0, len(texts), 64):
        embed, tokens = clip.embed_text(texts[start : start + 64])
        embeds.append(embed.half())
        for row in tokens:
            kept = row[row.abs().amax(1) > 0]
            encodings.append(kept.half())
            lengths.append(len(kept))
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return torch.cat(embeds), torch.cat(encodings), offsets
