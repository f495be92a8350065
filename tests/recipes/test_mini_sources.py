"""The tables of what the embedded model is made of."""

from collections import Counter

import data
import packages
import phrases
import pytest
from data import class_indices

LABELS = {row["label"]: row for row in packages.rows("labels.csv")}
PERMISSIVE = ("CC0-1.0", "PD", "MIT", "OFL-1.1", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0")
SHARE_ALIKE = ("CC-BY-SA", "Free Art License")


def files():
    return [row for table in ("sounds.csv", "pictures.csv") for row in packages.rows(table)]


def test_no_licence_forbids_use_or_change():
    for row in [*files(), *packages.rows("packages.csv")]:
        assert row["licence"]
        assert not {"NC", "ND"} & set(row["licence"].replace("-", " ").split())


def test_every_file_is_permissive_or_share_alike_by_its_own_licence():
    for row in files():
        if row["licence_class"] == "permissive":
            assert row["licence"] in PERMISSIVE
        else:
            assert row["licence_class"] == "share-alike"
            assert any(name in row["licence"] for name in SHARE_ALIKE), row


def test_every_file_is_of_a_known_label_and_package():
    known = {row["package"] for row in packages.rows("packages.csv")} | {"clipsonic"}
    for row in files():
        assert row["label"] in LABELS
        assert row["package"] in known


def test_no_file_is_named_twice_in_a_table():
    for table in ("sounds.csv", "pictures.csv"):
        (_, most), *_ = Counter(
            (row["label"], row["package"], row["path"]) for row in packages.rows(table)
        ).most_common(1)
        assert most == 1


def test_no_picture_is_held_out_and_trained_on():
    split = {}
    for row in packages.rows("pictures.csv"):
        # An emoji is named by its code point, with or without its name.
        path = row["path"]
        picture = row["package"], path[:10] if path.startswith("cbdt:") else path
        assert split.setdefault(picture, row["split"]) == row["split"], row


def test_labels_are_unique_and_those_not_played_have_recordings():
    assert len(LABELS) == len(packages.rows("labels.csv")) > 120
    recorded = {row["label"] for row in packages.rows("sounds.csv")}
    assert {name for name, row in LABELS.items() if row["kind"] == "recorded"} <= recorded


def test_every_label_has_a_picture_or_a_class_to_train_on():
    shown = {row["label"] for row in packages.rows("pictures.csv") if row["split"] == "train"}
    assert {row["label"] for row in LABELS.values() if not row["imagenet"]} <= shown


def test_drawings_of_the_recipe_are_there_and_all_used():
    drawn = {
        row["path"].removeprefix("drawing:")
        for row in packages.rows("pictures.csv")
        if row["package"] == "clipsonic"
    }
    assert drawn == {path.name for path in (packages.SOURCES / "drawings").iterdir()}


def test_nothing_is_learned_from_soundfonts_that_are_held_out():
    licence = {row["package"]: row["licence"] for row in packages.rows("packages.csv")}
    named = {split: package for split, (package, _) in data.SOUNDFONTS.items()}
    assert licence[named["train"]] == "MIT"
    for split in ("valid", "test"):
        assert "nothing is learned from it" in licence[named[split]]
    assert not {row["package"] for row in files()} & set(named.values())


def test_classes_of_imagenet_belong_to_one_label_each():
    every = [index for row in LABELS.values() for index in class_indices(row["imagenet"])]
    assert len(set(every)) == len(every)
    assert all(0 <= index < 1000 for index in every)


@pytest.mark.parametrize(
    "label", [row for row in LABELS.values() if row["kind"] != "recorded"], ids=lambda r: r["label"]
)
def test_every_instrument_can_be_composed_for(label):
    notes, _ = phrases.compose(label, "x")
    assert notes
    assert all(0 <= key <= 127 for _, _, key, _ in notes)


def test_packages_have_a_sha256_and_an_index_that_is_known():
    for row in packages.rows("packages.csv"):
        assert row["index"] in ("debian", "pypi", "npm")
        assert len(bytes.fromhex(row["sha256"])) == 32
