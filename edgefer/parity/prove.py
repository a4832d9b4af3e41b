"""A proof of an artifact: every way to run it compared with its checkpoint; or, where none runs, its file evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from edgefer.artifact import Artifact
from edgefer.errors import UnavailableError
from edgefer.imageset import ImageSet
from edgefer.model.checkpoint import Checkpoint
from edgefer.optional import require
from edgefer.parity.compare import Comparison, Progress, compare, report
from edgefer.runtime.engines import Row, open_engine, ways
from edgefer.runtime.recognizer import Recognizer

# Targets whose saved file can be evaluated where its engine does not run. The module has `open_evaluator(artifact)`,
# which returns an engine, and PROVES, which says what an evaluation proves and what it does not.
EVALUATORS: dict[str, Row] = {
    "coreml": Row("edgefer.parity.coreml_program", ("coremltools",), "coreml"),
}


@dataclass(frozen=True)
class Way:
    """One way to run an artifact, compared: the provider (None is the engine's default), what ran it, the figures.

    `plan` says where each operation runs, a row each, if the engine can tell.
    """

    provider: str | None
    engine: str
    comparison: Comparison
    plan: list[dict[str, Any]] | None = None

    @property
    def devices(self) -> dict[str, int]:
        """How many operations each device gets: {"Neural Engine": 42, "CPU": 3}; empty when nobody knows."""
        return dict(Counter(row["device"] for row in self.plan or ()).most_common())


@dataclass(frozen=True)
class Proof:
    """What came out of proving an artifact.

    Attributes:
        ways: one, or several where the engine has several (Core ML's compute units); at least one.
        not_run: why the artifact's engine did not run; its file was evaluated then. None if it ran.
        proves: what an evaluation proves, in words; None if the engine ran.
    """

    ways: tuple[Way, ...]
    not_run: UnavailableError | None = None
    proves: str | None = None

    @property
    def worst(self) -> Way:
        """The way that decides: one that failed before all others, then the largest difference."""
        return max(self.ways, key=lambda way: (not way.comparison.passed, way.comparison.deltas.max(initial=0.0)))

    @property
    def comparison(self) -> Comparison:
        """The comparison that decides."""
        return self.worst.comparison

    @property
    def verdict(self) -> str:
        """ "passed" if the engine ran, "evaluated" if the file was evaluated in its place, else "failed"."""
        if not self.comparison.passed:
            return "failed"
        return "evaluated" if self.not_run else "passed"

    def report(self, probe: ImageSet) -> dict[str, Any]:
        """What `parity.json` holds: what was compared with what, on which images, the verdict, and what it covers."""
        found = {**report(self.comparison, probe, self.worst.engine), "verdict": self.verdict}
        if self.not_run:
            found |= {"proves": self.proves, "runtime": f"not run: {self.not_run}", "hint": self.not_run.hint}
        if any(way.provider for way in self.ways):
            found["ways"] = {
                str(way.provider): {**way.comparison.summary(), "devices": way.devices, "plan": way.plan}
                for way in self.ways
            }
        return found


@dataclass(frozen=True)
class Candidates:
    """An artifact opened for a proof: a recognizer for each way, by provider; `not_run` and `proves` as in `Proof`."""

    recognizers: Mapping[str | None, Recognizer]
    not_run: UnavailableError | None = None
    proves: str | None = None

    @property
    def name(self) -> str:
        """What runs it, on one line."""
        return "; ".join(recognizer.engine.name for recognizer in self.recognizers.values())


def open_candidates(artifact: Artifact, provider: str | None = None, threads: int | None = None) -> Candidates:
    """Open an artifact on `provider`; on None in every way its engine names, or evaluated if its engine does not run.

    Raises:
        UnavailableError: it does not run here, and cannot be evaluated or `provider` was asked for.
        ArtifactError: the engine refuses it, or an evaluation finds it damaged.
    """
    try:
        wanted = ways(artifact) if provider is None else (provider,)
        return Candidates({way: Recognizer(artifact, open_engine(artifact, way, threads)) for way in wanted})
    except UnavailableError as error:
        row = EVALUATORS.get(artifact.manifest.target)
        if row is None or provider is not None:
            raise
        require(row.needs, row.extra, f"evaluating {artifact.manifest.target} artifacts")
        module = import_module(row.module)
        return Candidates({None: Recognizer(artifact, module.open_evaluator(artifact))}, error, module.PROVES)


def prove(checkpoint: Checkpoint, candidates: Candidates, probe: ImageSet, progress: Progress | None = None) -> Proof:
    """Compare every way to run an artifact with its checkpoint on `probe`."""
    found: list[Way] = []
    reference: np.ndarray | None = None
    for provider, recognizer in candidates.recognizers.items():
        comparison = compare(checkpoint, recognizer, probe, progress, reference)
        reference = comparison.reference
        plan = getattr(recognizer.engine, "plan", None)
        found.append(Way(provider, recognizer.engine.name, comparison, plan() if plan else None))
    return Proof(tuple(found), candidates.not_run, candidates.proves)
