"""Drop the taps that only ever meet padding.

A 3x3 convolution with padding 1 and stride 2 on a 2x2 map reads rows -1..1 and columns -1..1 of it: row and column 0
of the kernel multiply zeros whatever the input is. On a 1x1 map only the centre tap is ever live. The result is the
same convolution with the kernel cut to the live taps and the padding cut with it. Exact: terms that are zero go.
"""

from __future__ import annotations

from torch import nn

from edgefer.model.rewrites.fold_batch_norm import convolution


def output_size(conv: nn.Conv2d, size: int) -> int:
    """Height and width of the output map for a square input map of `size`."""
    kernel, stride, padding = _geometry(conv)
    return (size + 2 * padding - kernel) // stride + 1


def live_taps(conv: nn.Conv2d, size: int) -> tuple[int, int]:
    """First and last kernel row (equally: column) that reads inside a square map of `size` for any output."""
    kernel, stride, padding = _geometry(conv)
    starts = [i * stride - padding for i in range(output_size(conv, size))]
    live = [tap for tap in range(kernel) if any(0 <= start + tap < size for start in starts)]
    return live[0], live[-1]


def drop_dead_taps(conv: nn.Conv2d, size: int) -> nn.Conv2d:
    """Return `conv` without its dead taps for a square input map of `size`; `conv` itself when none is dead."""
    kernel, stride, padding = _geometry(conv)
    first, last = live_taps(conv, size)
    if (first, last) == (0, kernel - 1):
        return conv
    before = padding - first
    after = max(0, (output_size(conv, size) - 1) * stride - before + (last - first) - (size - 1))
    cut = conv.weight[:, :, first : last + 1, first : last + 1]
    assert conv.bias is not None
    smaller = convolution(conv, cut.clone(), conv.bias.clone(), before)
    # nn.Conv2d pads both sides alike; a geometry that would need otherwise keeps its dead taps.
    if before != after or output_size(smaller, size) != output_size(conv, size):
        return conv
    return smaller


def _geometry(conv: nn.Conv2d) -> tuple[int, int, int]:
    padding = conv.padding[0]
    assert isinstance(padding, int)
    return conv.kernel_size[0], conv.stride[0], padding
