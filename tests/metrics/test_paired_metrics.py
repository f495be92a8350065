"""Scores of each sound with its own prompt, image, label or original."""

import math

import pytest
import torch
from noisy_sets import RATE, Bands, generator, tone

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics import METRICS
from clipsonic_cli.metrics.features import Features, embed_prompts, embed_sounds, from_vectors
from clipsonic_cli.metrics.label_rank import label_cosines, ranks
from clipsonic_cli.metrics.tagger import ZeroShotTagger, probabilities, tagged
from clipsonic_cli.types import Waveform

HEIGHTS = [float(hz) for hz in range(240, 3840, 480)]  # the middle of each band
TEXTS = [f"{hz} Hz" for hz in HEIGHTS]


def scored(name, made, against):
    scores = METRICS.load(name)(made, against, generator=generator())
    return {score.metric: score for score in scores}


def tones(snr=None):
    noise = generator(3)
    for index, hz in enumerate(HEIGHTS * 2):
        samples = tone(hz).samples
        if snr is not None:
            samples = samples + torch.randn(RATE, generator=noise) * 0.35 * 10 ** (-snr / 20)
        yield f"{index:02d}", Waveform(samples=samples, sample_rate=RATE)


def prompts(shifted=0):
    texts = TEXTS[shifted:] + TEXTS[:shifted]
    return embed_prompts({f"{i:02d}": text for i, text in enumerate(texts * 2)}, Bands())


