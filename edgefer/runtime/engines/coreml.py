"""Core ML: runs .mlpackage artifacts on macOS, on the compute units that were asked for.

Everything that exists on a Mac alone is called in `load_model` and `compute_plan`, and nowhere else.
"""

from __future__ import annotations

import platform
import threading
import warnings
from typing import Any

import numpy as np
from PIL import Image

from edgefer.artifact import Artifact
from edgefer.emotions import EMOTIONS
from edgefer.errors import ArtifactError, UnavailableError, UsageError
from edgefer.optional import import_quietly

UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")
_NEURAL_ENGINE_SINCE = (13, 0)  # coremltools: CPU_AND_NE is available only for macOS >= 13.0
_PLAN_SINCE = (14, 4)  # Apple: MLComputePlan, macOS 14.4+


class CoreMLEngine:
    """One loaded model. Apple allows one prediction at a time on it, hence the lock."""

    def __init__(self, artifact: Artifact, units: str) -> None:
        self.units = units
        self._batch = artifact.manifest.batch
        self._model = load_model(artifact, units)
        self._lock = threading.Lock()
        self.name = f"Core ML, macOS {platform.mac_ver()[0]} {platform.machine()}, {units}"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, size, size, 3] -> float32 [N, 7]."""
        with self._lock:
            return self._each(images) if self._batch is None else self._together(images, self._batch)

    def plan(self) -> list[dict[str, Any]] | None:
        """Where Core ML means to run each operation; None before macOS 14.4, which cannot tell.

        A row has the operation's type ("conv"), the name of its output, "device" and "supported" ("CPU", "GPU",
        "Neural Engine"), and "cost", its estimated share of the whole (0 to 1) or None.
        """
        return compute_plan(self._model, self.units) if _macos() >= _PLAN_SINCE else None

    def _each(self, images: np.ndarray) -> np.ndarray:
        features = [{"image": Image.fromarray(image)} for image in images]
        # A list goes through Core ML's batch interface, which costs more for one image.
        found = self._model.predict(features) if len(features) > 1 else [self._model.predict(features[0])]
        return np.array([[scores["probabilities"][emotion] for emotion in EMOTIONS] for scores in found], np.float32)

    def _together(self, images: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        size = next(n for n in batch if n >= len(images))
        planes = np.zeros((size, 3, *images.shape[1:3]), np.float32)
        planes[: len(images)] = images.transpose(0, 3, 1, 2)
        found = self._model.predict({"image": planes})["probabilities"]
        return np.asarray(found, np.float32)[: len(images)]


def open_engine(artifact: Artifact, provider: str | None, threads: int | None) -> CoreMLEngine:
    """Open a `coreml` artifact on the compute units `provider`; None for those that the export named.

    Raises:
        UnavailableError: this macOS has no such units, or is too old for the package.
        ArtifactError: Core ML refuses the package.
        UsageError: a number of threads was asked for, which Core ML does not take.
    """
    if threads is not None:
        raise UsageError("Core ML chooses its number of threads itself.", "leave --threads out.")
    units = (provider or artifact.manifest.device["compute_units"]).upper()
    units = "CPU_ONLY" if units == "CPU" else units
    if units not in UNITS:
        raise UnavailableError(f"Core ML has no compute units {provider}.", f"choose one of: {', '.join(UNITS)}.")
    if units not in _available():
        raise UnavailableError(f"{units} needs macOS 13.", "choose ALL or CPU_ONLY.")
    return CoreMLEngine(artifact, units)


def ways(artifact: Artifact) -> tuple[str, ...]:
    """Compute units to prove an artifact on: those the export named, and for ALL each choice that ALL leaves open."""
    units = artifact.manifest.device["compute_units"]
    return _available() if units == "ALL" else (units,)


def load_model(artifact: Artifact, units: str) -> Any:
    """Compile and load the package: coremltools' MLModel.

    Raises:
        UnavailableError: this macOS is too old for the package, or has no Core ML that Python can reach.
        ArtifactError: Core ML refuses the package.
    """
    ct = import_quietly("coremltools")
    with warnings.catch_warnings():
        # A model that fails to load is only warned of, and fails again when it is first used.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            model = ct.models.MLModel(str(artifact.model), compute_units=ct.ComputeUnit[units])
        except RuntimeWarning as error:
            raise ArtifactError(f"Core ML cannot load {artifact.model}: {error}", "export it again.") from error
    try:
        model.get_compiled_model_path()
    except Exception as error:  # coremltools raises a bare Exception where it loaded nothing
        target = artifact.manifest.device["deployment_target"]
        raise UnavailableError(
            f"Core ML on macOS {platform.mac_ver()[0]} did not load a package made for {target}: {error}",
            "export it with an older --deployment-target.",
        ) from error
    return model


def compute_plan(model: Any, units: str) -> list[dict[str, Any]]:
    """Ask Core ML where it means to run each operation of a loaded MLModel; see `CoreMLEngine.plan`."""
    ct = import_quietly("coremltools")
    plans = import_quietly("coremltools.models.compute_plan")
    plan = plans.MLComputePlan.load_from_path(model.get_compiled_model_path(), compute_units=ct.ComputeUnit[units])
    rows = []
    for operation in plan.model_structure.program.functions["main"].block.operations:
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is None:  # constants run nowhere
            continue
        cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
        rows.append(
            {
                "operation": operation.operator_name,
                "output": operation.outputs[0].name,
                "device": _device(usage.preferred_compute_device),
                "supported": [_device(device) for device in usage.supported_compute_devices],
                "cost": cost.weight if cost else None,
            }
        )
    return rows


def _device(device: Any) -> str:
    kinds = {"MLCPUComputeDevice": "CPU", "MLGPUComputeDevice": "GPU", "MLNeuralEngineComputeDevice": "Neural Engine"}
    return kinds.get(type(device).__name__, type(device).__name__)


def _available() -> tuple[str, ...]:
    return UNITS if _macos() >= _NEURAL_ENGINE_SINCE else UNITS[:3]


def _macos() -> tuple[int, ...]:
    return tuple(int(part) for part in platform.mac_ver()[0].split(".")[:2])
