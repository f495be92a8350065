"""A model as the source of an evaluation, with a named set of images."""

import dataclasses

import pytest
import torch
from PIL import Image

from clipsonic_cli.config import Recipe
from clipsonic_cli.errors import UsageError
from clipsonic_cli.evaluation import backbones
from clipsonic_cli.evaluation.evaluate import evaluate, preview
from clipsonic_cli.evaluation.model_source import Generation
from clipsonic_cli.evaluation.plan import EvalRequest
from clipsonic_cli.evaluation.systems import Needs
from clipsonic_cli.metrics import BACKBONES

CPU = torch.device("cpu")


@pytest.fixture
def run(fakes, tmp_path):
    def run(source, *metrics):
        request = EvalRequest(name="x", out=tmp_path / "out", metrics=metrics, source=source)
        return evaluate(request, device=CPU)

    return run


@pytest.fixture
def images(micro, tmp_path):
    """ImageHear with four images, in place of clips."""
    folder = tmp_path / "im2wav" / "Data" / "ImageHear"
    folder.mkdir(parents=True)
    for index, name in enumerate(("bass1", "cat1", "cat2", "gun3")):
        Image.new("RGB", (40, 30), (60 * index, 90, 120)).save(folder / f"{name}.jpg")
    queries = ("imagehear", tmp_path / "im2wav")
    recipe = Recipe(sampler="dpmpp", steps=2, seconds=0.6)
    return Generation(models=(str(micro),), recipe=recipe, queries=queries)


def test_images_of_a_set_are_the_queries_and_their_classes_the_texts(run, images, monkeypatch):
    monkeypatch.setitem(BACKBONES._entries, "wav2clip", "fake_backbones:FakeImageBackbone")
    monkeypatch.setattr(backbones, "is_here", lambda name: name == "wav2clip")
    results = run(images, "fad", "cs", "clap", "accuracy")
    [row] = results.rows
    assert (row.system, row.guidance) == ("iq", 1.5)
    assert [(s.metric, s.n) for s in row.scores] == [("cs", 4), ("clap", 4), ("accuracy", 4)]
    samples = {s.name: (s.prompt, s.image.name, {*s.paths}) for s in results.samples}
    assert samples["cat2"] == ("a photo of cat", "cat2.jpg", {"iq w=1.5"})
    assert [*samples] != sorted(samples)  # so that the first few are of several classes
    assert results.settings["queries"] == "imagehear"
    assert "4 of the 101 images of ImageHear are used" in results.notes
    assert any(
        note.startswith("fad[mini] left out: there are no true sounds") for note in results.notes
    )


def test_images_of_a_set_are_for_all_modes_that_are_requested(run, images):
    results = run(dataclasses.replace(images, modes=("iq", "zs"), count=3), "clap")
    assert [(row.system, row.scores[0].n) for row in results.rows] == [("iq", 3), ("zs", 3)]
    results = run(images, "similarity")
    assert [(row.system, row.scores[0].n) for row in results.rows] == [("zs", 4), ("pd", 4)]


def test_images_that_cannot_be_used_are_left_out_with_a_reason(run, images):
    folder = images.queries[1] / "Data" / "ImageHear"
    (folder / "dog1.jpg").write_bytes(b"nonsense")
    (folder / "dog.jpg").write_bytes(b"")
    Image.new("RGB", (8, 8)).save(folder / "cat1.png")
    results = run(dataclasses.replace(images, count=1), "clap")
    place = "Data/ImageHear"
    assert set(results.files_left_out) == {
        f"{place}/{n}" for n in ("dog.jpg", "dog1.jpg", "cat1.png")
    }
    assert results.files_left_out[f"{place}/dog.jpg"] == "no image of ImageHear by its name"
    assert results.files_left_out[f"{place}/cat1.png"] == "another image has this name"
    assert sum(note.startswith("left out 3 files: ") for note in results.notes) == 1


def test_a_preview_counts_the_images_of_a_set(images, fakes, tmp_path):
    request = EvalRequest(name="x", out=tmp_path / "out", metrics=("clap",), source=images)
    before = preview(request, device=CPU)
    assert (before.work.systems, before.work.sounds) == (("iq w=1.5",), 4)
    evaluate(request, device=CPU)
    assert preview(request, device=CPU).work.there == 4


def test_another_set_is_rejected_before_weights_are_read(images):
    source = dataclasses.replace(images, queries=("images", images.queries[1]))
    with pytest.raises(UsageError, match="Unknown query set 'images'"):
        source.prepare(Needs(), CPU)
