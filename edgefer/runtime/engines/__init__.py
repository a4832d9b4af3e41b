"""Engines run a model file. One file an engine; this registry says which engine runs which target."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

import numpy as np

from edgefer.artifact import Artifact
from edgefer.errors import UnavailableError
from edgefer.optional import require


class Engine(Protocol):
    """A loaded model.

    A module listed in `ENGINES` has a function `open_engine(artifact, provider, threads) -> Engine`, which raises
    `UnavailableError` when this machine cannot run it.
    """

    name: str  # engine, version and device, for reports: "onnxruntime 1.32.0, CPUExecutionProvider"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 RGB [N, size, size, 3] -> probabilities float32 [N, 7] in canonical order. Thread-safe."""
        ...


class Bound(Protocol):
    """A model with its input and output in place, on the device it computes on."""

    def __call__(self) -> int | None:
        """Compute once and return when the device has finished: ns on its own clock, or None if it has none."""
        ...

    def probabilities(self) -> np.ndarray:
        """What the last call computed: float32 [N, 7]."""
        ...


@runtime_checkable
class Bindable(Protocol):
    """An engine that can also be timed without its copies. Optional; `edgefer bench` asks for it."""

    def bound(self, images: np.ndarray) -> Bound:
        """Put uint8 RGB [N, size, size, 3] in place and return what computes on it, with buffers of its own."""
        ...


@dataclass(frozen=True)
class Row:
    """One registered engine or target.

    Attributes:
        module: the Python module.
        needs: the packages it needs.
        extra: the extra that brings them; two with a comma between.
        machine: a function "module:name" that raises `UnavailableError` where hardware is missing; "" if any will do.
        otherwise: what else to do when a package is missing, behind the command that installs it.
    """

    module: str
    needs: tuple[str, ...]
    extra: str
    machine: str = ""
    otherwise: str = ""


ENGINES: dict[str, Row] = {
    "onnx": Row("edgefer.runtime.engines.onnxruntime", ("onnxruntime",), "cpu"),
    "tensorrt": Row(
        "edgefer.runtime.engines.tensorrt", ("tensorrt", "cuda.bindings"), "tensorrt", "edgefer.runtime.cuda:gpu"
    ),
    "tensorrt-rtx": Row(
        "edgefer.runtime.engines.tensorrt_rtx",
        ("tensorrt_rtx", "cuda.bindings"),
        "tensorrt-rtx",
        "edgefer.runtime.cuda:gpu",
    ),
}


def open_engine(artifact: Artifact, provider: str | None = None, threads: int | None = None) -> Engine:
    """Open the engine for an artifact's target.

    Raises:
        UnavailableError: this installation has no engine for the target, or the machine cannot run it.
    """
    target = artifact.manifest.target
    if target not in ENGINES:
        raise UnavailableError(f"no engine for {target} artifacts is part of this version.", "upgrade edgefer.")
    row = ENGINES[target]
    require(row.needs, row.extra, f"running {target} artifacts", row.otherwise)
    try:
        module = import_module(row.module)
    except ImportError as error:
        raise UnavailableError(
            f"{row.needs[0]} is installed but does not start: {error}.",
            f'pip install --force-reinstall "edgefer[{row.extra}]"',
        ) from error
    engine: Engine = module.open_engine(artifact, provider, threads)
    return engine
