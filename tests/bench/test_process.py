"""A worker seen from outside: every way in which a candidate can fail becomes one of our errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgefer.bench.candidates import Candidate
from edgefer.bench.process import CandidateError, Worker
from edgefer.errors import UnavailableError

FAKE = str(Path(__file__).with_name("fake.py"))


def open_it(worker: Worker, candidate: Candidate, tmp_path: Path, limit: float = 60) -> dict[str, object]:
    np.save(tmp_path / "faces.npy", np.zeros((2, 4, 4, 3), np.uint8))
    return worker.ask(
        "open",
        limit,
        opener=candidate.opener,
        arguments=dict(candidate.arguments),
        boundary="host",
        threads=1,
        batch=1,
        faces=str(tmp_path / "faces.npy"),
    )


def test_threads_are_pinned_and_variables_set(tmp_path: Path) -> None:
    candidate = Candidate("a", f"{FAKE}:chatty", environment={"FAKE": "yes"})
    with Worker(candidate, threads=3) as worker:
        about = open_it(worker, candidate, tmp_path)["about"]
    assert isinstance(about, dict)
    assert (about["omp"], about["own"], about["python"]) == ("3", "yes", candidate.python)


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ("raise", CandidateError, "ValueError: no such luck"),
        ("die", CandidateError, "ended with code 7: out of luck"),
        ("unavailable", UnavailableError, "no GPU here"),
    ],
)
def test_failures(how: str, kind: type[Exception], says: str, tmp_path: Path) -> None:
    candidate = Candidate("a name", f"{FAKE}:broken", {"how": how})
    with Worker(candidate, 1) as worker, pytest.raises(kind) as caught:
        open_it(worker, candidate, tmp_path)
    assert str(caught.value).startswith("a name")
    assert says in str(caught.value)
    assert getattr(caught.value, "hint", None)


def test_no_answer_in_time(tmp_path: Path) -> None:
    candidate = Candidate("slow", f"{FAKE}:broken", {"how": "hang"})
    with Worker(candidate, 1) as worker, pytest.raises(CandidateError, match=r"slow did not answer within 1.5 s"):
        open_it(worker, candidate, tmp_path, limit=1.5)


def test_a_python_that_is_not_there() -> None:
    with pytest.raises(CandidateError, match="does not start"):
        Worker(Candidate("a", "b:c", python="/no/such/python"), 1)


def test_a_module_or_function_that_is_not_there(tmp_path: Path) -> None:
    for opener in ("no.such.module:f", f"{FAKE}:no_such_function"):
        candidate = Candidate("a", opener)
        with Worker(candidate, 1) as worker, pytest.raises(CandidateError, match="no"):
            open_it(worker, candidate, tmp_path)
