"""Query vectors of the micro model, and their scores."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from clipsonic_cli.config import Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation.backbones import choose
from clipsonic_cli.evaluation.generation import recipe_for
from clipsonic_cli.evaluation.test_set import TestItem
from clipsonic_cli.evaluation.vectors import query_vectors, score_vectors
from clipsonic_cli.modes import MODES
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.preparation.statistics import FrameSums, as_bundle, summarize
from clipsonic_cli.store import bundle

RUNS = choose(["similarity", "nearest-frame", "label-rank"])


@pytest.fixture(scope="module")
def sonic(micro):
    return ClipSonic.load(micro, device="cpu")


@pytest.fixture
def items(tmp_path):
    """Three clips with an image each, of which the last has no label."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    images = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(images, pixels, strict=True):
        Image.fromarray(image).save(path)
    return [
        TestItem(name=f"q{number}", seed=number, label=label, image=images[number])
        for number, label in enumerate(["violin", "dog_barking", None])
    ]


def test_vectors_are_those_the_unet_is_given(sonic, items):
    zs, pd = query_vectors(sonic, items, [MODES["zs"], MODES["pd"]])
    assert (zs.system, pd.system) == ("zs", "pd")
    assert zs.made.names == zs.images.names == ("q0", "q1")
    assert (zs.made.backbone, zs.labels) == ("micro-clip", ("violin", "dog_barking"))
    encode = sonic.parts.encoder(MODES["zs"], candidates=2)
    queries = [recipe_for(item, Recipe(mode="zs")).query for item in items[:2]]
    assert torch.allclose(zs.made.rows, encode(queries, noise=None).embed, atol=1e-6)
    assert torch.allclose(pd.made.rows.norm(dim=1), torch.ones(2), atol=1e-5)


def test_without_images_and_words_for_one_clip_there_are_no_query_vectors(sonic, items):
    wordless = [dataclasses.replace(item, label=None) for item in items]
    with pytest.raises(UsageError, match="no clip has both"):
        list(query_vectors(sonic, wordless, [MODES["zs"]]))


def test_without_statistics_the_nearest_frame_is_left_out_and_the_note_says_how_to_get_them(
    sonic, items
):
    vectors = list(query_vectors(sonic, items, [MODES["zs"], MODES["pd"]]))
    rows, notes = score_vectors(RUNS, vectors, seed=0)
    assert [[score.metric for score in row.scores] for row in rows] == [
        ["similarity", "label-rank"]
    ] * 2
    assert len(notes) == 1
    assert notes[0].startswith("nearest-frame is left out: Model ")
    assert "clipsonic train --data DIR --stage statistics" in notes[0]
    with pytest.raises(UsageError, match="lacks statistics"):
        score_vectors(choose(["nearest-frame"]), vectors, seed=0)


def test_one_label_alone_has_no_rank(sonic, items):
    same = [dataclasses.replace(item, label="violin") for item in items]
    _, notes = score_vectors(RUNS, query_vectors(sonic, same, [MODES["zs"]]), seed=0)
    assert (
        "label-rank is left out: it needs two labels or more, and all clips have 'violin'." in notes
    )


def test_frames_of_the_statistics_are_compared(micro, items, tmp_path):
    """Where the images were trained on, the nearest frame of each is itself."""
    shutil.copytree(micro, tmp_path / "model")
    sonic = ClipSonic.load(tmp_path / "model", device="cpu")
    clip = sonic.parts.encoder(MODES["iq"], candidates=1).clip
    frames = clip.embed_images([item.image for item in items])
    sums = FrameSums(torch.Generator().manual_seed(0)).add(frames)
    statistics = summarize(sums, clip.embed_text(["dog", "violin"])[0])
    bundle.write(
        tmp_path / "model" / "statistics.safetensors", as_bundle(statistics, clip, {"data": "x"})
    )
    vectors = query_vectors(sonic, items, [MODES["zs"], MODES["rt"]])
    (zs, rt), notes = score_vectors(RUNS, vectors, seed=0)
    score = zs.score("nearest-frame")
    made = sonic.parts.encoder(MODES["zs"], candidates=2)(
        [recipe_for(item, Recipe(mode="zs")).query for item in items[:2]], noise=None
    ).embed
    assert score.value == pytest.approx(float((made @ frames.T).amax(1).mean()), abs=1e-3)
    assert (score.n, score.against, notes) == (2, 3, [])
    assert score.notes == ("The true images have 1.000.",)
    assert rt.score("nearest-frame").value > score.value
