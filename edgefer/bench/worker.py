"""The process that a candidate is measured in: opens it, calls it, times it. One stand-alone file.

It runs by its path in any Python 3.9 or later that has numpy: a peer lives in a virtual environment of its own, where
edgefer is not installed. Requests are lines of JSON on stdin, answers lines of JSON on stdout; whatever the candidate
prints goes to stderr. `edgefer.bench.process` is the other end.

An opener is a function, named as "package.module:function" or "path/to/file.py:function". It is called as
`function(boundary=..., threads=..., batch=..., **arguments)` and returns a callable, or raises when it cannot do that
boundary. The callable takes, and returns,

    compute, host   uint8 [batch, size, size, 3] RGB -> probabilities [batch, classes] in canonical order
    end_to_end      list of `batch` encoded images (bytes) -> list of `batch` labels (str)

and only that call is timed. It may have these methods, which are never timed:

    prepare(inputs) -> bound     called once for each distinct input before anything is timed; the call then gets what
                                 it returned (buffers in place: the compute boundary)
    collect(outputs) -> answers  turns what the call returned into probabilities, a numpy array [batch, classes], or
                                 into labels where there are none
    device_ns() -> int           duration of the last call by the device's own clock, used in place of this one's; None
                                 from the first call on: this clock is the right one
    device_memory() -> int       peak bytes on the device
    about() -> dict              what is worth recording: versions, provider, precision
"""

from __future__ import annotations

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (before any other import)
# Python puts a script's folder first on the path; the files beside this one would hide the standard library's.
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _HERE]  # noqa: PTH100

import gc  # noqa: E402
import importlib  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from array import array  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Callable  # noqa: E402, UP035 (Python 3.9)

import numpy as np  # noqa: E402

clock = time.perf_counter_ns  # monotonic, and on one axis in all processes of a machine
MIN_ITEMS = 8  # distinct batches to rotate through
SPIN_NS = 500_000  # the last stretch before an arrival is spun away: sleeping wakes up late


class Session:
    """One candidate: each public method answers the request of its name with a dict."""

    def __init__(self) -> None:
        self.call: Any = None
        self.collect: Callable[[Any], Any] = lambda outputs: outputs
        self.device_ns: Callable[[], int | None] | None = None
        self.inputs: list[Any] = []
        self.items: list[Any] = []
        self.position = 0

    def open(
        self,
        opener: str,
        arguments: dict[str, Any],
        boundary: str,
        threads: int,
        batch: int,
        faces: str | None = None,
        images: list[str] | None = None,
    ) -> dict[str, Any]:
        """Load the candidate; the inputs are `images` (files) at the boundary end_to_end, `faces` (.npy) elsewhere."""
        before = peak_memory()
        start = clock()
        function = find(opener)
        self.call = function(boundary=boundary, threads=threads, batch=batch, **arguments)
        load = clock() - start
        if boundary == "end_to_end":
            pool: Any = [Path(path).read_bytes() for path in images or []]
        else:
            pool = np.load(faces or "")
        self.inputs = [take(pool, batch, number) for number in range(count_items(len(pool), batch))]
        self.collect = getattr(self.call, "collect", self.collect)
        self.device_ns = getattr(self.call, "device_ns", None)
        about: dict[str, Any] = getattr(self.call, "about", dict)()
        return {"load_ns": load, "python_bytes": before, "about": about, "python": sys.version.split()[0]}

    def first(self) -> dict[str, Any]:
        """Bind the first input and make the very first call."""
        prepare = getattr(self.call, "prepare", None)
        start = clock()
        first = prepare(self.inputs[0]) if prepare else self.inputs[0]
        bound = clock()
        self.call(first)
        done = clock()
        self.items = [first, *(prepare(one) if prepare else one for one in self.inputs[1:])]
        if self.device_ns is not None and self.device_ns() is None:
            self.device_ns = None
        own = "host" if self.device_ns is None else "device"
        return {"first_ns": done - bound, "bind_ns": bound - start if prepare else 0, "clock": own}

    def outputs(self) -> dict[str, Any]:
        """What the candidate answers to every distinct input, in order; not timed."""
        answers: list[Any] = []
        for item in self.items:
            answer = self.collect(self.call(item))
            answers.extend(answer.tolist() if hasattr(answer, "tolist") else list(answer))
        return {"outputs": answers}

    def block(self, calls: int) -> dict[str, Any]:
        """Time `calls` calls, one after the other, going on with the next inputs."""
        starts, durations = array("q", bytes(8 * calls)), array("q", bytes(8 * calls))
        call, items, count, at = self.call, self.items, len(self.items), self.position
        device_ns = self.device_ns
        cpu = time.process_time_ns()
        for number in range(calls):
            item = items[(at + number) % count]
            start = clock()
            answer = call(item)
            stop = clock()
            starts[number] = start
            durations[number] = stop - start if device_ns is None else device_ns() or 0
            answer = None  # freed here: not while the next call is timed
        cpu = time.process_time_ns() - cpu
        del answer
        self.position = (at + calls) % count
        return {"starts": starts.tolist(), "ns": durations.tolist(), "cpu_ns": cpu, "quiet": settle()}

    def paced(self, offsets: list[int], limit_ns: int) -> dict[str, Any]:
        """Serve calls that arrive `offsets` ns from now, in order; a late one starts at once. Stop after `limit_ns`."""
        call, items, count = self.call, self.items, len(self.items)
        arrivals, starts, stops = array("q"), array("q"), array("q")
        cpu, begin = time.process_time_ns(), clock() + 1_000_000
        for number, offset in enumerate(offsets):
            arrival = begin + offset
            if clock() - begin > limit_ns:
                break
            wait_until(arrival)
            start = clock()
            call(items[number % count])
            stops.append(clock())
            starts.append(start)
            arrivals.append(arrival)
        cpu = time.process_time_ns() - cpu
        served = {"arrivals": arrivals.tolist(), "starts": starts.tolist(), "stops": stops.tolist()}
        return {**served, "unserved": len(offsets) - len(stops), "cpu_ns": cpu, "quiet": settle()}

    def freeze(self) -> dict[str, Any]:
        """Take what lives for good out of the garbage collector's sight; it goes on collecting the rest."""
        gc.collect()
        gc.freeze()
        return {}

    def memory(self) -> dict[str, Any]:
        """Peak resident memory so far, and the device's where the candidate knows it."""
        on_device = getattr(self.call, "device_memory", None)
        return {"peak_bytes": peak_memory(), "device_bytes": on_device() if on_device else None}


