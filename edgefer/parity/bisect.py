"""Find the first layer at which an ONNX artifact departs from its checkpoint.

Exports name one tensor after each stage of the network. Here those tensors are made outputs again, and compared with
the same stages of the plain PyTorch network on the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch

from edgefer.artifact import Artifact
from edgefer.emotions import permutation
from edgefer.errors import UnavailableError
from edgefer.images import decode
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.specialize import plain_stages
from edgefer.parity.compare import Probe, reference_preprocess

# Largest error a stage may have, relative to the stage's largest value, by precision.
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2}
IMAGES = 16


@dataclass(frozen=True)
class Stage:
    """One stage of the network: its name, and the largest error relative to its largest reference value."""

    name: str
    error: float
    departs: bool


def bisect(checkpoint: Checkpoint, artifact: Artifact, probe: Probe) -> list[Stage]:
    """Compare every stage in order, on the first images of `probe`. The first with `departs` is the culprit.

    "input" is the normalised input: if it departs, the preprocessing differs. "fc4" is compared in canonical order: if
    it is the first to depart, the class order or the last layer differs.

    Raises:
        UnavailableError: the artifact is not an ONNX file, or one without named stages.
    """
    if artifact.manifest.target != "onnx":
        raise UnavailableError(
            f"--bisect does not know {artifact.manifest.target} artifacts.", "bisect the ONNX export of the checkpoint."
        )
    images = probe.images[:IMAGES]
    expected = _reference(checkpoint, artifact, images)
    found = _candidate(artifact, images, list(expected))
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


def _candidate(artifact: Artifact, images: Sequence[tuple[str, bytes]], names: list[str]) -> dict[str, np.ndarray]:
    model = onnx.load(artifact.model)
    produced = {name for node in model.graph.node for name in node.output}
    missing = [name for name in names if name not in produced]
    if missing:
        raise UnavailableError(f"the artifact has no tensor named {missing[0]}.", "export it with this version.")
    outputs = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    preprocess = artifact.manifest.preprocess
    faces = [preprocess(decode(data, name)) for name, data in images]
    step = artifact.manifest.batch[0] if artifact.manifest.batch else len(faces)
    parts = [session.run(names, {"image": np.stack(faces[at : at + step])}) for at in range(0, len(faces), step)]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


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
