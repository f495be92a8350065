import argparse

import folder
import torch
from make_media import put

from clipsonic_cli.data.listing import list_clips
from clipsonic_cli.data.splits import SplitDraw


def test_the_list_has_no_labels(tmp_path):
    put(tmp_path / "videos" / "train" / "dog" / "a.mp4", b"nonsense")
    row = {"media": "videos/train/dog/a.mp4", "label": "dog", "split": "train"}
    path = folder.write_list(tmp_path / "folder" / "videos.jsonl", folder.unlabeled([row]))
    (clip,) = list_clips(str(path), splits=SplitDraw()).clips
    assert (clip.label, clip.split, clip.problem) == (None, "train", None)


def test_each_label_is_asked_for_as_often_and_by_its_held_out_pictures(tmp_path):
    pictures = [
        {"label": "dog", "split": "test", "path": "a.png"},
        {"label": "dog", "split": "test", "path": "b.png"},
        {"label": "dog", "split": "train", "path": "c.png"},
    ]
    by_picture = folder.ask("iq", ["dog"], tmp_path, pictures, 3)
    assert [recipe.image for recipe in by_picture] == [
        str(tmp_path / name) for name in ("a.png", "b.png", "a.png")
    ]
    by_text = folder.ask("pd", ["dog"], tmp_path, pictures, 2)
    assert [(recipe.text, recipe.seed) for recipe in by_text] == [
        ("a photo of dog", 0),
        ("a photo of dog", 1),
    ]


def test_the_difference_is_that_from_pictures():
    right = {
        ("trained", "iq"): torch.full((10,), 0.5),
        ("trained", "db"): torch.full((10,), 0.75),
    }
    arguments = argparse.Namespace(steps=2, count=4)
    text = folder.page(right, "db", 0.9, 1234, ["dog"], arguments)
    assert "| trained | db (default) | 75% (75% to 75%) | 25% (25% to 25%) |" in text
    assert "1,234 unlabeled videos" in text
