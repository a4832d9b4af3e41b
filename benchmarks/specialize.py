"""What the exact rewrites gain in ONNX Runtime: the graph other exporters give (batch norms folded) against ours.

    python benchmarks/specialize.py --model reference --out benchmarks/results

All candidates are timed in turn within one run; ratios are medians of the ratios round by round. Writes a Markdown
table, the raw samples beside it, and a picture.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from edgefer.bench import environment
from edgefer.bench.measure import interleave
from edgefer.bench.statistics import paired_ratio
from edgefer.export.onnx_graph import to_onnx
from edgefer.export.targets import Request
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import seeded
from edgefer.model.rewrites import map_product
from edgefer.preprocess import Preprocess


def build(folder: Path, model: str, size: int) -> dict[str, Path]:
    """Export one network in every form: folded, and rewritten with products up to 1, 2x2 and 4x4 positions."""
    checkpoint = Checkpoint(seeded(model))
    preprocess = Preprocess(size=size)
    paths = {"folded": folder / "folded.onnx"}
    graph = to_onnx(Request(checkpoint, preprocess, specialized=False))
    assert not any(node.op_type == "BatchNormalization" for node in graph.graph.node), "the baseline must be folded"
    paths["folded"].write_bytes(graph.SerializeToString())
    shipped = map_product.MAX_POSITIONS
    for positions in (0, 1, 4, 16):
        map_product.MAX_POSITIONS = positions
        name = {0: "dead taps dropped"}.get(positions, f"products to {positions} positions")
        name += " (shipped)" if positions == shipped else ""
        path = folder / f"{positions}.onnx"
        path.write_bytes(to_onnx(Request(checkpoint, preprocess)).SerializeToString())
        paths[name] = path
    map_product.MAX_POSITIONS = shipped
    return paths


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def measure(paths: dict[str, Path], size: int, batch: int, threads: int, rounds: int) -> dict[str, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    sessions = {name: session(path, threads) for name, path in paths.items()}
    answers = {name: s.run(None, {"image": images})[0] for name, s in sessions.items()}
    for name, answer in answers.items():
        assert np.abs(answer - answers["folded"]).max() < 1e-4, f"{name} computes something else"
    calls = {name: (lambda s=s: s.run(None, {"image": images})) for name, s in sessions.items()}
    return interleave(calls, rounds)


def picture(rows: list[dict[str, object]], path: Path, title: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    settings = list(dict.fromkeys((r["batch"], r["threads"]) for r in rows))
    names = [n for n in dict.fromkeys(str(r["candidate"]) for r in rows) if n != "folded"]
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.5 * len(settings) * len(names) / 2), layout="constrained")
    for i, name in enumerate(names):
        chosen = [next(r for r in rows if r["candidate"] == name and (r["batch"], r["threads"]) == s) for s in settings]
        at = np.arange(len(settings)) + (i - (len(names) - 1) / 2) * 0.18
        ratio = np.array([r["ratio"] for r in chosen], float)
        error = [[r["ratio"] - r["low"] for r in chosen], [r["high"] - r["ratio"] for r in chosen]]  # type: ignore[operator]
        axes.errorbar(ratio, at, xerr=error, fmt="o", capsize=3, label=name)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(settings)), [f"batch {b}, {t} thread{'s' if t != 1 else ''}" for b, t in settings])
    axes.invert_yaxis()
    axes.set_xlabel("times faster than the BN-folded graph (median and 95 % interval)")
    axes.set_title(title)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="reference")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=25, help="for each setting")
    parser.add_argument("--out", type=Path, default=None, help="folder for the results")
    parser.add_argument("--machine", help="name for the result files (default: made from the processor's)")
    a = parser.parse_args()
    if a.out is not None:
        a.out.mkdir(parents=True, exist_ok=True)
    about = environment.record()
    rows: list[dict[str, object]] = []
    raw: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = build(Path(folder), a.model, a.size)
        megabytes = {name: path.stat().st_size / 1e6 for name, path in paths.items()}
        for batch, threads in ((1, 1), (32, 1), (1, 2), (32, 2)):
            trial = measure(paths, a.size, batch, threads, rounds=2)
            rounds = max(5, int(a.seconds / sum(float(np.median(s)) for s in trial.values())))
            samples = measure(paths, a.size, batch, threads, rounds)
            for name, seconds in samples.items():
                ratio, low, high = paired_ratio(samples["folded"], seconds)
                row = {"candidate": name, "batch": batch, "threads": threads, "n": rounds, "mb": megabytes[name]}
                per_image = float(np.median(seconds)) * 1e3 / batch
                rows.append({**row, "ms_per_image": per_image, "ratio": ratio, "low": low, "high": high})
                raw.append({**row, "seconds": seconds.tolist()})
                interval = f"{ratio:.2f} [{low:.2f}, {high:.2f}]"
                print(f"batch {batch:2} threads {threads} {name:32} {per_image:7.2f} ms/image  {interval}")
    if a.out is None:
        return
    date = about["time_utc"][:10]
    stem = a.out / f"{date}-{a.machine or environment.machine_name(about)}-specialize-{a.model}-{a.size}"
    table = [
        "| candidate | batch | threads | n | ms an image | times faster | 95 % interval | MB |",
        "| --- " * 8 + "|",
    ]
    table += [
        f"| {r['candidate']} | {r['batch']} | {r['threads']} | {r['n']} | {r['ms_per_image']:.2f} | {r['ratio']:.2f} "
        f"| {r['low']:.2f} to {r['high']:.2f} | {r['mb']:.1f} |"
        for r in rows
    ]
    title = f"Exact rewrites, {a.model} at {a.size}x{a.size}, ONNX Runtime CPU, fp32"
    command = f"python benchmarks/specialize.py --model {a.model} --size {a.size} --seconds {a.seconds:g}"
    picture(rows, stem.with_suffix(".png"), title)
    text = (
        f"# {title}\n\n{date}, `{command}`. {environment.describe(about)}.\n\n"
        "All in turn in one run; the ratios are against the BN-folded graph round by round. Times illustrate.\n\n"
    )
    stem.with_suffix(".md").write_text(text + "\n".join(table) + f"\n\n![ratios]({stem.name}.png)\n", "utf-8")
    with stem.with_suffix(".jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in raw)


if __name__ == "__main__":
    main()
