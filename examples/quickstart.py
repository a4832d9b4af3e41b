"""The main job from end to end: export a checkpoint, prove it, predict with it, and see how fast it is.

    python examples/quickstart.py [CHECKPOINT] [--out build/quickstart]

Without a checkpoint it takes the one that ships.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

import edgefer
from edgefer.bench.measure import interleave
from edgefer.bench.statistics import paired_ratio
from edgefer.cli.common import Output, probe
from edgefer.export.run import Options, export
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint
from edgefer.samples import contact_sheet, faces
from edgefer.weights import CHECKPOINT

FACES = 21
SECONDS = 6.0


def draw(fer: edgefer.Recognizer, path: Path) -> None:
    """Label the sample faces and write the picture."""
    samples = faces(FACES)
    predictions = fer([sample.image for sample in samples], channels="rgb")
    labels = [f"{p.label} {p.confidence:.2f}" for p in predictions]
    sheet = contact_sheet(samples, columns=7, labels=labels, tile=140)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def latency(output: Output, checkpoint: Checkpoint, folders: dict[str, Path]) -> None:
    """PyTorch, the plain ONNX graph and ours in turn: one face, one thread, uint8 in, probabilities out."""
    torch.set_num_threads(1)
    face = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    recognizers = {name: edgefer.load(folder, threads=1) for name, folder in folders.items()}

    @torch.inference_mode()
    def pytorch() -> object:
        x = torch.from_numpy(checkpoint.preprocess.normalize(face))
        return torch.softmax(checkpoint.network(x), 1).numpy()

    calls = {"PyTorch, eager": pytorch}
    for name, fer in recognizers.items():
        calls[name] = partial(fer.probabilities, face)
    trial = interleave(calls, rounds=5)
    rounds = max(20, int(SECONDS / sum(float(np.median(s)) for s in trial.values())))
    samples = interleave(calls, rounds, warmup=0)
    rows = []
    for name, seconds in samples.items():
        ratio, low, high = paired_ratio(samples["PyTorch, eager"], seconds)
        p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1e3
        size = (folders[name] / "model.onnx").stat().st_size / 1e6 if name in folders else None
        rows.append(
            [
                name,
                f"{p50:.2f}",
                f"{p99:.2f}",
                f"{ratio:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{size:.1f}" if size else "-",
            ]
        )
    output.table(["one face, one thread", "p50 ms", "p99 ms", "times faster", "95 % interval", "MB"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", type=Path, default=CHECKPOINT)
    parser.add_argument("--out", type=Path, default=Path("build/quickstart"))
    arguments = parser.parse_args()
    output = Output(as_json=False)
    checkpoint = checkpoints.load(arguments.checkpoint)
    images = probe(None)
    folders = {"ours, fp32": arguments.out / "fp32", "ours, fp16": arguments.out / "fp16"}
    plain = {"plain ONNX, fp32": arguments.out / "plain"}
    with output.working("exporting"):
        for name, folder in folders.items():
            export(checkpoint, folder, images, Options(precision=name[-4:]), output.line)
            output.text()
        export(checkpoint, plain["plain ONNX, fp32"], images, Options(specialized=False))
    draw(edgefer.load(folders["ours, fp32"]), arguments.out / "faces.png")
    latency(output, checkpoint, {**plain, **folders})
    output.text()
    output.line("written", f"{arguments.out}/  fp32  fp16  plain  faces.png")
    output.line("next", f"edgefer predict {arguments.out / 'fp32'} your_photo.jpg --out labelled.jpg")


if __name__ == "__main__":
    main()
