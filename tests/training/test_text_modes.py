"""The comparison of the ways from text, and the default mode that follows from it."""

import shutil

import pytest
import torch
import torch.nn.functional as F

from clipsonic_cli import ClipSonic
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.models.statistics import Statistics
from clipsonic_cli.parts import Parts
from clipsonic_cli.preparation.statistics import FrameSums, as_bundle, summarize
from clipsonic_cli.store import bundle
from clipsonic_cli.store.default_mode import default_mode
from clipsonic_cli.store.model_folders import ModelFolder
from clipsonic_cli.training import text_modes
from clipsonic_cli.training.text_modes import Comparison, compare, most_used, store

CPU = torch.device("cpu")
NAMES = ["dog", "cat", "rain", "violin"]


@pytest.fixture(scope="module")
def clip(micro):
    return load_clip(bundle.load(micro / "clip.safetensors", kind="clip"))


@pytest.fixture(scope="module")
def frames(clip):
    """Frames whose directions from their mean are those of the texts they are about."""
    texts, _ = clip.embed_text([f"a photo of {name}" for name in NAMES])
    gap = 3 * torch.eye(clip.dim)[0]
    noise = torch.randn(40, clip.dim, generator=torch.Generator().manual_seed(0))
    spread = 10 * (texts - texts.mean(0)).repeat(10, 1)
    return F.normalize(gap + spread + 0.02 * noise, dim=1)


@pytest.fixture
def model(micro, clip, frames, tmp_path):
    """Micro with statistics of the frames."""
    folder = tmp_path / "model"
    shutil.copytree(micro, folder)
    texts, _ = clip.embed_text([f"a photo of {name}" for name in NAMES])
    statistics = summarize(FrameSums(torch.Generator().manual_seed(0)).add(frames), texts)
    bundle.write(folder / "statistics.safetensors", as_bundle(statistics, clip, {"data": "x"}))
    return ModelFolder(folder)


def test_the_best_way_is_the_nearest_of_those_that_tell_texts_apart():
    fits = {"rt": 0.9, "zs": 0.5, "ms": 0.4}
    apart = {"rt": 0.1, "zs": 0.4, "ms": 0.6}
    found = Comparison(fits=fits, apart=apart, by="4 frames")
    assert found.best == "zs"
    assert str(found) == (
        "text goes by mode zs: cosines with frames rt 0.90, zs 0.50, ms 0.40 (by 4 frames)"
    )
    doubtful = Comparison(fits=fits, apart=dict.fromkeys(fits, 0.1), by="4 frames")
    assert str(doubtful).endswith("; text hardly fits these frames")


def test_the_most_used_texts_come_first():
    assert most_used(torch.tensor([4, 1, 1, 4, 4, 2]), 2).tolist() == [4, 1]
    assert most_used(torch.tensor([4, 1, 1]), 9).tolist() == [1, 4]


def test_frames_are_matched_with_texts_once_the_gap_is_removed(model, clip, frames):
    texts, _ = clip.embed_text([f"a photo of {name}" for name in NAMES])
    part = bundle.load(model.part("statistics"), kind="statistics")
    statistics = Statistics(part.header.config)
    statistics.load_state_dict({n: w.float() for n, w in part.weights.items()})
    assert statistics.nearest_text(frames, texts).tolist() == [0, 1, 2, 3] * 10


@pytest.mark.parametrize("labelled", [True, False])
def test_ways_that_remove_the_gap_fit_better_with_labels_and_without(
    model, frames, labelled, monkeypatch
):
    monkeypatch.setattr(text_modes, "NOUNS", tuple(NAMES))
    labels = [name if labelled else None for name in NAMES * 10]
    found = compare(Parts(model, CPU, torch.float32), frames[::2], labels[::2], memory=frames[1::2])
    assert set(found.fits) == {"zs", "ms", "ra", "rt", "pd"}
    assert found.apart["ms"] > 0.7 > found.apart["zs"]
    assert found.fits["ms"] > found.fits["zs"] + 0.3
    assert found.best in ("ms", "ra", "rt")
    assert found.by == ("the labels of 20 frames" if labelled else "20 frames, no labels")


def test_the_best_way_becomes_the_models_default(model):
    assert default_mode(model, "text") == ("pd", "the default")
    store(model, Comparison(fits={"rt": 0.5, "zs": 0.1}, apart={"rt": 1, "zs": 1}, by="x"))
    assert default_mode(model, "text") == (
        "rt",
        "the model's default, which fits its frames best (cosine 0.50)",
    )
    assert default_mode(model, "image")[0] == "iq"
    assert bundle.read_header(model.part("statistics")).meta["data"] == "x"
    sonic = ClipSonic.load(model.path, device="cpu")
    assert sonic("a dog", steps=1, seconds=0.1).recipe.mode == "rt"
    assert sonic("a dog", mode="zs", steps=1, seconds=0.1).recipe.mode == "zs"


def test_a_default_whose_parts_are_gone_is_not_taken_and_an_unknown_one_is_an_error(model):
    store(model, Comparison(fits={"sd": 0.5}, apart={"sd": 1}, by="x"))
    assert default_mode(model, "text")[0] == "pd"
    store(model, Comparison(fits={"qq": 0.5}, apart={"qq": 1}, by="x"))
    with pytest.raises(BadBundle, match="The statistics name 'qq' as the default mode; known: zs"):
        default_mode(model, "text")


def test_ways_are_compared_again_when_there_are_others(model):
    assert text_modes.is_due(model, "unet")
    fits = dict.fromkeys(("zs", "ms", "ra", "rt", "pd"), 0.1)
    store(model, Comparison(fits=fits, apart=fits, by="x"))
    assert not text_modes.is_due(model, "unet")
    assert text_modes.is_due(model, "prior-sd")
    model.part("prior").unlink()
    assert text_modes.is_due(model, "unet")


def test_a_model_without_statistics_has_nothing_to_compare_by(micro, frames):
    parts = Parts(ModelFolder(micro), CPU, torch.float32)
    assert compare(parts, frames, [None] * len(frames)) is None
    assert not text_modes.is_due(ModelFolder(micro), "unet")
