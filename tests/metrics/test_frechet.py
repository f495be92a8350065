import io
import math
import zipfile

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given

from clipsonic_cli.errors import UsageError
from clipsonic_cli.metrics.frechet import (
    Gaussian,
    Moments,
    Statistics,
    factor,
    frechet_distance,
    read_statistics,
    write_statistics,
)


def gaussian(mean, cov, n=100):
    as_double = {"dtype": torch.float64}
    return Gaussian(
        n=n, mean=torch.as_tensor(mean, **as_double), cov=torch.as_tensor(cov, **as_double)
    )


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def of(rows):
    moments = Moments(rows.shape[1])
    moments.add(rows)
    return moments.gaussian()


def statistics(rows, **more):
    fields = {"sounds": len(rows), "cluster_size": 1.0, "icc": 0.0} | more
    return Statistics(gaussian=of(rows), **fields)


def save(path, rows=None, backbone="vggish", identity="weights"):
    kept = statistics(drawn(9, 8) if rows is None else rows)
    write_statistics(path, kept, backbone=backbone, identity=identity)


def assert_same(a, b):
    assert a.n == b.n
    torch.testing.assert_close(a.mean, b.mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(a.cov, b.cov, rtol=1e-9, atol=1e-9)


@st.composite
def sets(draw, dim):
    """Few or many rows, of small, large and no spread: covariances of every rank."""
    rows = drawn(draw(st.integers(2, 12)), dim, seed=draw(st.integers(0, 99)))
    scales = draw(st.lists(st.sampled_from([0.0, 1e-8, 1.0, 1e4]), min_size=dim, max_size=dim))
    return of(rows * torch.tensor(scales) + draw(st.sampled_from([0.0, -1e4])))


@st.composite
def pairs(draw):
    dim = draw(st.integers(1, 6))
    return draw(sets(dim)), draw(sets(dim))


def test_shifted_gaussians_are_the_squared_shift_apart():
    cov = torch.cov(drawn(5, 40))
    seen = frechet_distance(gaussian([0, 0, 0, 0, 0], cov), gaussian([1, 2, 0, 0, -2], cov))
    assert seen == pytest.approx(9, rel=1e-12)


@pytest.mark.parametrize(("a", "b"), [(1.0, 4.0), (1e-12, 9.0), (0.0, 2.0), (1e12, 1e-12)])
def test_scaled_identities_are_the_squared_difference_of_deviations_apart(a, b):
    one, other = (
        gaussian(torch.zeros(7), scale * torch.eye(7, dtype=torch.float64)) for scale in (a, b)
    )
    expected = 7 * (math.sqrt(a) - math.sqrt(b)) ** 2
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-12)


def test_directions_of_rank_one_are_compared_by_their_angle():
    """Of u u^T and v v^T the root of the product has the trace |u . v|."""
    u, v = drawn(2, 9)
    one, other = (gaussian(torch.zeros(9), torch.outer(x, x)) for x in (u, v))
    expected = u @ u + v @ v - 2 * (u @ v).abs()
    assert frechet_distance(one, other) == pytest.approx(float(expected), rel=1e-9)


def test_it_agrees_with_the_root_of_the_product_of_scipy():
    a, b = of(drawn(400, 32)), of(drawn(500, 32, seed=1) @ drawn(32, 32, seed=2) / 4 + 0.3)
    root = scipy.linalg.sqrtm((a.cov @ b.cov).numpy()).real
    trace = float(a.cov.trace() + b.cov.trace()) - 2 * root.trace()
    expected = float((a.mean - b.mean).square().sum()) + trace
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [2, 20, 127, 1000])
def test_a_set_is_at_no_distance_from_itself(n):
    rows = drawn(n, 128) * torch.logspace(-6, 3, 128)
    a, again = of(rows), of(rows.flip(0))
    assert 0 <= frechet_distance(a, again) < 1e-13 * float(a.cov.trace())


def test_directions_that_hardly_vary_count():
    steep = torch.logspace(0, -12, 13, dtype=torch.float64)
    mean = torch.zeros(13, dtype=torch.float64)
    a, b = (Gaussian(n=99, mean=mean, cov=v.diag()) for v in (steep, 4 * steep))
    assert frechet_distance(a, b) == pytest.approx(float(steep.sum()), rel=1e-11)
    assert factor(a.cov).shape == (13, 13)


def test_close_sets_lose_no_digits():
    """What is left here is of the size of the rounding of the traces."""
    cov = torch.cov(drawn(16, 100))
    one, other = gaussian(torch.zeros(16), cov), gaussian(torch.zeros(16), cov * (1 + 1e-7) ** 2)
    expected = float(cov.trace()) * 1e-14
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-4)


