"""What is measured: a candidate, and how the worker opens it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgefer.errors import UsageError
from edgefer.imageset import ImageSet
from edgefer.parity.bounds import BOUNDS
from edgefer.preprocess import Preprocess

BOUNDARIES = {
    "compute": "device only: input and output are in place, the clock stops when the device has finished",
    "host": "numpy in, numpy out: uint8 faces of the model's size -> probabilities",
    "end_to_end": "bytes of an encoded image in, label out: decoding and resizing included",
}

SCRATCH = "{scratch}"  # in a variable: a folder that all processes of one candidate share in a run, empty at first


@dataclass(frozen=True)
class Candidate:
    """One thing to measure, in a process of its own.

    Attributes:
        name: unique in a run.
        opener: "package.module:function" or "/path/to/file.py:function"; the contract is in `edgefer.bench.worker`.
        arguments: keyword arguments of the opener; JSON types only.
        python: the interpreter to run it with; a peer may have a virtual environment of its own.
        environment: variables set on top of this process's and of those that pin the threads; see `SCRATCH`.
        preprocess: how the faces of the boundaries compute and host are made from the pool of images.
        boundary, pool: its own instead of the plan's and the run's, for runs that compare these.
        bytes: size of what has to be shipped (model file or package); None when it is no file.
        network: which weights it computes with. Candidates of one network must answer alike; None: nobody's business.
        bound: largest difference in a probability that its precision explains; None: not bounded, as with int8.
        accuracy: share of right labels on a test set, where somebody measured it; for the pictures only.
        details: whatever else should be in the report: precision, target, hashes.
    """

    name: str
    opener: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    preprocess: Preprocess = field(default_factory=Preprocess)
    boundary: str | None = None
    pool: ImageSet | None = None
    bytes: int | None = None
    network: str | None = None
    bound: float | None = BOUNDS["fp32"]
    accuracy: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.boundary is not None:
            check_boundary(self.boundary)


def check_boundary(name: str) -> None:
    """Raise UsageError if `name` is no boundary."""
    if name not in BOUNDARIES:
        raise UsageError(f"there is no boundary {name}.", f"choose one of: {', '.join(BOUNDARIES)}.")
