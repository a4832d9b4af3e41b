"""Evaluate a saved Core ML package without a Mac: read spec and weights back from disk, compute them op by op.

This proves the package: that the program, the weights, the class names and the preprocessing on disk predict what the
checkpoint predicts. It does not prove Apple's kernels, which only run on Apple's systems. Nothing here uses the code that
wrote the package, except for the protobuf classes that parse the spec. Operations as in coremltools' MIL reference
(iOS 15 opset and later); the arithmetic is float32, and what the program declares float16 is rounded to it after every
operation, as if each summed exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgefer.artifact import Artifact
from edgefer.embedded import MLMODEL
from edgefer.emotions import EMOTIONS
from edgefer.errors import ArtifactError
from edgefer.images import decode
from edgefer.optional import import_quietly
from edgefer.parity.coreml_weights import (
    WeightFile,
    data_type,
    dequantize_affine,
    dequantize_blocks,
    read_value,
    shape_of,
)

WEIGHTS = MLMODEL.parent / "weights" / "weight.bin"
_HINT = "export it again with `edgefer export`."
_FLOATS = ("FLOAT16", "FLOAT32")
Inputs = Mapping[str, Any]


class Program:
    """A package's main function, ready to be evaluated.

    Attributes:
        spec: the whole parsed spec.
        operations: of the main function, in order.
        stored: how many values the package stores in each type: {"FLOAT16": 4500000, "INT32": 80}.
    """

    def __init__(self, package: Path) -> None:
        self.spec = read_spec(package)
        self.operations = list(main_block(self.spec).operations)
        self.stored = _count_values(self.operations)
        self._weights = WeightFile(package / WEIGHTS)
        self._constants: dict[str, Any] = {}
        for operation in self.operations:
            if operation.type in CONSTANTS:
                inputs = self._inputs(operation, self._constants)
                self._store(operation, CONSTANTS[operation.type](inputs), self._constants)
        self.operations = [operation for operation in self.operations if operation.type not in CONSTANTS]

    @property
    def input(self) -> Any:
        """Description of the one input: a FeatureDescription."""
        return self.spec.description.input[0]

    @property
    def batches(self) -> list[int]:
        """How many images the program takes at once, ascending; [1] for an image input."""
        if self.input.type.WhichOneof("Type") == "imageType":
            return [1]
        array = self.input.type.multiArrayType
        shapes = [shape.shape for shape in array.enumeratedShapes.shapes] or [array.shape]
        return sorted(int(shape[0]) for shape in shapes)

    @staticmethod
    def declared(output: Any) -> str:
        """The element type that an operation's output is declared as: "FLOAT16"."""
        return data_type(output.type)

    def __call__(self, image: np.ndarray) -> dict[str, Any]:
        """Evaluate. image: float32 [N, 3, size, size] RGB, 0..255, as Core ML hands it to the program.

        Returns every value by name: float32, int64 or bool tensors, texts, and for a classifier {label: probability}.

        Raises:
            ArtifactError: the program has an operation that we do not know (which it names), or computes something
                else than it declares.
        """
        values = dict(self._constants)
        values[self.input.name] = torch.from_numpy(np.ascontiguousarray(image, np.float32))
        with torch.inference_mode():
            for operation in self.operations:
                if operation.type not in OPERATIONS:
                    raise ArtifactError(
                        f"the program has an operation {operation.type}, which edgefer cannot evaluate.",
                        "prove it on a Mac with `edgefer verify`.",
                    )
                inputs = self._inputs(operation, values)
                self._store(operation, OPERATIONS[operation.type](inputs), values)
        return values

    def _inputs(self, operation: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        # Compressed weights were attributes in iOS 16 and are inputs since; "name" says nothing about the values.
        found = {key: read_value(value, self._weights) for key, value in operation.attributes.items() if key != "name"}
        for key, argument in operation.inputs.items():
            for binding in argument.arguments:
                if binding.WhichOneof("binding") == "value":
                    found[key] = read_value(binding.value, self._weights)
                elif binding.name not in values:
                    raise ArtifactError(f"the program uses {binding.name} before it is made.", _HINT)
                else:
                    found[key] = values[binding.name]
        return found

    def _store(self, operation: Any, result: Any, values: dict[str, Any]) -> None:
        results = result if isinstance(result, tuple) else (result,)
        for output, value in zip(operation.outputs, results, strict=True):
            values[output.name] = _as_declared(value, output)


def _count_values(operations: Sequence[Any]) -> Counter[str]:
    stored: Counter[str] = Counter()
    for operation in operations:
        bound = [binding for argument in operation.inputs.values() for binding in argument.arguments]
        values = [binding.value for binding in bound if binding.WhichOneof("binding") == "value"]
        for value in (*values, *operation.attributes.values()):
            if value.type.WhichOneof("type") == "tensorType":
                stored[data_type(value.type)] += int(np.prod(shape_of(value.type), dtype=np.int64))
    return stored


def read_spec(package: Path) -> Any:
    """Parse a package's model.mlmodel: a `Model_pb2.Model`.

    Raises:
        ArtifactError: there is none, it is damaged, or it is no ML program.
    """
    model_pb2 = import_quietly("coremltools.proto.Model_pb2")
    message = import_quietly("google.protobuf.message")
    spec = model_pb2.Model()
    try:
        spec.ParseFromString((package / MLMODEL).read_bytes())
    except (OSError, message.DecodeError):
        raise ArtifactError(f"{package} holds no readable {MLMODEL.name}.", _HINT) from None
    if spec.WhichOneof("Type") != "mlProgram" or "main" not in spec.mlProgram.functions:
        raise ArtifactError(f"{package} is no ML program.", _HINT)
    return spec


def main_block(spec: Any) -> Any:
    """The block of the main function that its opset chooses."""
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def _as_declared(value: Any, output: Any) -> Any:
    """A result in the form the program declares for it: float16 rounded and kept as float32.

    Raises:
        ArtifactError: type or shape are not what the program declares.
    """
    kind = data_type(output.type)
    if isinstance(value, (str, list, dict)):
        if (kind == "STRING") != isinstance(value, str):
            raise ArtifactError(f"{output.name} is declared {kind} and is none.", _HINT)
        return value
    tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32)
    if tensor.is_floating_point() != (kind in _FLOATS):
        raise ArtifactError(f"{output.name} is declared {kind} and is {tensor.dtype}.", _HINT)
    declared = shape_of(output.type)
    if len(declared) != tensor.ndim or any(d not in (-1, n) for d, n in zip(declared, tensor.shape, strict=True)):
        raise ArtifactError(
            f"{output.name} is declared {list(declared)} and is computed as {list(tensor.shape)}.", _HINT
        )
    return tensor.half().float() if kind == "FLOAT16" else tensor