def test_sets_of_fewer_rows_than_dimensions_are_compared():
    """In spaces at right angles nothing is shared: all of both spreads counts."""
    left, right = torch.zeros(5, 64), torch.zeros(4, 64)
    left[:, :30], right[:, 30:] = drawn(5, 30), drawn(4, 34, seed=1)
    a, b = (of(rows - rows.mean(0)) for rows in (left, right))
    expected = float(a.cov.trace() + b.cov.trace())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


@given(pairs())
def test_it_is_a_finite_number_from_0_up_and_the_same_both_ways(pair):
    a, b = pair
    seen, back = frechet_distance(a, b), frechet_distance(b, a)
    assert isinstance(seen, float)
    assert 0 <= seen < math.inf
    size = float(a.cov.trace() + b.cov.trace()) + float((a.mean - b.mean).square().sum())
    assert seen == pytest.approx(back, rel=1e-9, abs=1e-12 * size)
    assert seen <= size * (1 + 1e-9)


def test_vectors_of_other_sizes_are_not_compared():
    with pytest.raises(ValueError, match="one size, got 3 and 4"):
        frechet_distance(of(drawn(9, 3)), of(drawn(9, 4)))


def test_moments_are_mean_and_unbiased_covariance():
    rows = drawn(50, 6) @ drawn(6, 6, seed=1) + 3
    assert_same(of(rows), gaussian(rows.mean(0), torch.cov(rows.T), n=50))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(lambda s: sum(s) > 1), st.data())
def test_neither_batches_nor_their_order_matter(sizes, data):
    batches = list(drawn(sum(sizes), 4).split(sizes))
    moments = Moments(4)
    for batch in data.draw(st.permutations(batches)):
        moments.add(batch)
    assert_same(moments.gaussian(), of(torch.cat(batches)))


def test_a_small_spread_about_a_large_mean_is_kept():
    rows, moments = drawn(1000, 3), Moments(3)
    for row in (rows + 1e8).split(7):
        moments.add(row)
    torch.testing.assert_close(moments.gaussian().cov, torch.cov(rows.T), rtol=1e-6, atol=1e-6)


def test_a_gaussian_does_not_change_when_more_rows_are_added():
    rows, moments = drawn(20, 3), Moments(3)
    moments.add(rows[:10])
    early = moments.gaussian()
    moments.add(rows[10:])
    assert_same(early, of(rows[:10]))
    assert_same(moments.gaussian(), of(rows))


def test_rows_of_single_and_half_precision_are_summed_in_double():
    rows = drawn(3000, 2).bfloat16()
    assert_same(of(rows), of(rows.double()))


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (torch.zeros(3, 5), r"need rows \(B, 4\), got \(3, 5\)"),
        (torch.zeros(4), "need rows"),
        (torch.tensor([[0.0, 1, 2, math.nan]]), "not finite"),
    ],
)
def test_invalid_rows_are_rejected_and_none_is_added(rows, fault):
    moments = Moments(4)
    with pytest.raises(ValueError, match=fault):
        moments.add(rows)
    assert moments.n == 0


@pytest.mark.parametrize("n", [0, 1])
def test_less_than_two_rows_have_no_covariance(n):
    moments = Moments(4)
    moments.add(drawn(n, 4))
    with pytest.raises(ValueError, match=f"2 vectors or more for a covariance, got {n}"):
        moments.gaussian()


KNOWN = "alike, backbone, cov, identity, mean, n, sample_rate, seconds, sounds, windows"
GOOD = {
    "n": np.int64(9),
    "mean": np.zeros(4),
    "cov": np.eye(4),
    "sounds": np.int64(3),
    "windows": np.float64(3),
    "alike": np.float64(0.5),
    "sample_rate": np.int64(16_000),
    "seconds": np.float64(4),
    "backbone": np.str_("vggish"),
    "identity": np.str_("weights"),
}
BAD = {
    "got 1": {"n": np.int64(1)},
    "need a mean": {"mean": np.zeros(3)},
    "not finite": {"mean": np.array([0, np.inf, 0, 0])},
    "not symmetric": {"cov": np.triu(np.ones((4, 4)))},
    "negative eigenvalue, -1": {"cov": -np.eye(4)},
    "10000000000 vectors cannot be of 3 sounds": {"n": np.int64(10**10)},
    "9 vectors cannot be of 10 sounds": {"sounds": np.int64(10)},
    "9 vectors cannot be of -1 sounds": {"sounds": np.int64(-1)},
    "0 to 1, got 3.0 and nan": {"alike": np.float64(np.nan)},
    "sounds cannot have inf s": {"seconds": np.float64(np.inf)},
    "s at -1 Hz": {"sample_rate": np.int64(-1)},
    "cluster size of 1 to 9 .*, got nan and 0.5": {"windows": np.float64(np.nan)},
    f"it has {KNOWN}, not {KNOWN}": {"n": np.float64(100)},
    f"it has {KNOWN.replace('n, sample', 'more, n, sample')}, not": {"more": np.ones(1)},
    "it has nothing": None,
    "it is damaged": {"mean": np.array([None, 1, 2, 3])},
}


