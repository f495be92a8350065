"""Encoders of texts by statistics."""

import dataclasses

import pytest
import torch

from clipsonic_cli.diffusion.noise import SeededNoise
from clipsonic_cli.encoders import ENCODERS
from clipsonic_cli.encoders.clip import load_clip
from clipsonic_cli.encoders.transfer import StatisticsEncoder, load_statistics
from clipsonic_cli.errors import BadBundle
from clipsonic_cli.modes import MODES
from clipsonic_cli.preparation.statistics import FrameSums, as_bundle, summarize
from clipsonic_cli.store import bundle
from clipsonic_cli.types import Query

MODES_OF_STATISTICS = [mode for mode in MODES.values() if "statistics" in mode.weights]


@pytest.fixture(scope="module")
def clip(micro):
    return load_clip(bundle.load(micro / "clip.safetensors", kind="clip"))


@pytest.fixture(scope="module")
def part(clip):
    generator = torch.Generator().manual_seed(0)
    frames = torch.nn.functional.normalize(torch.randn(20, clip.dim, generator=generator), dim=1)
    texts, _ = clip.embed_text(["dog", "cat", "rain"])
    statistics = summarize(FrameSums(generator).add(frames), texts)
    return as_bundle(statistics, clip, {})


def noise(count):
    return SeededNoise(range(count))


@pytest.mark.parametrize("mode", MODES_OF_STATISTICS, ids=lambda mode: mode.name)
def test_texts_become_vectors_of_frames_and_images_are_rejected(clip, part, mode, violin_picture):
    encode = ENCODERS.load(mode.encoder)(clip, load_statistics(part, "statistics"))
    queries = [Query(text="a dog"), Query(text="a cat")]
    condition = encode(queries, noise=noise(2))
    assert (condition.space, condition.encoder) == ("clip-image", clip.identity)
    assert condition.embed.shape == (2, clip.dim)
    torch.testing.assert_close(condition.embed.norm(dim=1), torch.ones(2))
    with pytest.raises(ValueError, match="text queries only"):
        encode([Query(image=violin_picture)], noise=noise(1))


def test_the_part_comes_back_from_its_file(clip, part, tmp_path):
    bundle.write(tmp_path / "statistics.safetensors", part)
    kept = bundle.load(tmp_path / "statistics.safetensors", kind="statistics")
    assert kept.header == part.header
    assert (kept.header.config.count, kept.header.config.texts) == (20, 3)
    ours = load_statistics(kept, "statistics")
    torch.testing.assert_close(ours.frame_mean, part.weights["frame_mean"])


def test_vectors_of_known_sounds_come_back_and_older_parts_have_none(part):
    assert load_statistics(part, "statistics").known is None
    known = torch.nn.functional.normalize(torch.ones(2, part.header.config.dim), dim=1)
    named = dataclasses.replace(part, weights={**part.weights, "known": known.half()})
    torch.testing.assert_close(load_statistics(named, "statistics").known, known, atol=1e-3, rtol=0)
    for damaged in (torch.ones(()), torch.ones(2, 3)):
        other = dataclasses.replace(part, weights={**part.weights, "known": damaged})
        with pytest.raises(BadBundle, match="known"):
            load_statistics(other, "statistics")


def test_statistics_of_another_size_or_kind_are_rejected(clip, part):
    config = dataclasses.replace(part.header.config, dim=8)
    other = dataclasses.replace(part, header=dataclasses.replace(part.header, config=config))
    with pytest.raises(BadBundle, match=r"frame_mean is \(32,\) where \(8,\) is needed"):
        load_statistics(other, "statistics")
    header = dataclasses.replace(part.header, kind="clip", config={})
    with pytest.raises(BadBundle, match="this bundle holds a clip"):
        load_statistics(dataclasses.replace(part, header=header), "statistics")
    small = load_statistics(part, "statistics")
    small.config = config
    with pytest.raises(ValueError, match="of 8 numbers, CLIP gives 32"):
        StatisticsEncoder(clip, small)
