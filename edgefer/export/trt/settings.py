"""The options of the TensorRT targets: declared for the registry, read and checked for a build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefer.errors import UsageError
from edgefer.export.targets import Request
from edgefer.runtime.cuda import Gpu
from edgefer.runtime.engines.trt.flavor import RTX, Flavor

DEFAULT_BATCH = (1, 8, 32)
_LEVELS = range(6)  # builder_optimization_level in TensorRT 10 and 11


@dataclass(frozen=True)
class Settings:
    """What a build is asked for beyond its graph.

    Attributes:
        batch: (n,) for a fixed batch, (min, opt, max) for an optimisation profile.
        capabilities: compute capabilities a TensorRT-RTX engine is for; empty for the GPU of this machine.
        workspace: most device memory for intermediate results, bytes; None for all there is.
        level: how long the builder searches, 0 to 5; None for its own default.
        timing_cache: file with what earlier builds measured; None for the one in the user's cache folder.
        version_compatible, hardware_compatible: whether later versions, and other GPUs, can load the engine.
        calibration: folder of faces for int8; None for drawn ones.
    """

    batch: tuple[int, ...]
    capabilities: tuple[str, ...]
    workspace: int | None
    level: int | None
    timing_cache: Path | None
    version_compatible: bool
    hardware_compatible: bool
    calibration: Path | None


def read_settings(flavor: Flavor, trt: Any, request: Request, gpu: Gpu | None) -> Settings:
    """Check a request's options against each other, the module and the machine.

    Raises:
        UsageError: an option that cannot be.
    """
    given = request.options
    workspace, level = given.get("workspace"), given.get("optimization_level")
    if workspace is not None and workspace < 1:
        raise UsageError(f"--workspace {workspace} cannot be.", "pass megabytes, 1 or more.")
    if level is not None and level not in _LEVELS:
        raise UsageError(f"--optimization-level {level} cannot be.", f"choose {_LEVELS[0]} to {_LEVELS[-1]}.")
    if "calibration" in given and request.precision != "int8":
        raise UsageError(f"--calibration is for int8, not for {request.precision}.", "leave it out.")
    return Settings(
        batch=request.batch or DEFAULT_BATCH,
        capabilities=_capabilities(trt, request, gpu) if flavor is RTX else (),
        workspace=workspace * 2**20 if workspace is not None else None,
        level=level,
        timing_cache=_path(given.get("timing_cache")),
        version_compatible=bool(given.get("version_compatible")),
        hardware_compatible=bool(given.get("hardware_compatible")),
        calibration=_path(given.get("calibration")),
    )


def known_capabilities(trt: Any) -> dict[str, Any]:
    """Compute capabilities that this TensorRT-RTX builds for: {"8.6": ComputeCapability.SM86, ...}."""
    members = trt.ComputeCapability.__members__.items()
    return {f"{int(v) // 10}.{int(v) % 10}": v for name, v in members if name.startswith("SM")}


def _capabilities(trt: Any, request: Request, gpu: Gpu | None) -> tuple[str, ...]:
    text = request.options.get("compute_capability")
    if text is None:
        if gpu is None:
            raise UsageError(
                "there is no GPU here to build for.", "name those it should run on: --compute-capability 8.6,8.9,12.0"
            )
        return ()
    known = known_capabilities(trt)
    wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for capability in wanted:
        if capability not in known:
            raise UsageError(
                f"{RTX.title} {trt.__version__} does not build for compute capability {capability or '(none)'}.",
                f"choose some of: {', '.join(known)}.",
            )
    if "7.5" in wanted and request.precision == "fp32":
        raise UsageError(
            f"{RTX.title} has no fp32 matrix products for compute capability 7.5.",
            "take --precision fp16, or leave 7.5 out.",
        )
    return wanted


def _path(text: str | None) -> Path | None:
    return Path(text) if text is not None else None
