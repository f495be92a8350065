"""Whether queries are far: closed forms, and the rates on mini."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from clipsonic_cli.config import StatisticsConfig
from clipsonic_cli.models.familiarity import Familiarity, limit
from clipsonic_cli.models.statistics import Statistics
from clipsonic_cli.modes import MODES
from clipsonic_cli.pipeline import ClipSonic
from clipsonic_cli.store import bundle
from clipsonic_cli.types import Query

PARAPHRASES = (
    """
a barking puppy; an old steam locomotive; a kitten purring; church bells on sunday; a fiddle;
a big brass horn; the ocean; thunderstorm; a swarm of bees; hens in the yard; chopper hovering;
a phone rings; a crowd clapping; rock concert; lamb; piglet; croaking toad; pistol shot; hoover;
someone singing an aria; symphony; someone strumming; hooves on the road; a siren in the city;
engine starting
""".replace("\n", " ")
    .strip()
    .split("; ")
)
"""Texts for sounds that mini knows, which name no label."""
FOREIGN = (
    """
a photo of spaghetti carbonara; quantum chromodynamics; a photo of noise; a bathtub; tax return;
a wedding dress; ice cream; a screwdriver; democracy; a sofa; pizza; strawberry; a skyscraper;
a spreadsheet; philosophy; a snowman; lipstick; a castle; chess; a cactus; a laptop computer;
mathematics; hamburger; a map of france; a microscope
""".replace("\n", " ")
    .strip()
    .split("; ")
)


def statistics_of(frames, *, sizes=None, frame_mean=0.0, text_mean=0.0):
    made = Statistics(StatisticsConfig(dim=frames.shape[1], kept=len(frames)))
    made.frames = F.normalize(frames, dim=1)
    made.sizes = torch.ones(len(frames)) if sizes is None else torch.tensor(sizes)
    made.frame_mean = made.frame_mean + frame_mean
    made.text_mean = made.text_mean + text_mean
    return made


def test_the_limit_is_halfway_between_own_and_other_sounds():
    own = torch.tensor([0, 1, 1])
    cosines = torch.tensor([[0.9, 0.1, 0.2], [0.3, 0.7, 0.0], [0.2, 0.5, 0.4]])
    mine, others = np.quantile([0.9, 0.7, 0.5], 0.05), np.quantile([0.2, 0.3, 0.4], 0.05)
    assert limit(cosines, own) == pytest.approx((mine + others) / 2)
    assert limit(torch.tensor([[0.6], [0.8]]), torch.tensor([0, 0])) == pytest.approx(0.61 / 2)


def test_queries_are_compared_with_the_mean_frames_of_sounds_once_the_gap_is_removed():
    # Sounds along the first axes; frames and texts in regions of their own along the last two.
    axes = torch.eye(6)
    frames = torch.stack([axes[0] + axes[4], axes[0] * 0.8 + axes[4], axes[1] + axes[4]])
    gap = statistics_of(frames, sizes=[3.0, 1.0, 1.0], frame_mean=0.5 * axes[4], text_mean=axes[5])
    texts = axes[:3] + axes[5]
    known = Familiarity.measure(["dog", "cat", "owl"], texts, gap)
    assert list(known.names) == ["dog", "cat"]  # no frame is like the owl
    dog = F.normalize(3 * gap.frames[0] + gap.frames[1], dim=0)
    torch.testing.assert_close(known.means, torch.stack([dog, gap.frames[2]]))
    near = known(texts[0], "text")
    assert (list(near.nearest), near.far) == (["dog", "cat"], False)
    assert near.nearest["dog"] == pytest.approx(float(dog[0]))
    assert known(texts[2], "text").far
    assert known(gap.frames[1], "image").far is False
    assert known(axes[2], "image").far
    own, other = float(dog[0]), 0.5**0.5
    low = min(own, other) + 0.05 * abs(own - other)
    assert near.limit == pytest.approx(low / 2)  # the cosines with the other sound are 0


def test_names_alone_have_no_limit():
    near = Familiarity.by_texts(["dog", "cat"], torch.eye(4)[:2])(torch.eye(4)[1], "text")
    assert (list(near.nearest), near.limit, near.far) == (["cat", "dog"], None, None)


@pytest.fixture(scope="module")
def mini():
    """Return a function of a CLIP vector and a kind, and mini's CLIP."""
    parts = ClipSonic.load("mini", device="cpu").parts
    names = bundle.labels_of(parts.header("unet"))
    clip = parts._network("clip")
    return parts._familiarity(clip, names, True), clip, names


def share_far(mini, texts):
    known, clip, _ = mini
    return np.mean([known(row, "text").far for row in clip.embed_text(texts)[0]])


@pytest.mark.parametrize("form", ["{}", "a photo of {}", "the sound of a {}"])
def test_mini_knows_all_its_labels(mini, form):
    assert share_far(mini, [form.format(label) for label in mini[2]]) == 0


def test_mini_knows_paraphrases_and_not_what_it_never_saw(mini):
    assert share_far(mini, PARAPHRASES) <= 0.25  # 4 of 25 when this was written
    assert share_far(mini, FOREIGN) >= 0.95  # all


def test_pictures_of_nothing_are_far_from_all_that_mini_knows(mini):
    known, clip, _ = mini
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)
    plain = [Image.new("RGB", (224, 224), colour) for colour in ("black", "white", "red")]
    rows = clip.embed_images([*map(Image.fromarray, noise), *plain])
    assert all(known(row, "image").far for row in rows)


def test_a_text_that_names_a_label_is_known_without_looking():
    parts = ClipSonic.load("mini", device="cpu").parts
    near = parts.nearness(Query(text="two violins in a bathtub"), MODES["pd"])
    assert (near.far, dict(near.nearest)) == (False, {})
    assert "clip" not in {key[1] for key in parts._kept if key[0] == "network"}
