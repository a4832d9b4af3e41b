"""The models of the comparison, made once: one set of seeded weights in every form, and ours at quarter width."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from edgefer.emotions import EMOTIONS
from edgefer.export.run import Options, export
from edgefer.files import replace_file, sha256_file
from edgefer.imageset import ImageSet
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import seeded
from edgefer.samples import encoded
from edgefer.weights import CHECKPOINT, shipped
from peers.authors import Probabilities
from peers.environments import CONVERTER, ENVIRONMENTS, Record, Say, install

HERE = Path(__file__).parent
BATCHES = (1, 32)
SIZE = 64
PROBES = 64  # images that our own exports are proven on

WEIGHTS, PLAIN, OURS, QUARTER = "reference.pth", "plain.onnx", "ours", "quarter-fp32"


def tflite(batch: int) -> str:
    """Name of the LiteRT model for a batch size."""
    return f"plain-{batch}.tflite"


def make(record: Record, say: Say) -> None:
    """Make every model that is not there yet. A conversion that fails is recorded, ours must not."""
    folder = record.folder / "models"
    folder.mkdir(exist_ok=True)
    weights = folder / WEIGHTS
    seed = "reference, seed 0"
    quarter = shipped(CHECKPOINT)
    _step(record, WEIGHTS, seed, say, lambda: _write_weights(weights))
    _step(record, PLAIN, seed, say, lambda: _write_plain_onnx(weights, folder / PLAIN))
    _step(record, OURS, seed, say, lambda: _export(Checkpoint(seeded("reference"), classes=EMOTIONS), folder / OURS))
    _step(record, QUARTER, sha256_file(quarter), say, lambda: _export(checkpoints.load(quarter), folder / QUARTER))
    _convert_litert(record, folder, say)


def _step(record: Record, name: str, source: str, say: Say, build: Callable[[], None]) -> None:
    """Build a model unless it is there, made of the same weights."""
    path = record.folder / "models" / name
    if not path.exists() or record.models.get(name, {}).get("source") != source:
        begin = time.monotonic()
        build()
        record.models[name] = {"source": source, "error": None, "seconds": round(time.monotonic() - begin, 1)}
        record.write()
    say(name, f"{_size(path) / 1e6:.1f} MB")


def _write_weights(path: Path) -> None:
    """The seeded state dict; its outputs count as being in canonical order, so that nobody has to permute them."""
    with replace_file(path) as partial:
        torch.save(seeded("reference").state_dict(), partial)


def _write_plain_onnx(weights: Path, path: Path) -> None:
    """What anybody gets from torch.onnx.export, which folds batch norms, with a free batch size."""
    with replace_file(path) as partial:
        torch.onnx.export(
            Probabilities(str(weights)),
            (torch.zeros(2, 3, SIZE, SIZE),),
            partial,
            input_names=["input"],
            output_names=["probabilities"],
            dynamic_shapes={"x": {0: torch.export.Dim("N")}},
            external_data=False,
            verbose=False,
        )


def _export(checkpoint: Checkpoint, out: Path) -> None:
    export(replace(checkpoint, name=out.name), out, ImageSet(encoded(PROBES), f"{PROBES} drawn faces"), Options())


def _convert_litert(record: Record, folder: Path, say: Say) -> None:
    """In the converter's own environment, which is a gigabyte and is removed afterwards."""
    names = [tflite(batch) for batch in BATCHES]
    if not all((folder / name).exists() for name in names):
        begin = time.monotonic()
        error = _run_converter(record, folder, say)
        seconds = round(time.monotonic() - begin, 1)
        record.models.update({name: {"error": error, "seconds": seconds} for name in names})
        record.write()
        if error:
            say(CONVERTER, f"failed: {error}")
            return
        shutil.rmtree(record.folder / CONVERTER)
    for name in names:
        say(name, f"{_size(folder / name) / 1e6:.1f} MB")


def _run_converter(record: Record, folder: Path, say: Say) -> str | None:
    """Return what went wrong, or None."""
    if not install(ENVIRONMENTS[CONVERTER], record, say):
        return str(record.environments[CONVERTER]["error"])
    partial = {folder / f".{tflite(batch)}.partial": batch for batch in BATCHES}
    command = [record.python(CONVERTER), str(HERE / "convert_litert.py"), str(folder / WEIGHTS)]
    command += [f"{path}={batch}" for path, batch in partial.items()]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    if done.returncode:
        return f"conversion: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
    for path, batch in partial.items():
        path.replace(folder / tflite(batch))
    return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
