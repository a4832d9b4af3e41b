"""Evaluate anything that predicts, on a packed data set: checkpoints and artifacts go through the same code."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgefer.data.ferplus import majority
from edgefer.emotions import EMOTIONS, permutation
from edgefer.errors import DataError, UsageError
from edgefer.files import replace_file
from edgefer.model.checkpoint import Checkpoint
from edgefer.preprocess import LUMA
from edgefer.train import metrics
from edgefer.train.batches import SPLITS, PackedSet

Predict = Callable[[np.ndarray], np.ndarray]  # uint8 RGB [N, S, S, 3] -> probabilities [N, 7], canonical order
REPORT = "evaluation.json"
_TITLES = {"official": "all images", "clean": "without copies of training images", "ferplus": "FER+ majority labels"}


@dataclass(frozen=True)
class Scores:
    """Figures on one set of images; shares in 0..1.

    Attributes:
        images: how many.
        accuracy: share predicted right.
        macro_f1, macro_recall: mean over the classes.
        calibration_error: expected calibration error, 15 bins.
        recall: by class; None for a class without images.
        confusion: [7][7] counts, row = true class, column = predicted, in the order of EMOTIONS.
    """

    images: int
    accuracy: float
    macro_f1: float
    macro_recall: float
    calibration_error: float
    recall: dict[str, float | None]
    confusion: list[list[int]]


@dataclass(frozen=True)
class Report:
    """An evaluation.

    Attributes:
        model: what was evaluated, for reading.
        dataset, source_sha256, split: on what.
        official: on all images of the split.
        clean: on those without a near copy in training, where the data set knows.
        ferplus: against FER+ majority labels (more than half of all taggers), where it has them.
    """

    model: str
    dataset: str
    source_sha256: str
    split: str
    official: Scores
    clean: Scores | None = None
    ferplus: Scores | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"classes": list(EMOTIONS), **asdict(self)}

    def write(self, out: Path) -> list[Path]:
        """Write the report as JSON and a confusion matrix a figure as PNG; return the paths.

        Raises:
            UnavailableError: matplotlib is not installed; the JSON is written nevertheless.
        """
        from edgefer.train import pictures

        paths = [out / REPORT]
        with replace_file(paths[0]) as partial:
            partial.write_text(json.dumps(self.to_dict(), indent=2) + "\n", "utf-8")
        for name, title in _TITLES.items():
            scores: Scores | None = getattr(self, name)
            if scores is not None:
                paths.append(out / f"confusion_{name}.png")
                share = 100 * scores.accuracy
                text = f"{self.dataset} {self.split}, {title}: {share:.2f} % of {scores.images:,}"
                pictures.confusion_matrix(np.asarray(scores.confusion), paths[-1], text)
        return paths


def evaluate(
    predict: Predict,
    packed: PackedSet,
    split: str = "test",
    *,
    model: str = "",
    batch: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Predict every image of a split and score the predictions.

    Args:
        predict: uint8 RGB [N, S, S, 3] -> probabilities [N, 7] in the order of EMOTIONS; see `predictor` for a
            checkpoint; `edgefer.load(artifact).probabilities` is one for an artifact.
        model: its name, for the report.
        progress: called with (done, total).

    Raises:
        UsageError: the split is unknown.
        DataError: the split is empty, or what was predicted are not probabilities.
    """
    if split not in SPLITS:
        raise UsageError(f"{split!r} is not a split.", f"use one of {', '.join(SPLITS)}.")
    rows = np.flatnonzero(packed.splits == SPLITS.index(split))
    if not len(rows):
        raise DataError(f"the data set has no {split} images.", "choose another split.")
    probabilities = _predict(predict, packed.images, rows, batch, progress)
    labels = packed.labels[rows]
    clean = ferplus = None
    if packed.clean is not None and packed.clean[rows].any():
        kept = packed.clean[rows]
        clean = score(labels[kept], probabilities[kept])
    if packed.votes is not None:
        agreed = majority(packed.votes[rows])
        if (agreed >= 0).any():
            ferplus = score(agreed[agreed >= 0], probabilities[agreed >= 0])
    meta = packed.meta
    source = str(meta["source_sha256"])
    return Report(model, str(meta["dataset"]), source, split, score(labels, probabilities), clean, ferplus)


def score(labels: np.ndarray, probabilities: np.ndarray) -> Scores:
    """Score probabilities [N, 7] against labels int [N], both in the order of EMOTIONS."""
    counts = metrics.confusion(labels, probabilities.argmax(axis=1), len(EMOTIONS))
    recalls = metrics.recall(counts)
    return Scores(
        images=len(labels),
        accuracy=metrics.accuracy(counts),
        macro_f1=metrics.macro_f1(counts),
        macro_recall=metrics.macro_recall(counts),
        calibration_error=metrics.calibration_error(labels, probabilities),
        recall={name: None if np.isnan(r) else float(r) for name, r in zip(EMOTIONS, recalls, strict=True)},
        confusion=counts.tolist(),
    )


def predictor(checkpoint: Checkpoint, device: str = "cpu") -> Predict:
    """Return the `Predict` of a checkpoint: gray, normalisation, network, softmax, and the canonical class order."""
    network = copy.deepcopy(checkpoint.network).to(device).eval()
    order = permutation(checkpoint.classes)
    preprocess = checkpoint.preprocess
    mean, std, luma = (torch.tensor(v, device=device) for v in (preprocess.mean, preprocess.std, LUMA))

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(images)).to(device).float() / 255
            if preprocess.grayscale:
                x = (x @ luma)[..., None].expand(-1, -1, -1, 3)
            x = ((x - mean) / std).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
            probabilities: np.ndarray = network(x)[:, order].softmax(1).cpu().numpy()
        return probabilities

    return predict


def _predict(
    predict: Predict, images: np.ndarray, rows: np.ndarray, batch: int, progress: Callable[[int, int], None] | None
) -> np.ndarray:
    parts = []
    for start in range(0, len(rows), batch):
        some = images[rows[start : start + batch]]
        some = np.repeat(some, 3, axis=3) if some.shape[3] == 1 else some
        part = np.asarray(predict(np.ascontiguousarray(some)))
        if part.shape != (len(some), len(EMOTIONS)) or not np.isfinite(part).all():
            raise DataError(
                f"the model returned {part.dtype} {list(part.shape)} for {len(some)} images.",
                f"it must return {len(EMOTIONS)} finite probabilities an image.",
            )
        parts.append(part)
        if progress is not None:
            progress(min(start + batch, len(rows)), len(rows))
    return np.concatenate(parts)
