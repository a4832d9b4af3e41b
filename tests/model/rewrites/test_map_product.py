"""Products against convolutions, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgefer.model.rewrites.map_product import MAX_POSITIONS, MapProduct, applies, patch_table, to_rows


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (1, 0), (2, 0)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_equals_the_convolution(kernel: int, padding: int, stride: int, size: int) -> None:
    torch.manual_seed(size)
    conv = nn.Conv2d(6, 4, kernel, stride, padding).double().requires_grad_(False)
    x = torch.randn(3, 6, size, size, dtype=torch.double)
    found = MapProduct(conv, size)(to_rows(x))
    torch.testing.assert_close(found, to_rows(conv(x)), rtol=1e-12, atol=1e-12)


def test_a_1x1_map_needs_no_gathering() -> None:
    conv = nn.Conv2d(6, 4, 1).double().requires_grad_(False)
    product = MapProduct(conv, 1)
    assert product.identity
    x = torch.randn(2, 6, 1, 1, dtype=torch.double)
    torch.testing.assert_close(product(to_rows(x)), to_rows(conv(x)))


def test_patch_table_of_a_2x2_map() -> None:
    """Row 4 is padding: the patch of the upper left position has its five outer taps there."""
    table = patch_table(nn.Conv2d(1, 1, 3, padding=1), 2)
    assert table[0] == [4, 4, 4, 4, 0, 1, 4, 2, 3]
    assert table[3] == [0, 1, 4, 2, 3, 4, 4, 4, 4]


def test_applies_to_small_maps_only() -> None:
    conv = nn.Conv2d(1, 1, 3, stride=2, padding=1)
    side = int(MAX_POSITIONS**0.5)
    assert applies(conv, 2 * side)
    assert not applies(conv, 2 * side + 1)
