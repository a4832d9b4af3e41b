"""Fold a batch norm into the convolution before it.

At inference BN is y = gamma (x - mean) / sqrt(var + eps) + beta, an affine map per channel, and so is a convolution:
scale its filters by gamma / sqrt(var + eps) and shift its bias. Exact; computed in float64 so that the only rounding is
that of the final weights. Always applies.
"""

from __future__ import annotations

import torch
from torch import nn


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return one convolution equal to `norm(conv(x))` in eval mode, in the dtype of `conv`."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.double()
    weight = conv.weight.double() * scale[:, None, None, None]
    bias = (bias - norm.running_mean.double()) * scale + norm.bias.double()
    return convolution(conv, weight, bias, conv.padding)


def convolution(like: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor, padding: object) -> nn.Conv2d:
    """Return a convolution with `like`'s stride and dtype and the given weights, without initialising it first."""
    out_channels, in_channels, *kernel = weight.shape
    with torch.device("meta"):
        conv = nn.Conv2d(in_channels, out_channels, tuple(kernel), like.stride, padding)  # type: ignore[arg-type]
    dtype = like.weight.dtype
    conv.load_state_dict({"weight": weight.to(dtype).contiguous(), "bias": bias.to(dtype)}, assign=True)
    return conv.eval().requires_grad_(False)
