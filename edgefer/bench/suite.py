"""Several settings one after the other, with the machine recorded around them: what `edgefer bench` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgefer.bench import environment
from edgefer.bench.candidates import Candidate
from edgefer.bench.results import results
from edgefer.bench.runner import Progress, measure
from edgefer.bench.runs import Plan, Run
from edgefer.imageset import ImageSet


def bench(
    candidates: Sequence[Candidate],
    plans: Sequence[Plan],
    pool: ImageSet,
    command: str,
    progress: Progress | None = None,
    each: Callable[[Run], None] | None = None,
    keep_going: bool = False,
) -> tuple[list[Run], dict[str, Any]]:
    """Measure the candidates once for every plan.

    Args:
        candidates, pool, progress, keep_going: as `measure` takes them.
        plans: the settings, each a run of its own; figures of different runs are not comparable pair by pair.
        command: what the user typed, for the record.
        each: called with every run when it is done.

    Returns:
        The runs with all samples, and the results as written to results.json.
    """
    about, before = environment.record(), environment.moment()
    runs = []
    for plan in plans:
        run = measure(candidates, plan, pool, progress, keep_going)
        runs.append(run)
        if each:
            each(run)
    return runs, results(runs, about, before, environment.moment(), command)
