import csv
import json

import classifier
import evaluate
import packages
import pytest
import torch

from clipsonic_cli.config import MelSpec

LABELS = ["cat", "dog", "violin"]


def test_shares_are_counted_per_label_that_was_requested():
    wanted = torch.tensor([0, 0, 0, 0, 2, 2])
    named = torch.tensor([0, 0, 0, 1, 0, 1])
    assert evaluate.by_label(named, wanted, LABELS) == {"cat": 0.75, "violin": 0.0}


def test_labels_count_alike_however_many_sounds_they_have():
    assert evaluate.mean({"cat": 1.0, "dog": 0.0, "violin": 0.5}) == 0.5


def test_the_standard_error_is_that_of_a_mean_over_labels():
    assert evaluate.standard_error({"cat": 1.0, "dog": 0.0}) == pytest.approx(0.5)


def test_the_nearest_training_clip_is_a_root_mean_square_away():
    train = torch.zeros(2, 1, 4, 8)
    train[1] = 10
    mels = torch.stack([torch.full((1, 4, 8), 0.5), torch.full((1, 4, 8), 9.0)])
    near = evaluate.nearest(mels, train)
    assert near["median"] == pytest.approx(0.75)
    assert near["5 %"] == pytest.approx(0.525)
    assert evaluate.nearest(train, train)["median"] == 0


@pytest.mark.parametrize("name", ["free_prompts", "photographs"])
def test_queries_expect_known_labels(name):
    known = {row["label"] for row in packages.rows("labels.csv")}
    for row in packages.rows(f"{name}.csv"):
        assert set(row["expected"].split("|")) <= known


def test_free_prompts_are_no_labels():
    prompts = packages.rows("free_prompts.csv")
    labels = packages.rows("labels.csv")
    known = {word for row in labels for word in (row["label"], *row["synonyms"].split("|"))}
    assert len({row["text"] for row in prompts}) == len(prompts) == 100
    assert not {row["text"].lower() for row in prompts} & known
    recipes = evaluate.free(prompts)
    assert [recipe.text for recipe in recipes.values()] == [row["text"] for row in prompts]


def test_nothing_is_learned_from_the_packages_of_photographs(tmp_path):
    rows = packages.rows("photographs.csv")
    learned = {
        r["package"] for kind in ("sounds", "pictures") for r in packages.rows(f"{kind}.csv")
    }
    assert not {row["package"] for row in rows} & learned
    (tmp_path / "photos").mkdir()
    for number in range(len(rows)):
        (tmp_path / "photos" / f"{number}.jpg").touch()
    recipes = evaluate.photographs(tmp_path, rows)
    assert {recipe.mode for recipe in recipes.values()} == {"iq"}
    assert len(recipes) == len(rows)


def test_what_was_named_is_written_beside_what_was_expected(tmp_path):
    row = {"text": "a tom", "expected": "cat|dog", "named": "cat", "more": "no"}
    evaluate.write_named(tmp_path / "results" / "prompts.csv", [row])
    lines = (tmp_path / "results" / "prompts.csv").read_text().splitlines()
    assert lines == ["text,expected,named", "a tom,cat|dog,cat"]


def test_results_are_written_with_gaps_where_a_label_has_no_sounds(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "RESULTS", tmp_path / "results")
    evaluate.write({"real": {"cat": 1, "dog": 0.5}, "iq": {"cat": 0.25}}, {"n": 1}, ["cat", "dog"])
    with (tmp_path / "results" / "accuracy.csv").open(encoding="utf-8") as file:
        assert [*csv.reader(file)] == [
            ["label", "real", "iq"],
            ["cat", "1.00", "0.25"],
            ["dog", "0.50", ""],
        ]
    assert json.loads((tmp_path / "results" / "results.json").read_text()) == {"n": 1}
    assert json.loads(capsys.readouterr().out) == {"n": 1}


@pytest.mark.parametrize("samples", [1000, 65_536, 90_000])
def test_the_judge_embeds_four_seconds_whatever_the_level(samples):
    waves = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    mel = classifier.mel_of(waves, MelSpec())
    assert mel.shape == (2, 1, 64, classifier.FRAMES)
    torch.testing.assert_close(classifier.mel_of(waves * 0.01, MelSpec()), mel, atol=1e-3, rtol=0)


def test_the_judge_learns_what_can_be_told_apart():
    """Smooth and striped bands: two labels that no roll in time, level or noise hides."""
    targets = torch.arange(64) % 2
    mels = torch.zeros(64, 1, 64, 16)
    mels[targets == 1, :, ::2] = 0.8
    with torch.random.fork_rng():
        judge = classifier.train(mels, targets, 2, epochs=16)
    assert not judge.training
    assert (classifier.predict(judge, mels, batch=50) == targets).all()


def test_a_judge_hears_the_splits_it_is_given_and_is_kept_by_them(tmp_path, monkeypatch):
    clips = [
        {"path": f"{split}-{n}", "label": LABELS[n % 3], "split": split}
        for split, count in (("train", 128), ("valid", 32), ("test", 64))
        for n in range(count)
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "clips.jsonl").write_text("clips")
    heard = []

    def read_clips(_root, paths, _spec):
        heard.append(paths)
        return torch.zeros(len(paths), 1, 64, 16)

    monkeypatch.setattr(classifier, "read_clips", read_clips)
    monkeypatch.setattr(classifier, "EPOCHS", 1)
    with torch.random.fork_rng():
        for splits in (("train",), ("valid", "test")):
            judge = evaluate.trained_judge(tmp_path, clips, LABELS, splits)
            again = evaluate.trained_judge(tmp_path, clips, LABELS, splits)
            assert torch.equal(judge.head.weight, again.head.weight)
    trained, other = heard
    assert {path.split("-")[0] for path in trained} == {"train"}
    assert {path.split("-")[0] for path in other} == {"valid", "test"}
    assert [len(trained), len(other)] == [128, 96]
