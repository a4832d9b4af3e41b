"""Compare an artifact with its checkpoint, from image bytes to probabilities.

The reference is the PyTorch network in float32, without any rewrite, fed through the checkpoint's own preprocessing;
never a file that the artifact was made from. The candidate is the artifact as an app runs it, through the runtime.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgefer.emotions import EMOTIONS, permutation
from edgefer.errors import ImageError
from edgefer.images import SUFFIXES, decode, read_bytes
from edgefer.model.checkpoint import Checkpoint
from edgefer.parity.bounds import BOUNDS
from edgefer.preprocess import Preprocess
from edgefer.runtime.recognizer import Recognizer

REFERENCE_BATCH = 32

Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Probe:
    """Images to prove on: encoded bytes with names, and one line that says what they are."""

    images: Sequence[tuple[str, bytes]]
    source: str

    @property
    def sha256(self) -> str:
        """Hash of all bytes, in order."""
        digest = hashlib.sha256()
        for _, data in self.images:
            digest.update(hashlib.sha256(data).digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class Comparison:
    """Probabilities of reference and candidate, float [N, 7] in canonical order, and what follows from them."""

    names: Sequence[str]
    reference: np.ndarray
    candidate: np.ndarray
    bound: float

    @property
    def deltas(self) -> np.ndarray:
        """Largest difference in any class, per image [N]; infinite where the candidate is not finite."""
        delta = np.abs(self.reference - self.candidate).max(axis=1)
        return np.where(np.isfinite(delta), delta, np.inf)

    @property
    def same_label(self) -> np.ndarray:
        """Whether the top-1 class agrees, per image [N]."""
        return self.reference.argmax(1) == self.candidate.argmax(1)

    @property
    def near_ties(self) -> np.ndarray:
        """Whether the reference's two best classes lie closer than the bound, per image [N]."""
        best = np.sort(self.reference, axis=1)
        return best[:, -1] - best[:, -2] < self.bound

    @property
    def differing(self) -> np.ndarray:
        """Indices of the images that fail: over the bound, or another label where there is no near tie."""
        wrong_label = ~self.same_label & ~self.near_ties
        return np.flatnonzero((self.deltas > self.bound) | wrong_label)

    @property
    def passed(self) -> bool:
        """Whether no image differs, and there was at least one."""
        return len(self.names) > 0 and not len(self.differing)

    def rows(self) -> list[dict[str, Any]]:
        """The images that differ, worst first: name, both labels with their probabilities, largest difference."""
        deltas = self.deltas
        order = sorted(self.differing, key=lambda i: -deltas[i])
        return [
            {
                "image": self.names[i],
                "reference": EMOTIONS[int(self.reference[i].argmax())],
                "reference_confidence": float(self.reference[i].max()),
                "candidate": EMOTIONS[int(self.candidate[i].argmax())],
                "candidate_confidence": float(self.candidate[i].max()),
                "max_delta": float(deltas[i]),
            }
            for i in order
        ]

    def summary(self) -> dict[str, Any]:
        """Figures of the whole comparison, plain JSON types."""
        return {
            "passed": self.passed,
            "images": len(self.names),
            "bound": self.bound,
            "max_delta": float(self.deltas.max(initial=0.0)),
            "mean_delta": float(self.deltas.mean()) if len(self.names) else 0.0,
            "top1_equal": int(self.same_label.sum()),
            "near_ties": int(self.near_ties.sum()),
            "near_ties_flipped": int((self.near_ties & ~self.same_label).sum()),
            "differing": len(self.differing),
        }


def probe_from_folder(folder: Path) -> Probe:
    """Read every image below `folder`, sorted by path.

    Raises:
        ImageError: there is none, or one cannot be read.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder.", "pass a folder of face images to --images.")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise ImageError(f"{folder} holds no images.", f"put face images ({', '.join(SUFFIXES)}) there.")
    images = [(f.relative_to(folder).as_posix(), read_bytes(f)) for f in files]
    return Probe(images, f"{len(images)} images given with --images")


@torch.inference_mode()
def reference_probabilities(
    checkpoint: Checkpoint, probe: Probe, preprocess: Preprocess, progress: Progress | None = None
) -> np.ndarray:
    """The checkpoint's answer: float32 [N, 7] in canonical order, from the plain network in float32.

    `preprocess` is the checkpoint's, or the checkpoint's with another size when the export asked for one.
    """
    order = permutation(checkpoint.classes)
    parts = []
    for at in range(0, len(probe.images), REFERENCE_BATCH):
        some = probe.images[at : at + REFERENCE_BATCH]
        faces = np.stack([preprocess(decode(data, name)) for name, data in some])
        logits = checkpoint.network(torch.from_numpy(preprocess.normalize(faces)))
        parts.append(torch.softmax(logits, dim=1).numpy()[:, order])
        if progress:
            progress(at + len(some), len(probe.images))
    return np.concatenate(parts)


def candidate_probabilities(recognizer: Recognizer, probe: Probe) -> np.ndarray:
    """The artifact's answer: float32 [N, 7], the way an app gets it: bytes in, in batches and one by one.

    Every fourth image is asked for alone, so that both batch 1 and full batches are proven.
    """
    data = [image for _, image in probe.images]
    probabilities = np.stack([p.probabilities for p in recognizer(data)])
    for i in range(0, len(data), 4):
        probabilities[i] = recognizer(data[i]).probabilities
    return probabilities


def compare(
    checkpoint: Checkpoint,
    recognizer: Recognizer,
    probe: Probe,
    progress: Progress | None = None,
) -> Comparison:
    """Run both on `probe` and compare, within the bound of the artifact's precision."""
    manifest = recognizer.artifact.manifest
    preprocess = reference_preprocess(checkpoint, manifest.preprocess.size)
    reference = reference_probabilities(checkpoint, probe, preprocess, progress)
    candidate = candidate_probabilities(recognizer, probe)
    names = [name for name, _ in probe.images]
    return Comparison(names, reference, candidate, BOUNDS[manifest.precision])


def reference_preprocess(checkpoint: Checkpoint, size: int) -> Preprocess:
    """The checkpoint's preprocessing at the artifact's input size; nothing else is taken from the artifact."""
    values = checkpoint.preprocess.to_dict()
    return Preprocess.from_dict({**values, "size": size})


def report(comparison: Comparison, probe: Probe, engine: str) -> dict[str, Any]:
    """What `parity.json` holds: what was compared with what, on which images, and the verdict."""
    return {
        "verdict": "passed" if comparison.passed else "failed",
        "reference": f"PyTorch {torch.__version__.split('+')[0]}, float32, plain network, from image bytes",
        "engine": engine,
        "probe": probe.source,
        "probe_sha256": probe.sha256,
        **comparison.summary(),
        "differing_images": comparison.rows(),
    }
