"""The paper's inference times (1.4, 3.2, 3.6, 1.9 ms) beside ours, for `reference` and `paper` widths.

    python benchmarks/paper.py --out benchmarks/results

One network, four data sets: each at its own image size and at every boundary, in one interleaved run a network. Writes
<date>-<machine>-paper.md, .json and .png (and -dark.png), and the raw samples as .jsonl beside them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path

from edgefer.bench import environment, paper, paper_report
from edgefer.bench.report import samples
from edgefer.files import replace_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=None, help="measure this one instead of seeded weights")
    parser.add_argument("--threads", type=int, default=environment.default_threads())
    parser.add_argument("--seconds", type=float, default=10.0, help="for each data set, boundary and network")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder for the results")
    parser.add_argument("--machine", default=None, help="name for the result files; the processor's by default")
    options = parser.parse_args()
    command = shlex.join(["python", "benchmarks/paper.py", *sys.argv[1:]])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        models = paper.artifacts(Path(folder), options.checkpoint, lambda step, text: print(f"{step:12} {text}"))
        runs, results = paper.bench(models, options.threads, options.seconds, command, _tell)
    date = results["environment"]["time_utc"][:10]
    stem = f"{date}-{options.machine or environment.machine_name(results['environment'])}-paper"
    options.out.mkdir(parents=True, exist_ok=True)
    picture = paper_report.draw(results, options.out, stem)
    text = paper_report.markdown(results, picture.light.name)
    for suffix, content in {
        ".md": text,
        ".json": json.dumps(results, indent=1) + "\n",
        ".jsonl": "".join(samples(runs)),
    }.items():
        with replace_file(options.out / f"{stem}{suffix}") as partial:
            partial.write_text(content, "utf-8")
    print(f"\n{text}\nwritten      {options.out / stem}.md  .json  .jsonl  .png")


def _tell(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{what} {done} of {total}   ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
