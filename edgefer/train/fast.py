"""The network's forward pass for training: the same function, in forms that cost less.

Each form is exact, equal up to the order of summation, with gradients that are equal too:

- max pooling 2x2 before the ReLU instead of after it, and when compiling as the maximum of four strided views, which
  becomes vector code without the index tensors and the scattered backward pass of `max_pool2d`. (Where two of the four
  are equal and largest, the gradient is shared instead of going to the first: another subgradient.)
- a 3x3 convolution with padding 1 and stride 2 on a 2x2 map, and one on a 1x1 map, as matrix products with the live
  taps only: 5 of 9 and 8 of 9 taps never meet anything but padding, so their gradient is zero. (With bf16 autocast on
  a CPU, torch 2.13 leaves uninitialised memory in the gradient of the dead taps of 1x1 maps; here they get zeros.)
- a 3x3 convolution with padding 1 on a 2x2 map as one matrix product: 20 of its 36 products meet only padding.
- dropout of the stem from 16-bit noise that is drawn in bulk, for the drawing costs more than the arithmetic on a CPU.
  The rate is rounded to a multiple of 1 / 65536.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefer.model.resemotenet import ResEmoteNet, ResidualBlock

_LEAST_BATCH = 32  # below it, gathering the 4 C x 4 C matrix costs more than the product saves


class TrainingForward(nn.Module):
    """Wraps a network; shares its parameters and buffers. In eval mode it is the network itself.

    The forward pass takes normalised float [N, 3, S, S] and the noise of `noise`, and returns logits [N, classes].
    """

    def __init__(self, network: ResEmoteNet) -> None:
        super().__init__()
        self.network = network
        # The noise is signed: a value is dropped when its noise lies below the threshold.
        self.threshold = round(network.dropout1.p * 65536) - 32768
        self.kept = 1 / max(1e-9, 1 - (self.threshold + 32768) / 65536)

    def forward(self, x: Tensor, noise: tuple[Tensor, Tensor] | None = None) -> Tensor:
        net = self.network
        if not self.training or noise is None:
            plain: Tensor = net(x)
            return plain
        x = self._drop(F.relu(_pool(net.bn1(net.conv1(x)))), noise[0])
        x = self._drop(F.relu(_pool(net.bn2(net.conv2(x)))), noise[1])
        x = F.relu(_pool(net.bn3(net.conv3(x))))
        if net.architecture.se:
            x = net.se(x)
        for name in net.blocks:
            x = _block(getattr(net, name), x)
        x = x.mean((2, 3))
        for i in (1, 2, 3):
            x = net.dropout2(F.relu(getattr(net, f"fc{i}")(x)))
        logits: Tensor = net.fc4(x)
        return logits

    def _drop(self, x: Tensor, noise: Tensor) -> Tensor:
        return x if self.threshold == -32768 else torch.where(noise >= self.threshold, x * self.kept, 0.0)

    def noise(self, n: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Draw the stem's dropout noise for n images of size x size pixels from torch's global generator."""
        widths = self.network.architecture.stem
        return _noise(n, widths[0], size // 2, device), _noise(n, widths[1], size // 4, device)


def _noise(n: int, channels: int, side: int, device: torch.device) -> Tensor:
    """Return uniform int16 [n, channels, side, side], channels last, from a quarter as many 64-bit draws."""
    count = n * side * side * channels
    words = torch.empty(-(-count // 4), dtype=torch.int64, device=device).random_(-(2**63), None)
    return words.view(torch.int16)[:count].view(n, side, side, channels).permute(0, 3, 1, 2)


def _pool(x: Tensor) -> Tensor:
    """Max pooling 2x2 with stride 2; odd last rows and columns are left out, as `max_pool2d` does."""
    if not torch.compiler.is_compiling():
        return F.max_pool2d(x, 2, 2)
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    top = torch.maximum(x[:, :, 0:height:2, 0:width:2], x[:, :, 0:height:2, 1:width:2])
    return torch.maximum(top, torch.maximum(x[:, :, 1:height:2, 0:width:2], x[:, :, 1:height:2, 1:width:2]))


def _block(block: ResidualBlock, x: Tensor) -> Tensor:
    if x.shape[2:] in ((1, 1), (2, 2)):
        out = F.relu(block.bn1(_to_one(x, block.conv1)))
        out = block.bn2(_to_one(out, block.conv2))
        shortcut = block.shortcut[1](_to_one(x[:, :, :1, :1], block.shortcut[0]))
        return F.relu(out + shortcut)
    out = F.relu(block.bn1(block.conv1(x)))
    if out.shape[2:] == (2, 2) and len(out) >= _LEAST_BATCH:
        return F.relu(block.bn2(_two_to_two(out, block.conv2)) + block.shortcut(x))
    return F.relu(block.bn2(block.conv2(out)) + block.shortcut(x))


def _to_one(x: Tensor, conv: nn.Module) -> Tensor:
    """A convolution that has one output pixel, on a map of s x s, s = 1 or 2, where the kernel's centre is pixel 0."""
    assert isinstance(conv, nn.Conv2d)
    first = conv.padding[0] if isinstance(conv.padding, tuple) else 0
    side = x.shape[2]
    live = conv.weight[:, :, first : first + side, first : first + side]
    out = F.linear(x.permute(0, 2, 3, 1).flatten(1), live.permute(0, 2, 3, 1).flatten(1), conv.bias)
    return out[:, :, None, None]


def _two_to_two(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 3x3 convolution with padding 1 on a 2x2 map: output (i, j) reads pixel (k, l) through tap (k-i+1, l-j+1)."""
    weight = conv.weight
    outputs, inputs = weight.shape[:2]
    rows = [weight[:, :, 1 - i : 3 - i, 1 - j : 3 - j].permute(0, 2, 3, 1).flatten(1) for i in (0, 1) for j in (0, 1)]
    out = F.linear(x.permute(0, 2, 3, 1).reshape(-1, 4 * inputs), torch.cat(rows))
    out = out.view(-1, 2, 2, outputs).permute(0, 3, 1, 2)
    return out if conv.bias is None else out + conv.bias[:, None, None]