# Constants: evaluated once, when the package is read.
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
    """x with its padding: `pad` is [begin, end] for each spatial dimension, the first first; torch wants the last first."""
    kind = inputs.get("pad_type", "valid")
    if kind == "valid":
        return x
    if kind != "custom":
        raise ArtifactError(f"the program pads by {kind}, which edgefer cannot evaluate.", "prove it on a Mac.")
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
        raise ArtifactError(f"the program casts to {i['dtype']}, which edgefer cannot evaluate.", "prove it on a Mac.")
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


class Evaluator:
    """The package as an engine: uint8 [N, size, size, 3] RGB -> probabilities float32 [N, 7]."""

    def __init__(self, artifact: Artifact) -> None:
        self.program = Program(artifact.model)
        self.name = f"the saved package, evaluated by edgefer with PyTorch {torch.__version__.split('+')[0]}"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, size, size, 3] -> float32 [N, 7] in canonical order."""
        return np.concatenate([self._read(values) for values in self._run(images)])[: len(images)]

    def run(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Named values of the program for uint8 [N, size, size, 3] images, each [N, ...]."""
        runs = list(self._run(images))
        found = {}
        for name in names:
            parts = [self._read(values) if name == "probabilities" else values[name].numpy() for values in runs]
            found[name] = np.concatenate(parts)[: len(images)]
        return found

    def _run(self, images: np.ndarray) -> Iterator[dict[str, Any]]:
        planes = images.astype(np.float32).transpose(0, 3, 1, 2)
        kind = self.program.input.type
        if kind.WhichOneof("Type") == "imageType":
            if (kind.imageType.height, kind.imageType.width) != planes.shape[2:]:
                raise ArtifactError(f"the package takes {kind.imageType.width}x{kind.imageType.height} images.", _HINT)
            if kind.imageType.colorSpace == kind.imageType.BGR:
                planes = planes[:, ::-1]
            elif kind.imageType.colorSpace != kind.imageType.RGB:
                raise ArtifactError("the package takes images that are not in colour.", _HINT)
            yield from (self.program(planes[at : at + 1]) for at in range(len(planes)))
            return
        # An array of images: the smallest of the program's batches that holds them, filled up with zeros.
        size = next((n for n in self.program.batches if n >= len(planes)), None)
        if size is None:
            raise ArtifactError(f"the package takes {self.program.batches[-1]} images, not {len(planes)}.", _HINT)
        yield self.program(np.concatenate([planes, np.zeros((size - len(planes), *planes.shape[1:]), np.float32)]))

    def _read(self, values: Mapping[str, Any]) -> np.ndarray:
        found = values["probabilities"]
        if isinstance(found, dict):
            return np.array([[found[emotion] for emotion in EMOTIONS]], np.float32)
        return np.asarray(found.numpy())


def open_evaluator(artifact: Artifact) -> Evaluator:
    """Read an artifact's package from disk.

    Raises:
        ArtifactError: it is damaged, or something in it is unknown to us.
    """
    return Evaluator(artifact)


def layers(artifact: Artifact, images: Sequence[tuple[str, bytes]], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The program's named values for encoded images: what `--bisect` compares.

    Raises:
        ArtifactError: the program has no value of one of these names.
    """
    evaluator = Evaluator(artifact)
    produced = {output.name for operation in evaluator.program.operations for output in operation.outputs}
    missing = [name for name in names if name not in produced]
    if missing:
        raise ArtifactError(f"the package has no value named {missing[0]}.", _HINT)
    faces = np.stack([artifact.manifest.preprocess(decode(data, name)) for name, data in images])
    batch = evaluator.program.batches[-1]
    step = batch if batch > 1 else len(faces)
    parts = [evaluator.run(faces[at : at + step], names) for at in range(0, len(faces), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