def rows(*each, windows=1, cut=None):
    names = [f"{i}" for i in range(len(each) // windows)]
    made = torch.tensor(each, dtype=torch.float32)
    return Features(
        backbone="b",
        names=tuple(names),
        counts=(windows,) * len(names),
        rows=made,
        windows=cut,
    )


def test_the_clap_score_is_the_mean_cosine_and_may_be_negative():
    made = rows([1, 0], [0, 2], [-3, 0])
    texts = rows([1, 0], [1, 1], [1, 0])
    assert scored("clap", made, texts)["clap"].value == pytest.approx((1 + 0.5**0.5 - 1) / 3)
    assert scored("clap", rows([-1, 0]), rows([2, 0]))["clap"].value == -1


def test_of_a_sound_in_several_windows_the_mean_cosine_counts():
    made = rows([1, 0], [0, 1], [1, 0], [1, 0], windows=2)
    assert scored("clap", made, rows([1, 0], [1, 0]))["clap"].value == 0.75


def test_the_right_prompts_score_near_1_swapped_ones_lower_and_noise_lowers_it_step_by_step():
    sets = [embed_sounds(tones(snr), Bands()) for snr in (None, 20, 10, 0)]
    values = [scored("clap", made, prompts())["clap"].value for made in sets]
    assert values[0] > 0.95
    assert values == sorted(values, reverse=True)
    assert scored("clap", sets[0], prompts(shifted=3))["clap"].value < values[0] - 0.2


def test_the_windows_of_each_sound_give_its_best_its_mean_and_its_worst():
    made = rows([1, 0], [0, 1], [1, 0], [-1, 0], windows=2, cut=((1, 1), (1, 1)))
    values = {k: s.value for k, s in scored("clap-windows", made, rows([1, 0], [1, 0])).items()}
    assert values == {
        "clap-windows-max": 1,
        "clap-windows-mean": 0.25,
        "clap-windows-min": -0.5,
    }


def test_of_a_window_of_several_rows_the_mean_cosine_counts():
    """Of the second window (0 - 1) / 2, though its mean vector is at -0.5 ** 0.5."""
    made = rows([1, 0], [1, 0], [0, 1], [-1, 0], windows=4, cut=((2, 2),))
    values = [s.value for s in scored("clap-windows", made, rows([1, 0])).values()]
    assert values == [1, 0.25, -0.5]


@pytest.mark.parametrize("seconds", [1.0, 4.0])
def test_a_sound_of_a_single_window_has_its_clap_score_thrice(seconds):
    mixed = Waveform(
        samples=torch.cat([tone(hz, seconds / 2).samples for hz in (240, 3600)]), sample_rate=RATE
    )
    windows = METRICS.load("clap-windows").windows
    whole, cut = (embed_sounds([("00", mixed)], Bands(), windows=w) for w in (None, windows))
    assert cut.counts == (4 * seconds,)
    expected = [scored("clap", whole, prompts())["clap"].value] * 3
    values = [s.value for s in scored("clap-windows", cut, prompts()).values()]
    assert values == pytest.approx(expected)
    assert [s.value for s in scored("clap-windows", whole, prompts()).values()] == values


def test_the_windows_are_those_of_table_5():
    windows = METRICS.load("clap-windows").windows
    assert (windows.seconds, windows.hop) == (4, 0.5)


def test_a_sound_that_changes_half_way_has_a_good_and_a_bad_window():
    halves = Waveform(
        samples=torch.cat([tone(240, 5).samples, tone(3600, 5).samples]), sample_rate=RATE
    )
    metric = METRICS.load("clap-windows")
    made = embed_sounds([("00", halves)], Bands(), windows=metric.windows)
    assert made.counts == (13 * 16,)
    values = [s.value for s in metric(made, prompts(), generator=generator())]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[2] + 0.2
    first, last = (
        scored("clap", embed_sounds([("00", tone(hz, 4))], Bands()), prompts())["clap"].value
        for hz in (240, 3600)
    )
    assert (values[0], values[2]) == pytest.approx((first, last), abs=1e-3)


def test_similarity_is_the_mean_cosine_of_queries_and_images():
    queries = from_vectors(["a", "b"], torch.tensor([[2.0, 0], [0, 1]]), backbone="clip")
    images = from_vectors(["b", "a"], torch.tensor([[3.0, 3], [1, 0]]), backbone="clip")
    score = scored("similarity", queries, images)["similarity"]
    assert score.value == pytest.approx((1 + 0.5**0.5) / 2)
    assert score.label == "similarity"


def test_the_nearest_frame_is_the_one_of_the_greatest_cosine():
    frames = from_vectors(["x", "y"], torch.tensor([[5.0, 0], [0, 0.1]]), backbone="clip")
    queries = from_vectors(["b", "a"], torch.tensor([[1.0, 1], [0, -1]]), backbone="clip")
    score = scored("nearest-frame", queries, frames)["nearest-frame"]
    assert score.value == pytest.approx((0.5**0.5 + 0) / 2)
    assert (score.n, score.against) == (2, 2)


def test_the_rank_of_a_label_is_by_the_mean_cosine_with_its_images():
    """The nearest image is of label 1, whose other image is far away."""
    images = torch.tensor([[1.0, 0], [0.8, 0.6], [0.6, -0.8], [0, -1]])
    cosines = label_cosines(torch.tensor([[1.6, 1.2]]), images, torch.tensor([0, 1, 1, 2]))
    assert cosines.tolist() == [pytest.approx([0.8, 0.5, -0.6])]
    assert ranks(cosines, torch.tensor([1])).tolist() == [2]


def test_equal_scores_share_their_mean_rank_and_chance_is_the_middle():
    scores = torch.tensor([[3.0, 1, 1, 0], [2, 2, 2, 2]])
    assert ranks(scores, torch.tensor([1, 0])).tolist() == [2.5, 2.5]
    labels = from_vectors(["a", "b"], torch.eye(4)[[1, 0]], backbone="clip")
    score = scored("label-rank", from_vectors(["a", "b"], scores, backbone="clip"), labels)
    assert score["label-rank"].value == 2.5
    assert score["label-rank"].notes[0].startswith("Of 4 labels, ")


def test_the_divergence_is_that_of_the_definition():
    """Of the original's 3:1 by the made sound's 1:1, but for the floor under both."""
    made, original = rows([0.5, 0.5]), rows([0.75, 0.25])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert scored("kl", made, original)["kl"].value == pytest.approx(expected, abs=1e-5)


def test_the_divergence_takes_the_mean_of_a_sounds_windows():
    made = rows([1.0, 0.0], [0.0, 1.0], windows=2)
    assert scored("kl", made, rows([0.5, 0.5]))["kl"].value == pytest.approx(0, abs=1e-9)


def test_a_class_ruled_out_costs_much_but_not_everything():
    value = scored("kl", rows([1.0, 0.0]), rows([0.0, 1.0]))["kl"].value
    assert 10 < value < 20


def test_accuracy_counts_the_sounds_that_are_tagged_as_their_class():
    tagger = ZeroShotTagger(Bands(), TEXTS)
    made = tagged(embed_sounds(tones(), Bands()), tagger)
    right = {name: TEXTS[i % 8] for i, (name, _) in enumerate(tones())}
    assert scored("accuracy", made, tagger.labels(right))["accuracy"].value == 1
    half = right | dict.fromkeys(list(right)[8:], TEXTS[0])
    assert scored("accuracy", made, tagger.labels(half))["accuracy"].value == 9 / 16


def test_ten_of_ten_sounds_are_no_proof_of_all():
    tagger, names = ZeroShotTagger(Bands(), TEXTS), [f"{i:02d}" for i in range(10)]
    made = tagged(embed_sounds(tones(), Bands()), tagger).only(names)
    score = scored("accuracy", made, tagger.labels({n: TEXTS[int(n) % 8] for n in names}))
    assert score["accuracy"].interval == pytest.approx((10 / (10 + 1.959964**2), 1))


def test_tags_are_probabilities_of_the_classes():
    tagger = ZeroShotTagger(Bands(), TEXTS)
    tags = probabilities(tagged(embed_sounds(tones(), Bands()), tagger))
    assert tags.shape == (16, 8)
    torch.testing.assert_close(tags.sum(1), torch.ones(16).double(), rtol=0, atol=1e-6)
    assert (tags.argmax(1) == torch.arange(16) % 8).all()


def test_tags_are_the_softmax_of_the_scaled_cosines():
    sound, backbone = tone(700), Bands()
    rows = backbone.embed(sound.samples, RATE)
    cosines = rows @ backbone.embed_text(TEXTS).T
    weights = (backbone.logit_scale * cosines.double()).exp()
    tags = ZeroShotTagger(backbone, TEXTS).tag(rows)
    torch.testing.assert_close(tags, (weights / weights.sum(1, keepdim=True)).float())


@pytest.mark.parametrize("name", ["kl", "accuracy"])
def test_rows_that_are_not_probabilities_are_rejected(name):
    with pytest.raises(ValueError, match="rows of 'b' are not class probabilities"):
        scored(name, rows([0.5, 0.5]), rows([-1.0, 2.0]))
    with pytest.raises(ValueError, match="not class probabilities"):
        scored(name, rows([0.5, 0.6]), rows([0.5, 0.5]))


@pytest.mark.parametrize(("classes", "got"), [([], 0), (["240 Hz"], 1), (["240 Hz"] * 2, 1)])
def test_a_tagger_of_less_than_two_classes_is_rejected(classes, got):
    wanted = f"'accuracy' and 'kl' need two or more different prompts, got {got}; give `prompts`, "
    with pytest.raises(UsageError, match=wanted):
        ZeroShotTagger(Bands(), classes)


def test_a_tagger_takes_each_class_once():
    with pytest.raises(ValueError, match="a class is given twice"):
        ZeroShotTagger(Bands(), ["240 Hz", "240 Hz", "900 Hz"])


def test_labels_the_tagger_does_not_know_are_rejected():
    tagger = ZeroShotTagger(Bands(), TEXTS)
    with pytest.raises(UsageError, match=r"knows no class 'a dog'; it has 8, such as '240.0 Hz'"):
        tagger.labels({"a": "a dog"})
    with pytest.raises(UsageError, match="There are no labels"):
        tagger.labels({})
