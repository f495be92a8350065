import pytest
import torch
from torch.nn import functional as F

from clipsonic_cli.models.group_norm import GroupNorm32

SHAPES = [(2, 64, 7), (3, 96, 4, 5), (1, 32, 3, 1)]


def norm_of(channels, generator):
    norm = GroupNorm32(channels)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn(channels, generator=generator))
    return norm


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("learns", [False, True])
def test_a_norm_is_evaluated_in_float32_and_keeps_the_dtype(dtype, learns):
    norm = GroupNorm32(64).to(dtype)
    x = (100 + torch.randn(2, 64, 50)).to(dtype)  # in half precision, the mean would take the rest
    with torch.set_grad_enabled(learns):
        y = norm(x)
    assert y.dtype == dtype
    expected = F.group_norm(x.double(), 32, eps=norm.eps)
    torch.testing.assert_close(y.double(), expected, atol=0.02, rtol=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_pass_that_learns_gives_what_the_other_does(shape):
    norm = norm_of(shape[1], torch.Generator().manual_seed(0))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = norm(x)
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_gradients_are_those_of_pytorch_in_float64(shape, shift):
    generator = torch.Generator().manual_seed(2)
    norm = norm_of(shape[1], generator)
    x = (torch.randn(shape, generator=generator) + shift).requires_grad_()
    dy = torch.randn(shape, generator=generator)
    if x.ndim == 4:
        dy = dy.to(memory_format=torch.channels_last)
    norm(x).backward(dy)
    exact = [each.detach().double().requires_grad_() for each in (x, norm.weight, norm.bias)]
    F.group_norm(exact[0], 32, *exact[1:], norm.eps).backward(dy.double())
    for ours, theirs in zip((x, norm.weight, norm.bias), exact, strict=True):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-4, rtol=1e-4)


def test_gradients_keep_dtype_and_layout():
    norm = GroupNorm32(32)
    x = torch.randn(2, 32, 4, 6, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    x.requires_grad_()
    norm(x).float().square().sum().backward()
    assert x.grad.dtype == torch.bfloat16
    assert x.grad.is_contiguous(memory_format=torch.channels_last)
    assert norm.weight.grad.dtype == torch.float32
