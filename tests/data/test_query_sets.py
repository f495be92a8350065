from pathlib import Path

import pytest
from PIL import Image

from clipsonic_cli.data import QUERY_SETS
from clipsonic_cli.data.imagehear import CLASSES
from clipsonic_cli.data.query_sets import QuerySet, find_images
from clipsonic_cli.errors import UsageError


def write(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 6)).save(folder / name)
    return folder


@pytest.mark.parametrize("name", QUERY_SETS)
def test_every_set_is_described(name):
    known = QUERY_SETS.load(name)
    assert isinstance(known, QuerySet)
    assert known.title in known.files
    assert known.images > 0


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("dog1.jpg", "dog"),
        ("guitar8.jpg", "guitar"),
        ("guitar18.png", "guitar"),
        ("dog.jpg", None),
        ("IMG_1234.jpg", None),
        ("hotdog1.jpg", None),
        ("dog1b.jpg", None),
        ("7.jpg", None),
    ],
)
def test_the_class_of_an_image_of_imagehear_is_in_its_name(name, label):
    assert QUERY_SETS.load("imagehear").label(Path("somewhere", name)) == label


def test_imagehear_has_thirty_classes():
    assert len(CLASSES) == 30


def test_images_are_found_at_any_depth(tmp_path):
    write(tmp_path / "Data" / "ImageHear", "rain2.jpg", "train1.jpg")
    (tmp_path / "README.md").touch()
    found = find_images("imagehear", tmp_path)
    assert {name: image.label for name, image in found.images.items()} == {
        "rain2": "rain",
        "train1": "train",
    }
    assert (found.left_out, found.missing) == ({}, 99)


def test_images_that_cannot_be_read_are_left_out(tmp_path):
    write(tmp_path, "cat1.jpg", "kitten.jpg", "cat1.png")
    (tmp_path / "cat2.jpg").write_bytes(b"nonsense")
    found = find_images("imagehear", tmp_path)
    assert [*found.images] == ["cat1"]
    assert found.left_out["cat1.png"] == "another image has this name"
    assert found.left_out["kitten.jpg"] == "no image of ImageHear by its name"
    assert "cat2.jpg" in found.left_out["cat2.jpg"]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (None, r"used \(it has no image files\); give the folder of ImageHear, with 'dog1\.jpg'"),
        ("holiday.jpg", r"\('holiday\.jpg' is left out: no image of ImageHear by its name\)"),
        ("dog1.jpg", r"\('dog1\.jpg' is left out: .* is empty \(0 bytes\)\); give"),
    ],
)
def test_a_folder_without_any_of_them_is_an_error(tmp_path, file, reason):
    if file is not None:
        (tmp_path / file).touch()
    with pytest.raises(UsageError, match=reason) as caught:
        find_images("imagehear", tmp_path)
    assert "\n" not in str(caught.value)