def find(opener: str) -> Callable[..., Any]:
    """The function that "module:function" or "file.py:function" names."""
    place, _, name = opener.rpartition(":")
    if place.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        if spec is None or spec.loader is None:
            raise ImportError(f"{place} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    function: Callable[..., Any] = getattr(module, name)
    return function


def count_items(pool: int, batch: int) -> int:
    """How many distinct inputs to make of a pool: every image alone, or enough batches to see all of them."""
    if not pool:
        raise ValueError("the pool of inputs is empty")
    return pool if batch == 1 else max(MIN_ITEMS, math.ceil(pool / batch))


def take(pool: Any, batch: int, number: int) -> Any:
    """The number-th input: `batch` images of the pool, another start each time."""
    start = number * batch + number * batch // len(pool)  # shifted by one each time round, or batches would repeat
    rows = [(start + i) % len(pool) for i in range(batch)]
    return pool[rows] if isinstance(pool, np.ndarray) else [pool[row] for row in rows]


def wait_until(moment: int) -> None:
    """Return at `moment` on `clock`, at once if it has passed."""
    left = moment - clock()
    if left > SPIN_NS:
        time.sleep((left - SPIN_NS) / 1e9)
    while clock() < moment:
        pass


def settle(limit_ns: int = 500_000_000) -> bool:
    """Wait until this process uses no CPU: pools of threads spin for a while, and would slow the next candidate down.

    Returns False if it was still busy at the limit.
    """
    end = clock() + limit_ns
    while clock() < end:
        wall, cpu = clock(), time.process_time_ns()
        time.sleep(0.005)
        if time.process_time_ns() - cpu < 0.1 * (clock() - wall):
            return True
    return False


def peak_memory() -> int | None:
    """Peak resident bytes of this process; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # not getrusage: on Linux it starts with the peak of the process that started this one
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def serve() -> None:
    """Answer requests until stdin ends."""
    # The answers keep the pipe; file descriptor 1 becomes stderr, so that no library can print between them.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    session = Session()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(session, request.pop("do"))(**request)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
            if hasattr(error, "exit_code"):  # one of edgefer's own: message, hint and exit code stay together
                answer = {"error": str(error), "hint": getattr(error, "hint", ""), "exit_code": error.exit_code}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
