"""edgefer beside its peers, in one run on this machine.

    python benchmarks/peers.py --setup build/peers            once; needs the net and about 3 GB
    python benchmarks/peers.py build/peers --data fer2013.npz --out benchmarks/results

The first part runs one network with one set of weights in every runtime: batch 1 and 32, one and two threads. The
second runs whole packages on one face, each with the weights it ships: accuracy on FER2013's private test (skipped
without --data), size of the model, latency. A peer that does not install is listed with its error.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peers import models, packages, pictures, report, runtimes
from peers.environments import CONVERTER, ENVIRONMENTS, Record, install
from peers.runtimes import Entrants

from edgefer.bench import environment
from edgefer.bench.report import samples
from edgefer.bench.runs import PROCESSES, Plan, Run
from edgefer.bench.suite import bench
from edgefer.cli.common import Output, fail
from edgefer.errors import DataError, EdgeferError
from edgefer.files import replace_file
from edgefer.imageset import ImageSet

PARTS = ("runtimes", "packages")


def main(arguments: Sequence[str] | None = None) -> int:
    """Set up, or measure; return the exit code."""
    a = _arguments(arguments)
    output = Output(as_json=False)
    try:
        return _set_up(a.folder, output) if a.setup else _measure(a, output)
    except EdgeferError as error:
        return fail(str(error), error.hint, error.exit_code, as_json=False)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the peers' environments and models")
    parser.add_argument("--setup", action="store_true", help="make DIR, and measure nothing")
    parser.add_argument("--part", choices=PARTS, help="measure this part only")
    parser.add_argument("--data", type=Path, help="FER2013: npz, csv or a packed file (best packed with --size 48)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=3.0,
        help="for each candidate in each setting over all its processes (default 3)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=PROCESSES,
        help="of each candidate in each setting; fewer than 6 show no difference",
    )
    parser.add_argument("--out", type=Path, help="folder for results, samples and pictures")
    parser.add_argument("--machine", help="name for the result files (default: made from the processor's)")
    return parser.parse_args(arguments)


def _set_up(folder: Path, output: Output) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    record = Record(folder.resolve())
    for one in ENVIRONMENTS.values():
        if one.name != CONVERTER:  # made when something has to be converted
            with output.working(f"installing {one.name}"):
                install(one, record, output.line)
    with output.working("making the models"):
        models.make(record, output.line)
    place = shlex.quote(str(folder))
    output.line("next", f"python benchmarks/peers.py {place} --data fer2013.npz --out benchmarks/results")
    return 0


def _measure(a: argparse.Namespace, output: Output) -> int:
    begin = time.monotonic()
    record = Record.open(a.folder.resolve())
    if a.data is not None and not a.data.exists():
        raise DataError(f"{a.data} is not there.", "pass FER2013 as npz, csv or packed, or leave --data out.")
    results: dict[str, Any] = {
        "schema": 1,
        "command": _typed(),
        "setup": {"environments": record.environments, "models": record.models},
        **dict.fromkeys(PARTS),
        "accuracy": None,
        "cited": packages.cited(),
    }
    runs: dict[str, list[Run]] = {}
    shippers = packages.entrants(record) if a.part in (None, "packages") else None  # refuses before anything takes time
    if a.part in (None, "runtimes"):
        with tempfile.TemporaryDirectory() as cache:
            who = runtimes.entrants(record, Path(cache))
            runs["runtimes"], results["runtimes"] = _bench(
                who, runtimes.plans(a.seconds, a.processes), runtimes.pool(), output
            )
    if shippers is not None:
        if a.data is not None:
            with output.working("scoring on FER2013"):
                shippers, reports = packages.score(shippers, a.data)
            results["accuracy"] = {name: one.to_dict() for name, one in reports.items()}
        runs["packages"], results["packages"] = _bench(
            shippers, packages.plans(a.seconds, a.processes), packages.pool(), output
        )
    _print(results, output)
    if a.out is not None:
        _write(a.out, a.machine, results, runs, output)
    output.line("took", f"{time.monotonic() - begin:.0f} s")
    return 0


def _bench(who: Entrants, plans: list[Plan], pool: ImageSet, output: Output) -> tuple[list[Run], dict[str, Any]]:
    """Measure, and list who could not take part with those that failed."""
    with output.bar("measure") as bar:
        runs, results = bench(
            who.candidates,
            plans,
            pool,
            _typed(),
            lambda what, done, total: bar(done, total) if what == "measuring" else None,
            keep_going=True,
        )
    for run in results["runs"]:
        run["failed"] = {**who.missing, **run["failed"]}
    return runs, results


def _print(results: Mapping[str, Any], output: Output) -> None:
    tables = {"runtimes": lambda: report.speeds(results["runtimes"]), "packages": lambda: report.packages(results)}
    for part in PARTS:
        if results[part]:
            output.text()
            output.table(*tables[part]())
    output.text()
    for text in report.remarks(results):
        output.line("remark", text)


def _write(
    out: Path, machine: str | None, results: Mapping[str, Any], runs: Mapping[str, list[Run]], output: Output
) -> None:
    """The page, the results, a file of samples for each part, and the pictures."""
    out.mkdir(parents=True, exist_ok=True)
    about = next(results[part] for part in PARTS if results[part])["environment"]
    stem = f"{about['time_utc'][:10]}-{machine or environment.machine_name(about)}-peers"
    texts = {f"{stem}-{part}.jsonl": "".join(samples(some)) for part, some in runs.items()}
    texts[f"{stem}.json"] = json.dumps(results, indent=1) + "\n"
    _replace(out, texts)  # first, so that they are there whatever happens to the pictures
    _replace(out, {f"{stem}.md": report.page(results, pictures.draw(results, out, stem))})
    output.line("written", f"{out / stem}.md, .json, samples and pictures")


def _replace(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        with replace_file(folder / name) as partial:
            partial.write_text(text, "utf-8")


def _typed() -> str:
    """The command as typed; of an absolute path only the name, since results are published."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return f"python benchmarks/peers.py {shlex.join(words)}"


if __name__ == "__main__":
    sys.exit(main())
