"""Which number types a built engine computes in, read from the engine."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

PRODUCTS = ("CONVOLUTION", "MATRIX_MULTIPLY")  # layers that hold weights, by TensorRT's names
# Words of the inspector's "Format/Datatype": "Half", or in whole sentences "Channel major FP16 format where ...".
_WORDS = {"float": "fp32", "fp32": "fp32", "half": "fp16", "fp16": "fp16", "int8": "int8"}


def engine_types(trt: Any, engine: Any) -> dict[str, int]:
    """How many tensors between an engine's layers are of which type: {"fp16": 31, "fp32": 4}.

    Empty when the engine was built without layer details.
    """
    inspector = engine.create_engine_inspector()
    if inspector is None:
        return {}
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return read_types(text) if text else {}


def read_types(information: str) -> dict[str, int]:
    """The same from the inspector's JSON."""
    layers = json.loads(information).get("Layers", [])
    found: Counter[str] = Counter()
    for layer in layers:
        if isinstance(layer, str):  # names only: no details in this engine
            return {}
        for tensor in [*layer.get("Inputs", []), *layer.get("Outputs", [])]:
            words = re.findall(r"[a-z0-9]+", str(tensor.get("Format/Datatype", "")).lower())
            found.update(_WORDS[word] for word in words if word in _WORDS)
    return dict(sorted(found.items()))


def product_types(network: Mapping[str, Mapping[str, int]]) -> set[str]:
    """The number types in which a network's convolutions and matrix products compute, from the manifest's table."""
    return {name for kind in PRODUCTS for name in network.get(kind, {})}


def contradiction(precision: str, types: Mapping[str, int]) -> str | None:
    """What in an engine cannot be, if it is of `precision`; None if nothing is, or no types are known.

    An fp16 engine has float32 at its ends, and an int8 engine between its products.
    """
    if not types:
        return None
    if precision not in types:
        return f"it holds no {precision} tensor"
    wider = {"fp32": ("fp32",), "fp16": ("fp16", "fp32"), "int8": ("int8", "fp32", "fp16")}[precision]
    alien = [name for name in types if name not in wider]
    return f"{types[alien[0]]} of its tensors are {alien[0]}" if alien else None
