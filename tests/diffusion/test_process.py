import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_cli.config import DiffusionConfig
from clipsonic_cli.diffusion.process import Process, cosine_alphas_cumprod
from clipsonic_cli.diffusion.timesteps import spaced_timesteps

PAPER = Process(DiffusionConfig())
PREDICTIONS = ["eps", "x0", "v"]
T = torch.tensor([0, 1, 2000, 3998])


def pair(shape=(4, 3, 5)):
    generator = torch.Generator().manual_seed(0)
    x_0 = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
    return x_0, torch.randn(shape, generator=generator, dtype=torch.float64)


def plain(prediction="eps", **more):
    return Process(DiffusionConfig(prediction=prediction, variance="fixed", **more))


PLAIN = {prediction: plain(prediction) for prediction in PREDICTIONS}


def test_the_schedule_has_the_numbers_of_improved_diffusion():
    assert PAPER.betas[0].item() == pytest.approx(9.8658e-6, rel=1e-4)
    assert PAPER.betas[-3:].tolist() == pytest.approx([0.55556, 0.75, 0.999], abs=1e-5)
    assert PAPER.alphas_cumprod[1999].item() == pytest.approx(0.49384, abs=1e-5)
    assert PAPER.alphas_cumprod[3999].item() == pytest.approx(1.518e-10, rel=1e-3)


def test_every_step_of_a_respaced_chain_covers_the_steps_it_skips():
    chain = PAPER.respaced([3000, 1500, 0])
    skipped = torch.prod(1 - PAPER.betas[1501:3001])
    assert chain.betas[2].item() == pytest.approx(1 - skipped.item(), rel=1e-9)
    assert torch.equal(chain.alphas_cumprod, PAPER.alphas_cumprod[[0, 1500, 3000]])


def test_visiting_every_step_is_the_schedule_itself():
    chain = PAPER.respaced(spaced_timesteps(4000, 4000))
    assert torch.equal(chain.betas, PAPER.betas)


def test_the_last_beta_of_a_thousand_steps_is_improved_diffusions():
    chain = PAPER.respaced(spaced_timesteps(4000, 1000))
    assert chain.betas[-1].item() == pytest.approx(0.99994, abs=5e-6)


def test_x_t_keeps_unit_variance_between_data_and_noise():
    alpha, sigma = PAPER.alpha_sigma(torch.arange(4000), torch.zeros(4000, 1).double())
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(4000, 1).double())


def test_the_posterior_agrees_with_bayes_rule():
    chain, t = PAPER.respaced(spaced_timesteps(4000, 25)), torch.tensor([13])
    x_0, x_t = torch.tensor([[[0.3]], [[-1.2]]], dtype=torch.float64)
    prior_variance = 1 - chain.alphas_cumprod[12]
    prior_mean = chain.alphas_cumprod[12].sqrt() * x_0
    slope, noise = (1 - chain.betas[13]).sqrt(), chain.betas[13]
    variance = 1 / (1 / prior_variance + slope**2 / noise)
    mean = variance * (prior_mean / prior_variance + slope * x_t / noise)
    torch.testing.assert_close(chain.posterior_mean(x_0, x_t, t), mean)
    torch.testing.assert_close(chain.posterior_variance[13], variance)


