"""Compare an artifact with its checkpoint, from image bytes to probabilities.

The reference is the PyTorch network in float32, without any rewrite, fed through the checkpoint's own preprocessing;
never a file that the artifact was made from. The candidate is the artifact as an app runs it, through the runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edgefer.emotions import EMOTIONS, permutation
from edgefer.images import decode
from edgefer.imageset import ImageSet
from edgefer.model.checkpoint import Checkpoint
from edgefer.parity.bounds import ACCURACY_DROP, AGREEMENT, BOUNDS
from edgefer.preprocess import Preprocess
from edgefer.runtime.recognizer import Recognizer

REFERENCE_BATCH = 32

Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Comparison:
    """Probabilities of reference and candidate, float [N, 7] in canonical order, and what follows from them.

    Attributes:
        bound: largest difference allowed in any probability, and the margin below which an image is a near tie.
        agreement: None, or the least share of equal labels; differences are then reported and not limited.
        labels: true classes int [N] where they are known, for the accuracy of both.
    """

    names: Sequence[str]
    reference: np.ndarray
    candidate: np.ndarray
    bound: float
    agreement: float | None = None
    labels: np.ndarray | None = None

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
        """Indices of the images that differ: another label where there is no near tie, or over the bound.

        Where only labels are asked for, over the bound means not finite.
        """
        wrong_label = ~self.same_label & ~self.near_ties
        limit = self.bound if self.agreement is None else np.finfo(np.float64).max
        return np.flatnonzero((self.deltas > limit) | wrong_label)

    @property
    def agreeing(self) -> float:
        """Share of equal labels among the images that are no near ties; 0 if all are."""
        decided = ~self.near_ties
        return float(self.same_label[decided].mean()) if decided.any() else 0.0

    @property
    def accuracies(self) -> tuple[float, float] | None:
        """Accuracy of reference and candidate, where the true labels are known."""
        if self.labels is None:
            return None
        right = [float((p.argmax(1) == self.labels).mean()) for p in (self.reference, self.candidate)]
        return right[0], right[1]

    @property
    def failures(self) -> list[str]:
        """Why the verdict is "failed", in words; empty when it passed."""
        if not len(self.names):
            return ["nothing was compared"]
        if self.agreement is None:
            return [f"{len(self.differing)} of {len(self.names)} images differ"] if len(self.differing) else []
        found = []
        if not np.isfinite(self.deltas).all():
            found.append("a probability is not finite")
        if self.near_ties.mean() > 0.5:
            found.append(f"{self.near_ties.sum()} of {len(self.names)} images are near ties, which decide nothing")
        if self.agreeing < self.agreement:
            found.append(f"labels agree on {self.agreeing:.2%} of the rest, under {self.agreement:.0%}")
        if self.accuracies and self.accuracies[0] - self.accuracies[1] > ACCURACY_DROP:
            found.append(f"accuracy falls from {self.accuracies[0]:.2%} to {self.accuracies[1]:.2%}")
        return found

    @property
    def passed(self) -> bool:
        """Whether there is no failure, and there was at least one image."""
        return not self.failures

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
            "agreement": self.agreeing,
            "agreement_required": self.agreement,
            **({"accuracy": self.accuracies} if self.accuracies else {}),
            "failures": self.failures,
        }


@torch.inference_mode()
def reference_probabilities(
    checkpoint: Checkpoint, probe: ImageSet, preprocess: Preprocess, progress: Progress | None = None
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


def candidate_probabilities(recognizer: Recognizer, probe: ImageSet) -> np.ndarray:
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
    probe: ImageSet,
    progress: Progress | None = None,
    reference: np.ndarray | None = None,
) -> Comparison:
    """Run both on `probe` and compare, within the bound of the artifact's precision.

    `reference` is the checkpoint's answer where it is known already.
    """
    manifest = recognizer.artifact.manifest
    if reference is None:
        preprocess = reference_preprocess(checkpoint, manifest.preprocess.size)
        reference = reference_probabilities(checkpoint, probe, preprocess, progress)
    candidate = candidate_probabilities(recognizer, probe)
    names = [name for name, _ in probe.images]
    precision = manifest.precision
    return Comparison(names, reference, candidate, BOUNDS[precision], AGREEMENT.get(precision), probe.labels)


def reference_preprocess(checkpoint: Checkpoint, size: int) -> Preprocess:
    """The checkpoint's preprocessing at the artifact's input size; nothing else is taken from the artifact."""
    values = checkpoint.preprocess.to_dict()
    return Preprocess.from_dict({**values, "size": size})


def report(comparison: Comparison, probe: ImageSet, engine: str) -> dict[str, Any]:
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
