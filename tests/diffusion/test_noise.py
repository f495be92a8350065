import pytest
import torch

from clipsonic_cli.diffusion.noise import SeededNoise


def test_a_seed_gives_the_same_row_alone_and_in_a_batch():
    batch, alone = SeededNoise([3, 7, 11]), SeededNoise([7])
    for _ in range(2):
        assert torch.equal(batch((3, 2, 5))[1:2], alone((1, 2, 5)))


def test_equal_seeds_give_equal_noise_and_others_do_not():
    first, second, other = SeededNoise([1, 1, 2])((3, 100))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_successive_draws_differ():
    noise = SeededNoise([0])
    assert not torch.equal(noise((1, 9)), noise((1, 9)))


def test_noise_is_standard_normal():
    row = SeededNoise([5])((1, 100_000))
    assert row.mean().item() == pytest.approx(0, abs=0.01)
    assert row.std().item() == pytest.approx(1, abs=0.01)


def test_another_precision_rounds_the_same_draw():
    like = torch.zeros(1, dtype=torch.float64)
    assert torch.equal(SeededNoise([4])((1, 8), like), SeededNoise([4])((1, 8)).double())


def test_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    SeededNoise([4])((1, 8))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_noise_for_another_number_of_samples_is_rejected():
    with pytest.raises(ValueError, match="2 seeds cannot draw noise for 3 samples"):
        SeededNoise([1, 2])((3, 4))


@pytest.mark.cuda
def test_a_gpu_embeds_the_same_noise():
    on_gpu = SeededNoise([4])((1, 8), torch.zeros(1, device="cuda"))
    assert torch.equal(on_gpu.cpu(), SeededNoise([4])((1, 8)))
