"""All that one visit to a GPU machine can show, in one command.

    python benchmarks/gpu.py --out benchmarks/results/2026-12-01-h200-gpu

PyTorch (eager, batch norms folded, compiled), ONNX Runtime's CUDA provider and TensorRT (both kinds), with the shipped
weights and with `reference` widths: each exported and proven on the device, then measured side by side, batch 1 and 32,
device time and numpy to numpy. Beside the times stands the floor that memory sets: the bytes of the weights over the
bandwidth measured here. What cannot be done on this machine is listed with its reason. `--device cpu` tries the script
out on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from edgefer.artifact import open_artifact, read_parity
from edgefer.bench import inputs, ours, report
from edgefer.bench.candidates import Candidate
from edgefer.bench.runs import Plan
from edgefer.bench.suite import bench
from edgefer.cli.common import RENDERED, Output
from edgefer.errors import EdgeferError
from edgefer.export.run import Options, export
from edgefer.files import replace_file
from edgefer.imageset import ImageSet
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import seeded
from edgefer.preprocess import Preprocess
from edgefer.samples import encoded
from edgefer.weights import CHECKPOINT, shipped

# Target, precisions, batch profile, and the provider that runs the artifact. One artifact serves all batch sizes.
BUILDS: tuple[tuple[str, tuple[str, ...], tuple[int, ...] | None, str | None], ...] = (
    ("onnx", ("fp32", "fp16"), None, "cuda"),
    ("tensorrt-rtx", ("fp32", "fp16", "int8"), (1, 32, 32), None),
    ("tensorrt", ("fp32", "fp16", "int8"), (1, 32, 32), None),
)
BYTES = {"fp32": 4, "fp16": 2, "int8": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--models", nargs="+", default=["shipped", "reference"], help="shipped, or a preset's name")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each candidate in each setting")
    arguments = parser.parse_args()
    output = Output(as_json=False)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: PyTorch finds no CUDA device here.\nhint:  --device cpu tries the script out without one.")
    bandwidth = memory_bandwidth(arguments.device)
    output.line("bandwidth", f"{bandwidth / 1e9:,.0f} GB/s, read and written, copying within the device's memory")
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.models:
            parts.append(measure(model, Path(folder) / model, arguments, output))
    write(arguments.out, parts, bandwidth, output)


def measure(model: str, folder: Path, arguments: argparse.Namespace, output: Output) -> dict[str, Any]:
    """Export, prove and time one network in every form this machine has."""
    output.text()
    folder.mkdir()
    file = weights(model, folder)
    source = checkpoints.load(file)
    output.line("model", f"{model}: {source.describe()}")
    candidates = ours.checkpoint(file, arguments.device)
    built, missing = builds(source, folder, arguments.device, output)
    candidates += built
    plans = [Plan(b, n, 1, arguments.seconds) for b in ("compute", "host") for n in arguments.batch]
    command = shlex.join(["python", "benchmarks/gpu.py", *sys.argv[1:]])
    with output.bar("measure") as bar:
        runs, results = bench(
            candidates,
            plans,
            inputs.drawn(),
            command,
            lambda what, done, total: bar(done, total) if what == "measuring" else None,
            keep_going=True,
        )
    for run in results["runs"]:
        output.text()
        output.table(*report.timing(run))
    for why in missing:
        output.line("missing", why)
    report.write(arguments.out / model, results, runs)
    proofs = {c.name: read_parity(open_artifact(c.arguments["path"])) for c in built}
    return {"model": model, "results": results, "proofs": proofs, "missing": missing}


def weights(model: str, folder: Path) -> Path:
    """The checkpoint file of a model: the shipped one, or a preset's with seeded weights, which costs as much time."""
    if model == "shipped":
        return shipped(CHECKPOINT)
    path = folder / f"{model}.safetensors"
    checkpoints.save(Checkpoint(seeded(model), Preprocess(), name=path.name, origin="seeded"), path)
    return path


def builds(source: Checkpoint, folder: Path, device: str, output: Output) -> tuple[list[Candidate], list[str]]:
    """Every artifact that can be built, proven and run here, and a line for each that cannot."""
    probe = ImageSet(encoded(RENDERED), f"{RENDERED} rendered faces, seed 0")
    found: list[Candidate] = []
    missing: list[str] = []
    for target, precisions, batch, provider in BUILDS:
        for precision in precisions:
            out = folder / f"{target}-{precision}"
            try:
                export(source, out, probe, Options(target, precision, batch=batch), output.line)
                found.append(ours.artifact(out, provider if device == "cuda" else None))
            except EdgeferError as error:
                missing.append(f"{target} {precision}: {error} ({error.hint})")
    return found, missing


def memory_bandwidth(device: str, size: int = 1 << 29, rounds: int = 10) -> float:
    """Bytes read plus bytes written a second, copying half a gigabyte within the device: the best of some rounds."""
    source = torch.zeros(size if device == "cuda" else size // 8, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(rounds):
        best = min(best, _copy_seconds(target, source))
    return 2 * source.numel() / best


def _copy_seconds(target: torch.Tensor, source: torch.Tensor) -> float:
    if source.device.type == "cpu":
        from time import perf_counter

        start = perf_counter()
        target.copy_(source)
        return perf_counter() - start
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    target.copy_(source)
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def write(out: Path, parts: list[dict[str, Any]], bandwidth: float, output: Output) -> None:
    """README.md of the visit: tables, proofs, floors, and what was missing. The samples lie in a folder a model."""
    lines = [
        f"# {report.about(parts[0]['results'])}",
        "",
        f"Memory bandwidth, measured: {bandwidth / 1e9:,.0f} GB/s.",
        "",
    ]
    for part in parts:
        lines += [f"## {part['model']}", ""]
        for run in part["results"]["runs"]:
            lines += [*report.pipes(*report.timing(run)), ""]
            lines += [f"- {name}: not measured: {why}" for name, why in run["failed"].items()]
        lines += ["", *report.pipes(*proof_table(part, bandwidth)), ""]
        lines += [f"- not available: {why}" for why in part["missing"]]
        lines += ["", f"![ratios and latencies]({part['model']}/ratio.png)", ""]
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("README.md", "\n".join(lines)), ("gpu.json", json.dumps(parts, indent=1) + "\n")):
        with replace_file(out / name) as partial:
            partial.write_text(text, "utf-8")
    output.line("written", f"{out}/  README.md  gpu.json  {'  '.join(part['model'] + '/' for part in parts)}")


def proof_table(part: dict[str, Any], bandwidth: float) -> report.Table:
    """What was proven of each artifact, and the time its weights alone take to read."""
    rows = []
    for candidate in part["results"]["runs"][0]["candidates"]:
        details = candidate["details"]
        size = details["parameters"] * BYTES[details["precision"]]
        proof = part["proofs"].get(candidate["name"])
        verdict = f"{proof['verdict']}, max dp {proof['max_delta']:.1e}" if proof and "max_delta" in proof else "-"
        rows.append([candidate["name"], verdict, report.megabytes(size), report.figure(size / bandwidth * 1e3)])
    return ["", "proof on this machine", "weights MB", "floor ms"], rows


if __name__ == "__main__":
    main()
