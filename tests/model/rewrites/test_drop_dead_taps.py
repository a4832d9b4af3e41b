"""Cut convolutions against whole ones, and liveness against gradients, which know nothing of the rewrite."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgefer.model.rewrites.drop_dead_taps import drop_dead_taps, live_taps, output_size


def conv(kernel: int = 3, stride: int = 1, padding: int = 1) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(3, 5, kernel, stride, padding).double().requires_grad_(False)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8])
def test_equals_the_whole_convolution(stride: int, size: int) -> None:
    whole = conv(stride=stride)
    x = torch.randn(2, 3, size, size, dtype=torch.double)
    torch.testing.assert_close(drop_dead_taps(whole, size)(x), whole(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_live_taps_are_those_with_a_gradient(stride: int, size: int) -> None:
    whole = conv(stride=stride).requires_grad_(True)
    whole(torch.rand(1, 3, size, size, dtype=torch.double) + 1).sum().backward()
    assert whole.weight.grad is not None
    rows = whole.weight.grad.abs().sum((0, 1, 3)).nonzero().flatten().tolist()
    assert live_taps(whole, size) == (rows[0], rows[-1])


@pytest.mark.parametrize(
    ("stride", "size", "kernel"), [(2, 2, 2), (1, 1, 1), (2, 1, 1), (1, 2, 3), (2, 4, 3), (2, 3, 3)]
)
def test_what_is_left(stride: int, size: int, kernel: int) -> None:
    whole = conv(stride=stride)
    cut = drop_dead_taps(whole, size)
    assert cut.kernel_size == (kernel, kernel)
    assert output_size(cut, size) == output_size(whole, size)
    assert (cut is whole) == (kernel == 3)


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), [(5, 3, 4, 2), (6, 4, 5, 3), (7, 3, 4, 4)])
def test_declines_where_the_padding_would_be_lopsided(kernel: int, stride: int, padding: int, size: int) -> None:
    """A tap is dead here, but the rest would need another padding before than after, which nn.Conv2d has not."""
    whole = conv(kernel, stride, padding)
    first, last = live_taps(whole, size)
    assert (first, last) != (0, kernel - 1)
    assert drop_dead_taps(whole, size) is whole
