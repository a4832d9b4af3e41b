"""Evaluate a saved Core ML package without a Mac: read spec and weights back from disk, compute them op by op.

This proves the package: that the program, the weights, the class names and the preprocessing on disk predict what the
checkpoint predicts. It does not prove Apple's kernels, which only run on Apple's systems. Nothing here uses the code
that wrote the package, except for the protobuf classes that parse the spec. The arithmetic is float32, and what the
program declares float16 is rounded to it after every operation, as if each summed exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgefer.artifact import Artifact
from edgefer.embedded import MLMODEL
from edgefer.emotions import EMOTIONS
from edgefer.errors import ArtifactError
from edgefer.images import decode
from edgefer.optional import import_quietly
from edgefer.parity.coreml_operations import CONSTANTS, ON_A_MAC, OPERATIONS
from edgefer.parity.coreml_weights import WeightFile, data_type, read_value, shape_of

WEIGHTS = MLMODEL.parent / "weights" / "weight.bin"
PROVES = "the package: its program, weights, class names and preprocessing, evaluated by edgefer. Not Apple's kernels."
_HINT = "export it again with `edgefer export`."
_FLOATS = ("FLOAT16", "FLOAT32")


@dataclass(frozen=True)
class Declared:
    """A value as the program declares it: name, element type ("FLOAT16"), shape with -1 for what only a run knows."""

    name: str
    kind: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, named: Any) -> Declared:
        """From a NamedValueType of the spec."""
        return cls(named.name, data_type(named.type), shape_of(named.type))

    def take(self, value: Any) -> Any:
        """Return `value` in the declared form; float16 is rounded and kept as float32.

        Raises:
            ArtifactError: its type or shape is not the declared one.
        """
        if isinstance(value, (str, list, dict)):
            if (self.kind == "STRING") != isinstance(value, str):
                raise ArtifactError(f"{self.name} is declared {self.kind} and is a {type(value).__name__}.", _HINT)
            return value
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        if tensor.is_floating_point() != (self.kind in _FLOATS):
            raise ArtifactError(f"{self.name} is declared {self.kind} and is {tensor.dtype}.", _HINT)
        shape = tuple(tensor.shape)
        if len(shape) != len(self.shape) or any(d not in (-1, n) for d, n in zip(self.shape, shape, strict=True)):
            raise ArtifactError(f"{self.name} is declared {list(self.shape)} and is {list(shape)}.", _HINT)
        return tensor.half().float() if self.kind == "FLOAT16" else tensor


@dataclass(frozen=True)
class Step:
    """An operation: its type, the inputs that are known, the names of those that other steps make, its outputs."""

    kind: str
    known: Mapping[str, Any]
    names: Mapping[str, str]
    outputs: tuple[Declared, ...]


class Program:
    """A package's main function, ready to be evaluated.

    Attributes:
        spec: the whole parsed spec.
        steps: of the main function, in order, without those that only give constants.
        stored: how many values the package stores in each type: {"FLOAT16": 4500000, "INT32": 80}.
    """

    def __init__(self, package: Path) -> None:
        self.spec = read_spec(package)
        self.stored: Counter[str] = Counter()
        self.steps: list[Step] = []
        self._input = Declared.of(self.spec.mlProgram.functions["main"].inputs[0])
        self._constants: dict[str, Any] = {}
        weights = WeightFile(package / WEIGHTS)
        for operation in main_block(self.spec).operations:
            step = self._step(operation, weights)
            if step.kind in CONSTANTS:
                _store(step, CONSTANTS[step.kind](_inputs(step, self._constants)), self._constants)
            elif step.kind in OPERATIONS:
                self.steps.append(step)
            else:
                raise ArtifactError(
                    f"the program has an operation {step.kind}, which edgefer cannot evaluate.", ON_A_MAC
                )

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

    def __call__(self, image: np.ndarray) -> dict[str, Any]:
        """Evaluate. image: float32 [N, 3, size, size] RGB, 0..255, as Core ML hands it to the program.

        Returns every value by name: tensors, texts, and for a classifier {label: probability}.

        Raises:
            ArtifactError: a step uses what no step before it made, or makes something else than it declares.
        """
        values = dict(self._constants)
        values[self._input.name] = self._input.take(np.ascontiguousarray(image, np.float32))
        with torch.inference_mode():
            for step in self.steps:
                _store(step, OPERATIONS[step.kind](_inputs(step, values)), values)
        return values

    def _step(self, operation: Any, weights: WeightFile) -> Step:
        known: dict[str, Any] = {}
        names: dict[str, str] = {}
        # Compressed weights were attributes in iOS 16 and are inputs since; "name" says nothing about values.
        values = {key: value for key, value in operation.attributes.items() if key != "name"}
        for key, argument in operation.inputs.items():
            if len(argument.arguments) != 1:
                raise ArtifactError(f"{operation.type} has {len(argument.arguments)} values for {key}.", ON_A_MAC)
            binding = argument.arguments[0]
            if binding.WhichOneof("binding") == "value":
                values[key] = binding.value
            else:
                names[key] = binding.name
        for key, value in values.items():
            known[key] = read_value(value, weights)
            if isinstance(known[key], np.ndarray):
                known[key] = Declared(key, data_type(value.type), shape_of(value.type)).take(known[key])
                self.stored[data_type(value.type)] += int(np.prod(shape_of(value.type), dtype=np.int64))
        return Step(operation.type, known, names, tuple(map(Declared.of, operation.outputs)))


def _inputs(step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {**step.known, **{key: values[name] for key, name in step.names.items()}}
    except KeyError as error:
        raise ArtifactError(f"the program uses {error.args[0]} before it is made.", _HINT) from None


def _store(step: Step, result: Any, values: dict[str, Any]) -> None:
    results = result if isinstance(result, tuple) else (result,)
    for output, value in zip(step.outputs, results, strict=True):
        values[output.name] = output.take(value)


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
    produced = {output.name for step in evaluator.program.steps for output in step.outputs}
    missing = [name for name in names if name not in produced]
    if missing:
        raise ArtifactError(f"the package has no value named {missing[0]}.", _HINT)
    faces = np.stack([artifact.manifest.preprocess(decode(data, name)) for name, data in images])
    batch = evaluator.program.batches[-1]
    step = batch if batch > 1 else len(faces)
    parts = [evaluator.run(faces[at : at + step], names) for at in range(0, len(faces), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