def test_the_posterior_of_the_first_level_is_the_data():
    x_0, eps = pair()
    mean = PAPER.posterior_mean(x_0, eps, torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(mean, x_0)


def test_variance_logits_span_the_posterior_variance_and_beta():
    ends = torch.tensor([-1.0, 1.0]).double().reshape(2, 1)
    t = torch.tensor([700, 700])
    low, high = PAPER.log_variance(t, ends, ends)[:, 0]
    assert low.item() == pytest.approx(PAPER.posterior_variance[700].log().item())
    assert high.item() == pytest.approx(PAPER.betas[700].log().item())


def test_the_log_variance_of_the_first_level_is_borrowed_from_the_second():
    log_variance = PAPER.log_variance(torch.tensor([0]), None, torch.zeros(1, 1).double())
    assert log_variance.item() == pytest.approx(PAPER.posterior_variance[1].log().item())


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_target_leads_back_to_data_and_noise(prediction):
    process, (x_0, eps) = PLAIN[prediction], pair()
    x_t = process.q_sample(x_0, T, eps)
    back = process.predict_x0(x_t, T, process.target(x_0, T, eps))
    torch.testing.assert_close(back, x_0, atol=1e-9, rtol=0)
    torch.testing.assert_close(process.eps_from_x0(x_t, T, x_0), eps, atol=1e-9, rtol=0)


@given(st.floats(-1, 1), st.floats(-4, 4), st.integers(0, 3990), st.sampled_from(PREDICTIONS))
def test_any_prediction_round_trips_at_any_level(value, noise, level, prediction):
    process, t = PLAIN[prediction], torch.tensor([level])
    x_0, eps = torch.tensor([[[value]], [[noise]]], dtype=torch.float64)
    x_t = process.q_sample(x_0, t, eps)
    back = process.predict_x0(x_t, t, process.target(x_0, t, eps))
    assert back.item() == pytest.approx(value, abs=1e-9)


def test_x0_is_clamped_only_where_the_config_says_so():
    x_t, t = torch.full((1, 2), 9.0), torch.tensor([10])
    assert plain("x0").predict_x0(x_t, t, x_t).max() == 1
    assert plain("x0", clip_x0=False).predict_x0(x_t, t, x_t).max() == 9


def test_an_output_is_split_into_prediction_and_logits():
    output = torch.arange(24.0).reshape(2, 4, 3)
    prediction, logits = PAPER.split(output, torch.zeros(2, 2, 3))
    assert torch.equal(prediction, output[:, :2])
    assert torch.equal(logits, output[:, 2:])
    assert plain().split(output, output)[1] is None


def test_a_half_precision_output_is_read_in_the_precision_of_x_t():
    prediction, _ = plain().split(torch.zeros(2, 3, dtype=torch.bfloat16), torch.zeros(2, 3))
    assert prediction.dtype == torch.float32


def test_an_output_without_the_learned_variance_is_rejected():
    with pytest.raises(ValueError, match=r"learned_range.*\(2, 4, 3\), got \(2, 2, 3\)"):
        PAPER.split(torch.zeros(2, 2, 3), torch.zeros(2, 2, 3))


def test_the_unets_time_is_a_thousand_times_the_share_of_the_schedule():
    assert PAPER.network_time(torch.tensor([0, 1, 3999])).tolist() == [0.0, 0.25, 999.75]
    prior = plain(train_steps=1000)
    assert prior.network_time(torch.tensor([7])).tolist() == [7.0]


@pytest.mark.parametrize("timesteps", [[], [4000], [-1, 3], [3, 3], [5, 1, 3]])
def test_timesteps_out_of_range_or_order_are_rejected(timesteps):
    with pytest.raises(ValueError, match="timesteps must"):
        PAPER.respaced(timesteps)


def test_an_unknown_schedule_is_rejected():
    with pytest.raises(ValueError, match="'linear'"):
        Process(DiffusionConfig(schedule="linear"))


def zero_snr(prediction="v", **more):
    return Process(DiffusionConfig(schedule="cosine-zero-snr", prediction=prediction, **more))


@pytest.mark.parametrize("train_steps", [2, 50, 1000, 4000])
def test_zero_snr_ends_in_pure_noise_and_begins_where_the_cosine_does(train_steps):
    process = zero_snr(train_steps=train_steps)
    x_0, eps = pair()
    assert process.alphas_cumprod[-1] == 0
    assert torch.equal(process.q_sample(x_0, torch.full((4,), train_steps - 1), eps), eps)
    assert process.alphas_cumprod[0] == cosine_alphas_cumprod(train_steps)[0]
    assert (process.alphas_cumprod.diff() < 0).all()


def test_zero_snr_is_the_cosine_shifted_and_scaled():
    """One scale and one shift map sqrt(alpha_bar) of the cosine to that of zero SNR."""
    plain, shifted = PAPER.alphas_cumprod.sqrt(), zero_snr().alphas_cumprod.sqrt()
    scale = plain[0] / (plain[0] - plain[-1])
    torch.testing.assert_close(shifted, scale * plain - scale * plain[-1], rtol=0, atol=1e-15)


def test_the_cosine_itself_is_unchanged():
    """Bit for bit, for models that were trained with it."""
    assert torch.equal(PAPER.alphas_cumprod, cosine_alphas_cumprod(4000))


@pytest.mark.parametrize("steps", [1, 2, 25, 4000])
def test_zero_snr_is_finite_in_any_chain(steps):
    chain = zero_snr().respaced(spaced_timesteps(4000, steps))
    assert chain.betas[-1] == 1
    for table in (chain.betas, chain.posterior_variance, chain.posterior_log_variance):
        assert table.isfinite().all()


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_the_target_leads_back_to_the_data_from_pure_noise(prediction):
    process, (x_0, eps) = zero_snr(prediction, variance="fixed"), pair()
    t = torch.tensor([0, 2000, 3998, 3999])
    x_t = process.q_sample(x_0, t, eps)
    back = process.predict_x0(x_t, t, process.target(x_0, t, eps))
    torch.testing.assert_close(back, x_0, atol=1e-9, rtol=0)
    torch.testing.assert_close(process.eps_from_x0(x_t, t, x_0), eps, atol=1e-9, rtol=0)
