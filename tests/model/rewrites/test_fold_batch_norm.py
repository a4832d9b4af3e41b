"""Folding against torch's own batch norm, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgefer.model.rewrites.fold_batch_norm import fold_batch_norm


def pair(bias: bool, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    torch.manual_seed(3)
    conv = nn.Conv2d(4, 6, 3, stride=stride, padding=1, bias=bias).double()
    norm = nn.BatchNorm2d(6).double().eval()
    for tensor, low, high in ((norm.weight, -2, 2), (norm.bias, -1, 1), (norm.running_mean, -1, 1)):
        nn.init.uniform_(tensor, low, high)
    nn.init.uniform_(norm.running_var, 0.01, 4)
    return conv, norm


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 17])
@torch.no_grad()
def test_equals_convolution_then_norm(bias: bool, stride: int, size: int) -> None:
    conv, norm = pair(bias, stride)
    x = torch.randn(2, 4, size, size, dtype=torch.double)
    torch.testing.assert_close(fold_batch_norm(conv, norm)(x), norm(conv(x)), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_channel_with_zero_variance() -> None:
    conv, norm = pair(True)
    norm.running_var[2] = 0
    x = torch.randn(2, 4, 5, 5, dtype=torch.double)
    torch.testing.assert_close(fold_batch_norm(conv, norm)(x), norm(conv(x)), rtol=1e-9, atol=1e-9)


def test_the_originals_stay() -> None:
    conv, norm = pair(True)
    weight, bias = conv.weight.clone(), norm.bias.clone()
    fold_batch_norm(conv, norm)
    assert torch.equal(conv.weight, weight)
    assert torch.equal(norm.bias, bias)
