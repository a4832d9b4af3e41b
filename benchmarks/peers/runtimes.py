"""The first comparison: one network, one set of weights, every runtime."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgefer.bench import ours
from edgefer.bench.candidates import Candidate
from edgefer.bench.inputs import drawn_at
from edgefer.bench.runs import Plan
from edgefer.imageset import ImageSet
from peers.environments import Record
from peers.models import BATCHES, OURS, PLAIN, SIZE, WEIGHTS, tflite

ADAPTERS = Path(__file__).parent / "adapters"
NETWORK = "reference, seed 0"  # candidates of one network must answer alike, see edgefer.bench.agreement


@dataclass(frozen=True)
class Entrants:
    """Who takes part: candidates, the first being what ratios refer to, and who cannot, with the reason."""

    candidates: list[Candidate]
    missing: dict[str, str]


def entrants(record: Record, cache: Path) -> Entrants:
    """PyTorch on a network written as the authors' first, then what others make of it, then ours.

    Args:
        cache: an empty folder for what torch.compile makes, so that the first call of a setting is an honest one.
    """
    models = record.folder / "models"
    weights, plain, artifact = models / WEIGHTS, models / PLAIN, models / OURS
    litert = {str(batch): str(models / tflite(batch)) for batch in BATCHES}
    found: list[tuple[Candidate, str | None]] = [
        (_peer("PyTorch eager, as the authors'", "run_pytorch", {"weights": str(weights)}, weights), None),
        (
            _peer(
                "torch.compile, frozen",
                "run_pytorch",
                {"weights": str(weights), "cache": str(cache)},
                weights,
            ),
            None,
        ),
        (_peer("ONNX Runtime, plain export", "run_onnxruntime", {"path": str(plain)}, plain), None),
        (_openvino("OpenVINO, plain export", record, plain), unavailable(record, "openvino")),
        (
            _peer(
                "LiteRT, converted",
                "run_litert",
                {"paths": litert},
                models / tflite(BATCHES[0]),
                python=record.python("litert"),
            ),
            unavailable(record, "litert", [tflite(batch) for batch in BATCHES]),
        ),
        (replace(ours.artifact(artifact), name="edgefer fp32 (ONNX Runtime)", network=NETWORK), None),
        (
            _openvino("edgefer fp32, on OpenVINO", record, artifact / "model.onnx"),
            unavailable(record, "openvino"),
        ),
    ]
    return Entrants(
        [candidate for candidate, why in found if why is None],
        {candidate.name: why for candidate, why in found if why is not None},
    )


def plans(seconds: float, processes: int) -> list[Plan]:
    """Batch 1 and 32, one and two threads, at the boundary host."""
    return [
        Plan("host", batch, threads, seconds=seconds, processes=processes) for batch in BATCHES for threads in (1, 2)
    ]


def pool() -> ImageSet:
    """Gray faces of the model's size: every way of making gray agrees on them, and nothing is resized."""
    return drawn_at(SIZE, "png", gray=True)


def adapter(file: str) -> dict[str, Any]:
    """What a candidate needs to run an adapter: its opener, and a path on which it finds its neighbours."""
    return {"opener": f"{ADAPTERS / file}.py:open", "environment": {"PYTHONPATH": str(ADAPTERS)}}


def unavailable(record: Record, environment: str, models: list[str] | None = None) -> str | None:
    """Why a peer cannot run, as setup recorded it, or None."""
    made = record.environments.get(environment)
    if made is None:
        return "its environment was not set up"
    if made["error"]:
        return f"does not install: {made['error']}"
    for name in models or []:
        model = record.models.get(name)
        if model is None:
            return f"{name} was not made"
        if model["error"]:
            return f"{name} was not made: {model['error']}"
    return None


def _peer(
    name: str,
    file: str,
    arguments: Mapping[str, Any],
    shipped: Path,
    python: str = sys.executable,
) -> Candidate:
    size = shipped.stat().st_size if shipped.is_file() else None
    return Candidate(name, arguments=arguments, python=python, bytes=size, network=NETWORK, **adapter(file))


def _openvino(name: str, record: Record, path: Path) -> Candidate:
    return _peer(name, "run_openvino", {"path": str(path)}, path, python=record.python("openvino"))
