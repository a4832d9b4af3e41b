"""The merged product against two convolutions and their sum."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgefer.model.rewrites.map_product import MapProduct, to_rows
from edgefer.model.rewrites.merge_shortcut import MergedProduct


@pytest.mark.parametrize("size", [2, 3, 4])
@torch.no_grad()
def test_equals_the_sum(size: int) -> None:
    torch.manual_seed(size)
    main, side = nn.Conv2d(5, 7, 3, padding=1).double(), nn.Conv2d(4, 7, 1, stride=2).double()
    out = (size + 1) // 2
    h = torch.randn(2, 5, out, out, dtype=torch.double)
    x = torch.randn(2, 4, size, size, dtype=torch.double)
    merged = MergedProduct(MapProduct(main, out), MapProduct(side, size))
    found = merged(to_rows(h), to_rows(x))
    torch.testing.assert_close(found, to_rows(main(h) + side(x)), rtol=1e-12, atol=1e-12)
    expected = sum(p.numel() for conv in (main, side) for p in conv.parameters()) - 7  # one bias for two
    assert sum(p.numel() for p in merged.parameters()) == expected


def test_declines_maps_of_different_sizes() -> None:
    main, side = nn.Conv2d(5, 7, 3, padding=1), nn.Conv2d(4, 7, 1, stride=2)
    with pytest.raises(ValueError, match="4 and 1 positions"):
        MergedProduct(MapProduct(main, 2), MapProduct(side, 2))
