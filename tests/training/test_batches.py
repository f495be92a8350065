import pytest
import torch

from clipsonic_cli.training.batches import crop, random_starts


def test_a_crop_is_each_rows_own_window():
    values = torch.arange(24).view(2, 2, 6)
    cut = crop(values, torch.tensor([0, 3]), 3)
    assert cut.tolist() == [[[0, 1, 2], [6, 7, 8]], [[15, 16, 17], [21, 22, 23]]]


def test_every_window_that_fits_is_drawn():
    starts = random_starts(torch.zeros(500, 1, 8), 5, torch.Generator().manual_seed(0))
    assert starts.unique().tolist() == [0, 1, 2, 3]


def test_a_window_as_long_as_the_clip_is_the_clip():
    assert random_starts(torch.zeros(9, 4), 4, torch.Generator()).tolist() == [0] * 9


def test_a_window_longer_than_the_clip_is_refused():
    with pytest.raises(ValueError, match="window of 64 does not fit into 63"):
        random_starts(torch.zeros(1, 63), 64, torch.Generator())
