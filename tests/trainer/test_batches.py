import threading

import pytest
import torch

from clipsonic_cli.trainer.batches import Feed, crop, draw_clips, random_starts


def test_a_crop_is_each_rows_own_window():
    values = torch.arange(24).view(2, 2, 6)
    cut = crop(values, torch.tensor([0, 3]), 3)
    assert cut.tolist() == [[[0, 1, 2], [6, 7, 8]], [[15, 16, 17], [21, 22, 23]]]


def test_every_window_that_fits_is_drawn():
    starts = random_starts(torch.zeros(500, 1, 8), 5, torch.Generator().manual_seed(0))
    assert starts.unique().tolist() == [0, 1, 2, 3]


def test_a_window_as_long_as_the_clip_is_the_clip():
    assert random_starts(torch.zeros(9, 4), 4, torch.Generator()).tolist() == [0] * 9


def test_a_window_longer_than_the_clip_is_rejected():
    with pytest.raises(ValueError, match="window of 64 does not fit into 63"):
        random_starts(torch.zeros(1, 63), 64, torch.Generator())


def add_noise(batch, generator):
    return {**batch, "noise": torch.rand(len(batch["clip"]), generator=generator)}


def feed(points, batch_size=6, rows=slice(0, 6)):
    generator = torch.Generator().manual_seed(0)
    return Feed(points, add_noise, batch_size=batch_size, rows=rows, generator=generator)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_clip_does_not_depend_on_its_neighbours(points):
    whole = draw_clips(points, add_noise, [5, 6, 7])
    alone = draw_clips(points, add_noise, [7])
    assert same(alone, {name: values[2:] for name, values in whole.items()})


def test_processes_share_one_batch_without_overlap(points):
    with (
        feed(points) as one,
        feed(points, rows=slice(0, 2)) as a,
        feed(points, rows=slice(2, 6)) as b,
    ):
        for _ in range(3):
            (whole, seed), (first, _), (second, other_seed) = one.next(), a.next(), b.next()
            assert seed == other_seed
            parts = {name: torch.cat([first[name], second[name]]) for name in whole}
            assert same(whole, parts)


def test_a_feed_goes_on_from_its_position(points):
    with feed(points) as unbroken, feed(points) as resumed:
        unbroken.next()
        resumed.generator.set_state(unbroken.position())
        for _ in range(2):
            assert same(unbroken.next()[0], resumed.next()[0])


def test_clips_of_different_lengths_make_a_batch_of_windows():
    class Ragged:
        def __len__(self):
            return 5

        def sample(self, batch_size, generator):
            clip = torch.randint(5, (batch_size,), generator=generator)
            return {"clip": clip, "mel": torch.zeros(1, 1, 2, 8 + int(clip))}

    def window(batch, generator):
        return {"mel": crop(batch["mel"], random_starts(batch["mel"], 8, generator), 8)}

    assert draw_clips(Ragged(), window, range(20))["mel"].shape == (20, 1, 2, 8)


def test_the_next_batch_is_made_in_the_background(points):
    threads = []

    def watched(batch, generator):
        threads.append(threading.current_thread())
        return batch

    with Feed(
        points, watched, batch_size=1, rows=slice(0, 1), generator=torch.Generator()
    ) as batches:
        batches.next()
    assert threading.main_thread() not in threads


def test_what_goes_wrong_with_a_clip_is_raised_where_the_batch_is_taken():
    class Broken:
        def sample(self, batch_size, generator):
            raise OSError("clip 7 is gone")

    with feed(Broken()) as batches, pytest.raises(OSError, match="clip 7"):
        batches.next()
