"""Turn a convolution on a small map into one matrix product.

Engines tile convolutions over the map; on 1x1, 2x2 and 4x4 maps there is nothing to tile, and their kernels run far
below what a matrix product of the same weights reaches. Gathering the patches (im2col) of so few positions costs next
to nothing: y[position] = patch(position) @ W, with zero rows where a tap meets padding. Exact up to the order of
summation. Maps are kept as rows, [N, positions, channels], so that consecutive products need no transposition.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefer.model.rewrites.drop_dead_taps import output_size

# Largest output map, in positions, for which the product measured faster than the convolution in ONNX Runtime:
# benchmarks/specialize.py measures it, benchmarks/results/ holds what came out.
MAX_POSITIONS = 4


def applies(conv: nn.Conv2d, size: int) -> bool:
    """Whether the product is the faster form for a square input map of `size`."""
    return output_size(conv, size) ** 2 <= MAX_POSITIONS


def to_rows(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, H * W, C]."""
    return x.flatten(2).transpose(1, 2)


class MapProduct(nn.Module):
    """A convolution for one input map size: rows [N, size * size, C] -> rows [N, outputs, out_channels].

    `weight` is [taps * C, out_channels]; `index` [outputs * taps] names the input row of every tap, with row
    size * size standing for padding.
    """

    index: Tensor

    def __init__(self, conv: nn.Conv2d, size: int) -> None:
        super().__init__()
        table = patch_table(conv, size)
        self.outputs, self.taps = len(table), len(table[0])
        self.channels = conv.in_channels
        flat = [row for taps in table for row in taps]
        self.padded = size * size in flat
        self.identity = flat == list(range(size * size))
        self.register_buffer("index", torch.tensor(flat), persistent=False)
        weight = conv.weight.flatten(2).permute(2, 1, 0).reshape(-1, conv.out_channels).contiguous()
        assert conv.bias is not None
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(conv.bias.clone(), requires_grad=False)

    def patches(self, rows: Tensor) -> Tensor:
        """[N, size * size, C] -> [N, outputs, taps * C]."""
        if not self.identity:
            if self.padded:
                rows = F.pad(rows, (0, 0, 0, 1))
            rows = torch.index_select(rows, 1, self.index)  # one Gather; plain indexing exports as four nodes
        return rows.reshape(-1, self.outputs, self.taps * self.channels)

    def forward(self, rows: Tensor) -> Tensor:
        return self.patches(rows) @ self.weight + self.bias


def patch_table(conv: nn.Conv2d, size: int) -> list[list[int]]:
    """For each output position the input row that each tap reads; `size * size` where it meets padding."""
    kernel, stride, padding = conv.kernel_size[0], conv.stride[0], conv.padding[0]
    assert isinstance(padding, int)
    out = output_size(conv, size)

    def row(y: int, x: int) -> int:
        return y * size + x if 0 <= y < size and 0 <= x < size else size * size

    return [
        [row(oy * stride - padding + ky, ox * stride - padding + kx) for ky in range(kernel) for kx in range(kernel)]
        for oy in range(out)
        for ox in range(out)
    ]
