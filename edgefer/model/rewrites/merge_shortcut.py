"""Merge the 1x1 shortcut with the convolution it is added to.

A residual block computes A h + B x: as matrix products, A and B stacked against h and x laid side by side give the sum
in one product, [h x] @ [A; B]. Exact up to the order of summation. It needs both in product form: as convolutions the
1x1 filter would have to be padded to 3x3 with zeros, which costs more than the addition it saves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgefer.model.rewrites.map_product import MapProduct


class MergedProduct(nn.Module):
    """`main(h) + side(x)` as one product. Takes over the weights of both."""

    def __init__(self, main: MapProduct, side: MapProduct) -> None:
        super().__init__()
        if main.outputs != side.outputs:
            raise ValueError(f"cannot add maps of {main.outputs} and {side.outputs} positions")
        self.weight = nn.Parameter(torch.cat([main.weight, side.weight]), requires_grad=False)
        self.bias = nn.Parameter(main.bias + side.bias, requires_grad=False)
        # Only the patch gathering of the two is still needed; their own weights must not be stored twice.
        for part in (main, side):
            del part.weight, part.bias
        self.main, self.side = main, side

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        return torch.cat([self.main.patches(h), self.side.patches(x)], -1) @ self.weight + self.bias