@pytest.mark.parametrize("fault", BAD)
def test_statistics_that_cannot_be_are_rejected_with_the_reason(tmp_path, fault):
    np.savez(tmp_path / "stats.npz", **({} if BAD[fault] is None else GOOD | BAD[fault]))
    with pytest.raises(
        UsageError, match=rf"stats\.npz' holds no statistics of features \(.*{fault}"
    ):
        read_statistics(tmp_path / "stats.npz", backbone="vggish")


def test_statistics_come_back_as_they_were_written(tmp_path):
    written = statistics(
        drawn(50, 8), sounds=20, cluster_size=2.7, icc=0.4, sample_rate=16_000, seconds=4.096
    )
    path = tmp_path / "stats of ☂"
    write_statistics(path, written, backbone="vggish", identity="weights")
    back = read_statistics(path, backbone="vggish", identity="weights")
    for name in ("n", "sounds", "cluster_size", "icc", "sample_rate", "seconds"):
        assert getattr(back, name) == getattr(written, name)
    assert torch.equal(back.gaussian.mean, written.gaussian.mean)
    assert torch.equal(back.gaussian.cov, written.gaussian.cov)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_sounds_of_mixed_rates_have_none_when_they_come_back(tmp_path):
    save(tmp_path / "stats.npz")
    back = read_statistics(tmp_path / "stats.npz", backbone="vggish")
    assert (back.sample_rate, back.seconds) == (None, None)


def test_statistics_of_another_backbone_are_rejected(tmp_path):
    save(tmp_path / "stats.npz", backbone="mini")
    with pytest.raises(
        UsageError, match=r"of 'mini' features, which cannot be compared .* 'vggish'"
    ):
        read_statistics(tmp_path / "stats.npz", backbone="vggish")


def test_statistics_by_other_weights_are_rejected_in_one_line(tmp_path):
    save(tmp_path / "stats.npz", identity="older")
    read_statistics(tmp_path / "stats.npz", backbone="vggish", identity="older")
    wanted = r"by other weights of 'vggish' \(older\) than are installed \(newer\); save them again"
    with pytest.raises(UsageError, match=wanted) as caught:
        read_statistics(tmp_path / "stats.npz", backbone="vggish", identity="newer")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"than are installed \(of no file\)"):
        read_statistics(tmp_path / "stats.npz", backbone="vggish", identity="")


def test_statistics_by_weights_of_no_file_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="'vggish' have no identity"):
        save(tmp_path / "stats.npz", identity="")
    assert not any(tmp_path.iterdir())


def test_statistics_without_their_weights_identity_are_to_be_saved_again(tmp_path):
    old = {name: GOOD[name] for name in ("n", "mean", "cov", "backbone")}
    np.savez(tmp_path / "stats.npz", **old)
    wanted = r"\(it has backbone, cov, mean, n, not .*\); save them again with `save_stats`"
    with pytest.raises(UsageError, match=wanted):
        read_statistics(tmp_path / "stats.npz", backbone="vggish")


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\3\4", b"\x93NUMPY\1\0v\0{}"])
def test_files_that_are_no_statistics_are_rejected_in_one_line(tmp_path, content):
    path = tmp_path / "stats.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="holds no statistics") as caught:
        read_statistics(path, backbone="vggish")
    assert "\n" not in str(caught.value)
    assert "pickle" not in str(caught.value)


@given(st.data())
def test_a_damaged_file_is_rejected_or_read_as_it_was(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    whole = drawn(9, 3)
    save(path, whole)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([at, len(content)]))])
    try:
        back = read_statistics(path, backbone="vggish", identity="weights")
    except UsageError:
        return
    assert_same(back.gaussian, of(whole))


def test_a_single_array_is_no_file_of_statistics(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    (tmp_path / "stats.npz").write_bytes(buffer.getvalue())
    with pytest.raises(UsageError, match=r"no \.npz"):
        read_statistics(tmp_path / "stats.npz", backbone="vggish")


def test_correlated_vectors_are_worth_fewer_and_less_so_for_the_covariance():
    seen = statistics(drawn(12, 2), sounds=4, cluster_size=3, icc=0.5)
    assert (seen.effective_sample_size(1), seen.effective_sample_size(2)) == (12 / 2, 12 / 1.5)
    assert statistics(drawn(12, 2), sounds=4, cluster_size=3, icc=1).effective_sample_size(1) == 4


def test_statistics_that_unpack_to_gigabytes_are_not_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    header = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (12_000, 12_000)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cov.npy", header.getvalue() + bytes(1000))
    with pytest.raises(UsageError, match=r"damaged, or no \.npz"):
        read_statistics(path, backbone="mini")
