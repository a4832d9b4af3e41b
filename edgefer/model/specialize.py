"""The exact rewrites, applied: a checkpoint's network -> the network that an artifact holds, for one input size.

For a fixed input size parts of the network provably do nothing, and others have a faster form. At 64x64 the last block
of `reference` sees a 2x2 map and emits 1x1: 44 of its 58.7 million weights only ever meet padding.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefer.model.resemotenet import ResEmoteNet, ResidualBlock, count_parameters
from edgefer.model.rewrites.drop_dead_taps import drop_dead_taps, output_size
from edgefer.model.rewrites.fold_batch_norm import fold_batch_norm
from edgefer.model.rewrites.map_product import MapProduct, applies, to_rows
from edgefer.model.rewrites.merge_shortcut import MergedProduct

MIN_SIZE, MAX_SIZE = 32, 224


@dataclass(frozen=True)
class Savings:
    """What the rewrites left: learnable scalars before and after, and the rewrites that applied, by layer."""

    parameters_before: int
    parameters_after: int
    applied: dict[str, list[str]]


class ConvBlock(nn.Module):
    """A residual block with batch norms folded: [N, C, H, W] -> [N, out, H/2, W/2]."""

    def __init__(self, conv1: nn.Conv2d, conv2: nn.Conv2d, shortcut: nn.Conv2d) -> None:
        super().__init__()
        self.conv1, self.conv2, self.shortcut = conv1, conv2, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


class ProductBlock(nn.Module):
    """A residual block as two matrix products: a map or its rows [N, positions, C] -> rows [N, outputs, out]."""

    def __init__(self, first: MapProduct, second: MergedProduct) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        rows = to_rows(x) if x.ndim == 4 else x
        return F.relu(self.second(F.relu(self.first(rows)), rows))


class SpecializedNet(nn.Module):
    """The rewritten network: normalised [N, 3, size, size] -> logits [N, classes]. Inference only.

    `stages()` yields every named intermediate, for finding the first one that departs.
    """

    fc4: nn.Linear

    def __init__(self, network: ResEmoteNet, size: int, products: bool = True) -> None:
        super().__init__()
        self.size, self.products = size, products
        self.applied: dict[str, list[str]] = {}
        for i in (1, 2, 3):
            conv = self._fold(f"conv{i}", getattr(network, f"conv{i}"), getattr(network, f"bn{i}"))
            self.add_module(f"conv{i}", conv)
        # Copied, not shared: a later .half() must not reach into the checkpoint's own network.
        self.se = copy.deepcopy(network.se) if network.architecture.se else None
        self.blocks = list(network.blocks)
        size //= 8  # three 2x2 max-poolings
        for name in self.blocks:
            block, size = self._block(name, getattr(network, name), size)
            self.add_module(name, block)
        for i in (1, 2, 3, 4):
            self.add_module(f"fc{i}", copy.deepcopy(getattr(network, f"fc{i}")))

    def _fold(self, name: str, conv: Any, norm: Any) -> nn.Conv2d:
        self.applied.setdefault(name, []).append("fold_batch_norm")
        return fold_batch_norm(conv, norm)

    def _block(self, name: str, block: ResidualBlock, size: int) -> tuple[nn.Module, int]:
        out = output_size(block.conv1, size)
        conv1 = self._cut(f"{name}.conv1", self._fold(f"{name}.conv1", block.conv1, block.bn1), size)
        conv2 = self._cut(f"{name}.conv2", self._fold(f"{name}.conv2", block.conv2, block.bn2), out)
        shortcut = self._fold(f"{name}.shortcut", block.shortcut[0], block.shortcut[1])
        if not (self.products and applies(conv1, size)):
            return ConvBlock(conv1, conv2, shortcut), out
        self.applied[f"{name}.conv1"].append("map_product")
        self.applied[f"{name}.conv2"].append("map_product")
        self.applied[f"{name}.shortcut"].append("merge_shortcut")
        second = MergedProduct(MapProduct(conv2, out), MapProduct(shortcut, size))
        return ProductBlock(MapProduct(conv1, size), second), out

    def _cut(self, name: str, conv: nn.Conv2d, size: int) -> nn.Conv2d:
        cut = drop_dead_taps(conv, size)
        if cut is not conv:
            self.applied[name].append("drop_dead_taps")
        return cut

    def forward(self, x: Tensor) -> Tensor:
        return list(self.stages(x).values())[-1]

    def stages(self, x: Tensor) -> dict[str, Tensor]:
        """Every named intermediate in order, the logits ("fc4") last."""
        out: dict[str, Tensor] = {}
        for i in (1, 2, 3):
            x = out[f"conv{i}"] = F.max_pool2d(F.relu(getattr(self, f"conv{i}")(x)), 2, 2)
        if self.se is not None:
            x = out["se"] = self.se(x)
        for name in self.blocks:
            x = out[name] = getattr(self, name)(x)
        x = _pool(x)
        for i in (1, 2, 3):
            x = out[f"fc{i}"] = F.relu(getattr(self, f"fc{i}")(x))
        out["fc4"] = self.fc4(x)
        return out


def plain_stages(network: ResEmoteNet, x: Tensor) -> dict[str, Tensor]:
    """The same intermediates of the untouched network in eval mode, by the same names, as [N, C, H, W] or [N, C]."""
    out: dict[str, Tensor] = {}
    for i in (1, 2, 3):
        x = getattr(network, f"bn{i}")(getattr(network, f"conv{i}")(x))
        x = out[f"conv{i}"] = F.max_pool2d(F.relu(x), 2, 2)
    if network.architecture.se:
        x = out["se"] = network.se(x)
    for name in network.blocks:
        x = out[name] = getattr(network, name)(x)
    x = _pool(x)
    for i in (1, 2, 3):
        x = out[f"fc{i}"] = F.relu(getattr(network, f"fc{i}")(x))
    out["fc4"] = network.fc4(x)
    return out


def _pool(x: Tensor) -> Tensor:
    """Mean over the map's positions, from either layout; on a 1x1 map there is nothing to average."""
    if x.ndim == 3:
        return x.flatten(1) if x.shape[1] == 1 else x.mean(1)
    return x.flatten(1) if x.shape[2] == 1 else x.mean((2, 3))


@torch.no_grad()
def specialize(network: ResEmoteNet, size: int, products: bool = True) -> SpecializedNet:
    """Return the rewritten network for `size` x `size` inputs. `network` is left as it is.

    `products` allows `map_product` and `merge_shortcut`; hardware made for convolutions does better without them.

    Raises:
        ValueError: `size` is outside 32..224.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size must be {MIN_SIZE} to {MAX_SIZE} pixels, not {size}")
    return SpecializedNet(network, size, products).eval()


def savings(network: ResEmoteNet, specialized: SpecializedNet) -> Savings:
    """Compare learnable scalars before and after."""
    return Savings(count_parameters(network), count_parameters(specialized), specialized.applied)
