import pytest
import torch
from features import Features
from prototypes import prototypes
from sounds import LabelledSounds, PictureSounds, Sounds, TitledPictures, Waves
from torch.nn.functional import one_hot


def unit(*rows, dim=8):
    """Rows of the identity: a vector tells which it is."""
    return one_hot(torch.tensor(rows), dim).half()


@pytest.fixture
def features():
    """Cat has pictures 0 (train) and 1 (test) of two views; dog has only synthetic ones."""
    return Features(
        encoder="hand-made",
        labels=["cat", "dog"],
        picture_embeds=torch.stack([unit(0, 1), unit(2, 3)]),
        picture_labels=torch.tensor([0, 0]),
        picture_is_test=torch.tensor([False, True]),
        class_embeds=unit(4, 5),
        class_labels=torch.tensor([1, 1]),
        image_embeds=unit(0, 4, 6),
        texts=["a photo of cat", "a photo of dog", "a title"],
        text_embeds=unit(0, 1, 2),
        encodings=torch.arange(1.0, 7.0)[:, None].expand(6, 4).half(),
        offsets=torch.tensor([0, 1, 3, 6]),
        pairs=torch.tensor([[2, 2, 0], [0, 0, 1], [1, 1, 1]]),
    )


@pytest.fixture
def sounds():
    waves = torch.arange(3)[:, None].expand(3, 1024).to(torch.int16) * 1000
    return Sounds(["a", "b", "c"], ["cat", "dog", "cat"], waves, torch.zeros(3, 1, 64, 2))


def drawn(dataset, count=200):
    return dataset.sample(count, torch.Generator().manual_seed(0))


def test_no_sound_is_paired_with_a_held_out_image_or_another_label(sounds, features):
    batch = drawn(PictureSounds(sounds, features))
    seen = batch["embed"].argmax(dim=1)
    dog = batch["clip"] == 1
    assert set(seen[~dog].tolist()) == {0, 1}
    assert set(seen[dog].tolist()) == {4, 5}


def test_a_label_without_any_training_image_is_rejected(sounds, features):
    features.picture_is_test[:] = True
    with pytest.raises(ValueError, match="label 'cat' has no training picture"):
        PictureSounds(sounds, features)


def test_labelled_sounds_have_the_text_of_their_label(sounds, features):
    dataset = LabelledSounds(sounds, features, torch.eye(2, 7))
    batch = drawn(dataset)
    assert torch.equal(batch["embed"].argmax(dim=1), (batch["clip"] == 1).long())
    assert [dataset.name(clip) for clip in range(len(dataset))] == ["a", "b", "c"]


def test_titled_images_draw_each_source_as_often(features):
    dataset = TitledPictures(features, max_text_len=5, sources=(0, 1))
    batch = drawn(dataset, 1000)
    titled = batch["clip"] == 2
    assert titled.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert set(batch["embed"][titled].argmax(dim=1).tolist()) == {6}
    assert len(dataset) == 3
    assert dataset.name(2) == "a title"


def test_encodings_of_texts_are_zero_after_their_end(features):
    encodings = features.encodings_of(torch.tensor([1, 0]), 4)
    assert encodings.shape == (2, 4, 4)
    assert encodings[:, :, 0].tolist() == [[2, 3, 0, 0], [1, 0, 0, 0]]


def test_waves_are_in_range_next_to_their_mels(sounds):
    batch = drawn(Waves(sounds), 50)
    torch.testing.assert_close(batch["wave"][:, 0], batch["clip"] * 1000 / 32768)
    assert batch["mel"].shape == (50, 1, 64, 2)


def test_a_synthetic_image_is_taken_for_its_class():
    generator = torch.Generator().manual_seed(0)
    real = torch.rand(200, 12, generator=generator)
    weight = torch.randn(3, 12, generator=generator)
    made = prototypes([0, 1, 2] * 5, real, weight, torch.zeros(3), generator)
    assert made.shape == (15, 12)
    assert made.min() >= 0
    assert made.max() <= 6
    assert (made @ weight.T).argmax(dim=1).tolist() == [0, 1, 2] * 5
