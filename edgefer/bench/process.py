"""A worker process, seen from outside: start it, ask it, end it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from edgefer.bench.candidates import SCRATCH, Candidate
from edgefer.errors import EdgeferError, UnavailableError, UsageError

WORKER = Path(__file__).with_name("worker.py")
# What the usual thread pools read when they start.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
ANSWER_LIMIT = 600.0  # seconds; a compiling candidate takes minutes


class CandidateError(EdgeferError):
    """A candidate that could not be opened or failed while it ran."""


class Worker:
    """One candidate's process. `ask` sends a request and returns the answer; see `worker.Session`."""

    def __init__(self, candidate: Candidate, threads: int, scratch: str = "") -> None:
        self.candidate = candidate
        pinned = dict.fromkeys(THREAD_VARIABLES, str(threads))
        own = {name: value.replace(SCRATCH, scratch) for name, value in candidate.environment.items()}
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed in close)
        try:
            self._process = subprocess.Popen(
                [candidate.python, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                encoding="utf-8",
                env={**os.environ, **pinned, **own},
            )
        except OSError as error:
            self._log.close()
            raise CandidateError(
                f"{candidate.name}: {candidate.python} does not start: {error.strerror}.", "check its interpreter."
            ) from None

    def ask(self, do: str, limit: float = ANSWER_LIMIT, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its answer, `limit` seconds at most.

        Raises:
            CandidateError: the candidate raised, ended or did not answer in time.
            UnavailableError, UsageError: the candidate raised one of ours.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(limit, self._process.kill)  # a killed process closes its end, and the read returns
        timer.start()
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            in_time = timer.is_alive()
            timer.cancel()
        if not line:
            code = self._process.wait()
            what = f"ended with code {code}" if in_time else f"did not answer within {limit:g} s"
            raise CandidateError(f"{self.candidate.name} {what}: {self.last_words()}", "run it alone to see why.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise self._error(answer)
        return answer

    def _error(self, answer: Mapping[str, Any]) -> EdgeferError:
        message = f"{self.candidate.name}: {answer['error']}"
        hint = str(answer.get("hint", "run it alone to see why."))
        kinds: dict[int, type[EdgeferError]] = {4: UnavailableError, 2: UsageError}
        return kinds.get(int(answer.get("exit_code", 3)), CandidateError)(message, hint)

    def last_words(self) -> str:
        """The last line that the candidate printed."""
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else "it printed nothing"

    def close(self) -> None:
        """End the process; it has nothing to put in order."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # a request that it never took is still in the pipe
                    pipe.close()
        self._process.wait()
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
