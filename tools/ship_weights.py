"""Make a trained checkpoint the one that ships: float16 weights, and the ONNX file proven against them.

    python tools/ship_weights.py runs/quarter/best.safetensors --images DIR

The file in `edgefer/weights/` is what users get, so the proof is against it and not against the float32 weights it was
rounded from. Faces of real people given with --images are proven on as well as the drawn ones. The smaller forms that
an export makes of it (int8, and Core ML's int8 and int4 weights) have to pass their proofs too, before anything is
shipped.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import onnx
import onnxruntime as ort
import torch

from edgefer.cli.common import Output, probe
from edgefer.export.onnx_graph import to_onnx
from edgefer.export.quantize import calibration_probe, quantize
from edgefer.export.run import Options, describe, export
from edgefer.export.targets import Request
from edgefer.imageset import ImageSet, from_folder
from edgefer.model import checkpoint as checkpoints
from edgefer.parity.bounds import AGREEMENT, BOUNDS
from edgefer.parity.compare import Comparison, compare
from edgefer.preprocess import Preprocess
from edgefer.runtime.recognizer import load
from edgefer.weights import ARTIFACT, CHECKPOINT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--images", type=Path, help="folder of real faces to prove on too")
    arguments = parser.parse_args()
    output = Output(as_json=False)
    drawn, real = probe(None), from_folder(arguments.images) if arguments.images else None
    with tempfile.TemporaryDirectory() as folder:
        rounded = Path(folder) / CHECKPOINT.name
        checkpoints.save(checkpoints.load(arguments.checkpoint), rounded, torch.float16)
        checkpoint = checkpoints.load(rounded)
        artifact = export(checkpoint, Path(folder) / "onnx", drawn, Options(precision="fp16"), output.line)
        if real:
            refuse(compare(checkpoint, load(artifact.path), real), "real faces", output)
        model = to_onnx(Request(checkpoint, checkpoint.preprocess))
        quantized = quantize(model, calibration_probe(None).faces(checkpoint.preprocess))
        for faces, name in ((drawn, "int8, drawn"), (real, "int8, real")):
            if faces:
                refuse(compare_int8(model, quantized, faces, checkpoint.preprocess), name, output)
        for weights in ("int8", "int4"):
            options = Options("coreml", target_options={"compress": weights})
            export(checkpoint, Path(folder) / weights, drawn, options, output.line)
        shutil.copyfile(rounded, CHECKPOINT)
        shutil.copyfile(artifact.model, ARTIFACT)
    for path in (CHECKPOINT, ARTIFACT):
        output.line("written", f"{path.relative_to(Path.cwd())}  {path.stat().st_size / 1e6:.1f} MB")


def compare_int8(
    model: onnx.ModelProto, quantized: onnx.ModelProto, faces: ImageSet, preprocess: Preprocess
) -> Comparison:
    """Compare the graph that TensorRT is given for int8 with the float one, both computed as they are written."""
    images = faces.faces(preprocess)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # its int8 kernels are not TensorRT's
    float32, int8 = (
        ort.InferenceSession(graph.SerializeToString(), options).run(None, {"image": images})[0]
        for graph in (model, quantized)
    )
    names = [name for name, _ in faces.images]
    return Comparison(names, float32, int8, BOUNDS["int8"], AGREEMENT["int8"])


def refuse(comparison: Comparison, name: str, output: Output) -> None:
    """Say what came out, and end here if it is not good enough."""
    output.line(name, describe(comparison))
    if not comparison.passed:
        raise SystemExit(f"{name}: {'; '.join(comparison.failures)}; nothing was shipped")


if __name__ == "__main__":
    main()
