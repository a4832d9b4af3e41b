"""Make a trained checkpoint the one that ships: float16 weights, and the ONNX file proven against them.

    python tools/ship_weights.py runs/quarter/best.safetensors --images DIR

The file in `edgefer/weights/` is what users get, so the proof is against it and not against the float32 weights it was
rounded from. Faces of real people given with --images are proven on as well as the drawn ones.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import torch

from edgefer.cli.common import Output, probe
from edgefer.export.run import Options, describe, export
from edgefer.imageset import from_folder
from edgefer.model import checkpoint as checkpoints
from edgefer.parity.compare import compare
from edgefer.runtime.recognizer import load
from edgefer.weights import ARTIFACT, CHECKPOINT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--images", type=Path, help="folder of real faces to prove on too")
    arguments = parser.parse_args()
    output = Output(as_json=False)
    checkpoints.save(checkpoints.load(arguments.checkpoint), CHECKPOINT, torch.float16)
    checkpoint = checkpoints.load(CHECKPOINT)
    with tempfile.TemporaryDirectory() as folder:
        artifact = export(checkpoint, Path(folder) / "a", probe(None), Options(precision="fp16"), output.line)
        if arguments.images:
            comparison = compare(checkpoint, load(artifact.path), from_folder(arguments.images))
            output.line("real faces", describe(comparison))
            if not comparison.passed:
                raise SystemExit("the artifact predicts differently on real faces; nothing was shipped")
        shutil.copyfile(artifact.model, ARTIFACT)
    for path in (CHECKPOINT, ARTIFACT):
        output.line("written", f"{path.relative_to(Path.cwd())}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
