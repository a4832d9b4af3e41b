"""Engines run a model file. One file an engine; this registry says which engine runs which target."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

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
        system: the one system it works on, as `platform.system()` calls it; None for all.
        threads: whether an engine takes a number of CPU threads; those that do not refuse one.
    """

    module: str
    needs: tuple[str, ...]
    extra: str
    machine: str = field(default="", kw_only=True)
    otherwise: str = field(default="", kw_only=True)
    system: str | None = field(default=None, kw_only=True)
    threads: bool = field(default=True, kw_only=True)

    @property
    def elsewhere(self) -> str | None:
        """The name of the system that it needs, if this is another one."""
        return None if self.system in (None, platform.system()) else _SYSTEMS[self.system]


_SYSTEMS = {"Darwin": "macOS"}


ENGINES: dict[str, Row] = {
    "onnx": Row("edgefer.runtime.engines.onnxruntime", ("onnxruntime",), "cpu"),
    "tensorrt": Row(
        "edgefer.runtime.engines.tensorrt",
        ("tensorrt", "cuda.bindings"),
        "tensorrt",
        machine="edgefer.runtime.cuda:gpu",
        threads=False,
    ),
    "tensorrt-rtx": Row(
        "edgefer.runtime.engines.tensorrt_rtx",
        ("tensorrt_rtx", "cuda.bindings"),
        "tensorrt-rtx",
        machine="edgefer.runtime.cuda:gpu",
        threads=False,
    ),
    "coreml": Row("edgefer.runtime.engines.coreml", ("coremltools", "PIL"), "coreml", system="Darwin", threads=False),
}


def open_engine(artifact: Artifact, provider: str | None = None, threads: int | None = None) -> Engine:
    """Open the engine for an artifact's target.

    Raises:
        UnavailableError: this installation has no engine for the target, or the machine cannot run it.
    """
    engine: Engine = _module(artifact).open_engine(artifact, provider, threads)
    return engine


def ways(artifact: Artifact) -> tuple[str | None, ...]:
    """The providers on which an artifact is to be proven: what its engine's own `ways` names, or its default alone.

    Raises:
        UnavailableError: as `open_engine`.
    """
    own = getattr(_module(artifact), "ways", None)
    return own(artifact) if own else (None,)


def _module(artifact: Artifact) -> Any:
    target = artifact.manifest.target
    if target not in ENGINES:
        raise UnavailableError(f"no engine for {target} artifacts is part of this version.", "upgrade edgefer.")
    row = ENGINES[target]
    if row.elsewhere:
        raise UnavailableError(
            f"{target} artifacts run on {row.elsewhere} only.",
            f"load it there, or export another target for {_here()}.",
        )
    require(row.needs, row.extra, f"running {target} artifacts", row.otherwise)
    try:
        return import_module(row.module)
    except ImportError as error:
        raise UnavailableError(
            f"{row.needs[0]} is installed but does not start: {error}.",
            f'pip install --force-reinstall "edgefer[{row.extra}]"',
        ) from error


def _here() -> str:
    return _SYSTEMS.get(platform.system(), platform.system())
