"""What the operations of a Core ML program compute, in float32: those that ResEmoteNet's packages consist of.

After coremltools' MIL reference, iOS 15 opset; later opsets changed none of these. Inputs come by their MIL names:
tensors, texts, and lists of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgefer.errors import ArtifactError
from edgefer.parity.coreml_weights import dequantize_affine, dequantize_blocks

Inputs = Mapping[str, Any]
ON_A_MAC = "prove it on a Mac with `edgefer verify`."

# Evaluated once, when the package is read.
CONSTANTS: dict[str, Callable[[Inputs], Any]] = {
    "const": lambda i: i["val"],
    "constexpr_affine_dequantize": lambda i: dequantize_affine({key: _numpy(value) for key, value in i.items()}),
    "constexpr_blockwise_shift_scale": lambda i: dequantize_blocks({key: _numpy(value) for key, value in i.items()}),
}


def _numpy(value: Any) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _ints(values: Any) -> list[int]:
    return [int(v) for v in np.asarray(values).reshape(-1)]


def _padded(inputs: Inputs, x: Tensor, fill: float) -> Tensor:
    """x with its padding. `pad` is [begin, end] of the first spatial dimension first; torch wants the last first."""
    kind = inputs.get("pad_type", "valid")
    if kind == "valid":
        return x
    if kind != "custom":
        raise ArtifactError(f"the program pads by {kind}, which edgefer cannot evaluate.", ON_A_MAC)
    pairs = np.reshape(_ints(inputs["pad"]), (-1, 2))[::-1]
    return F.pad(x, _ints(pairs), value=fill) if pairs.any() else x


def _conv(i: Inputs) -> Tensor:
    x = _padded(i, i["x"], 0.0)
    stride, dilation = _ints(i.get("strides", (1, 1))), _ints(i.get("dilations", (1, 1)))
    return F.conv2d(x, i["weight"], i.get("bias"), stride, 0, dilation, int(i.get("groups", 1)))


def _max_pool(i: Inputs) -> Tensor:
    x = _padded(i, i["x"], float("-inf"))
    return F.max_pool2d(x, _ints(i["kernel_sizes"]), _ints(i["strides"]), ceil_mode=bool(i.get("ceil_mode", False)))


def _expand_dims(i: Inputs) -> Tensor:
    x = i["x"]
    for axis in sorted(_ints(i["axes"])):
        x = x.unsqueeze(axis)
    return x


def _cast(i: Inputs) -> Tensor:
    if i["dtype"] not in ("fp16", "fp32"):
        raise ArtifactError(f"the program casts to {i['dtype']}, which edgefer cannot evaluate.", ON_A_MAC)
    return i["x"].to(torch.float32)  # the declared type rounds it


def _classify(i: Inputs) -> tuple[str, dict[str, float]]:
    scores = dict(zip(i["classes"], i["probabilities"].reshape(-1).tolist(), strict=True))
    return max(scores, key=scores.__getitem__), scores


OPERATIONS: dict[str, Callable[[Inputs], Any]] = {
    "add": lambda i: i["x"] + i["y"],
    "cast": _cast,
    "classify": _classify,
    "conv": _conv,
    "expand_dims": _expand_dims,
    "linear": lambda i: F.linear(i["x"], i["weight"], i.get("bias")),
    "max_pool": _max_pool,
    "mul": lambda i: i["x"] * i["y"],
    "reduce_mean": lambda i: i["x"].mean(_ints(i["axes"]), keepdim=bool(i["keep_dims"])),
    "relu": lambda i: F.relu(i["x"]),
    "reshape": lambda i: i["x"].reshape(_ints(i["shape"])),
    "sigmoid": lambda i: torch.sigmoid(i["x"]),
    "softmax": lambda i: torch.softmax(i["x"], int(i["axis"])),
}
