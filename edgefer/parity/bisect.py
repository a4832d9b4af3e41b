"""Find the first layer at which an artifact departs from its checkpoint.

Exports name one tensor after each stage of the network. Here those tensors are read, each target in its own way, and
compared with the same stages of the plain PyTorch network on the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch

from edgefer.artifact import Artifact
from edgefer.emotions import permutation
from edgefer.errors import UnavailableError
from edgefer.images import decode
from edgefer.imageset import ImageSet
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.specialize import plain_stages
from edgefer.optional import require
from edgefer.parity.compare import reference_preprocess
from edgefer.runtime.engines import Row

# How a target's stages are read: a module with `layers(artifact, images, names) -> {name: [N, ...]}`.
LAYERS: dict[str, Row] = {
    "onnx": Row("edgefer.parity.onnx_layers", ("onnx", "onnxruntime"), "export,cpu"),
    "coreml": Row("edgefer.parity.coreml_program", ("coremltools",), "coreml"),
}

# Largest error a stage may have, relative to the stage's largest value, by precision.
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1e-1, "int4": 5e-1}
IMAGES = 16


@dataclass(frozen=True)
class Stage:
    """One stage of the network: its name, and the largest error relative to its largest reference value."""

    name: str
    error: float
    departs: bool


def bisect(checkpoint: Checkpoint, artifact: Artifact, probe: ImageSet) -> list[Stage]:
    """Compare every stage in order, on the first images of `probe`. The first with `departs` is the culprit.

    "input" is the normalised input: if it departs, the preprocessing differs. "fc4" is compared in canonical order: if
    it is the first to depart, the class order or the last layer differs.

    Raises:
        UnavailableError: the stages of this target cannot be read, or the artifact has none.
    """
    target = artifact.manifest.target
    if target not in LAYERS:
        raise UnavailableError(
            f"--bisect does not know {target} artifacts.", "bisect the ONNX export of the checkpoint."
        )
    row = LAYERS[target]
    require(row.needs, row.extra, f"bisecting {target} artifacts")
    images = probe.images[:IMAGES]
    expected = _reference(checkpoint, artifact, images)
    found = import_module(row.module).layers(artifact, images, list(expected))
    tolerance = TOLERANCE[artifact.manifest.precision]
    stages = []
    for name, reference in expected.items():
        error = _error(reference, _as_map(found[name], reference.shape))
        stages.append(Stage(name, error, not error <= tolerance))
    return stages


@torch.inference_mode()
def _reference(
    checkpoint: Checkpoint, artifact: Artifact, images: Sequence[tuple[str, bytes]]
) -> dict[str, np.ndarray]:
    preprocess = reference_preprocess(checkpoint, artifact.manifest.preprocess.size)
    faces = np.stack([preprocess(decode(data, name)) for name, data in images])
    x = torch.from_numpy(preprocess.normalize(faces))
    stages = {"input": x, **plain_stages(checkpoint.network, x)}
    stages["fc4"] = stages["fc4"][:, permutation(checkpoint.classes)]
    stages["probabilities"] = torch.softmax(stages["fc4"], dim=1)
    return {name: tensor.numpy() for name, tensor in stages.items()}


def _as_map(found: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows [N, positions, C] -> [N, C, H, W], if that is what the reference has."""
    if found.ndim == 3 and len(shape) == 4:
        found = found.transpose(0, 2, 1)
    return found.reshape(shape) if found.size == int(np.prod(shape)) else found


def _error(reference: np.ndarray, found: np.ndarray) -> float:
    if reference.shape != found.shape:
        return float("inf")
    error = np.abs(reference - found.astype(np.float32)).max()
    return float(error / max(np.abs(reference).max(), 1e-12)) if np.isfinite(error) else float("inf")
