"""The registry of targets. A new one is a row here, a file beside this one, and an engine with its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgefer.errors import UsageError
from edgefer.optional import require
from edgefer.preprocess import Preprocess
from edgefer.runtime.engines import Row

if TYPE_CHECKING:  # the registry itself is read by `edgefer doctor`, where torch may be missing
    from edgefer.model.checkpoint import Checkpoint


@dataclass(frozen=True)
class Request:
    """What a target's builder is asked for. `options` holds what only some targets know; unknown ones are refused."""

    checkpoint: Checkpoint
    preprocess: Preprocess
    precision: str = "fp32"
    specialized: bool = True
    batch: tuple[int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """What a builder made in the folder it was given.

    Attributes:
        model: name of the model file, or package folder.
        precision: as read back from that file.
        content_sha256: of weights and normalised graph, free of everything that differs between two builds.
        summary: one line for the terminal: "ONNX opset 20, fp32, batch 1..N".
        tools: versions of what built it.
        device: what it runs on, where that is not "anything".
        seal: called with the manifest once everything else is known, to put it inside the model file; None if the
            format has no place for it.
    """

    model: str
    precision: str
    content_sha256: str
    summary: str
    tools: Mapping[str, str]
    device: Mapping[str, Any] = field(default_factory=dict)
    seal: Callable[[Any], None] | None = None


class Builder(Protocol):
    """The contract of a target's module: `PRECISIONS`, `OPTIONS`, and `build(request, folder) -> Built`."""

    PRECISIONS: tuple[str, ...]
    OPTIONS: tuple[str, ...]

    def build(self, request: Request, folder: Path) -> Built: ...


TARGETS: dict[str, Row] = {
    "onnx": Row("edgefer.export.onnx", ("torch", "onnx", "onnxscript", "onnxsim", "safetensors"), "export"),
}


def builder(target: str) -> Any:
    """Return the module that builds `target` (a `Builder`).

    Raises:
        UsageError: there is no such target.
        UnavailableError: what it needs is not installed.
    """
    if target not in TARGETS:
        raise UsageError(f"there is no target {target}.", f"choose one of: {', '.join(TARGETS)}.")
    row = TARGETS[target]
    require(row.needs, row.extra, f"exporting to {target}")
    return import_module(row.module)
