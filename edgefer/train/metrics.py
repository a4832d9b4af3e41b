"""Figures of merit as pure functions of labels and probabilities. All shares lie in 0..1."""

from __future__ import annotations

import numpy as np

CALIBRATION_BINS = 15  # as in Guo et al. 2017


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return int64 [classes, classes]: row = true class, column = predicted class.

    Args:
        labels, predicted: int [N], class indices.
    """
    flat = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2)
    return flat.reshape(classes, classes)


def accuracy(counts: np.ndarray) -> float:
    """Share of the images on the diagonal of a confusion matrix; NaN without images."""
    total = counts.sum()
    return float(np.trace(counts) / total) if total else float("nan")


def recall(counts: np.ndarray) -> np.ndarray:
    """Return float64 [classes]: share of each class that was recognised; NaN for a class without images."""
    return _ratio(np.diag(counts), counts.sum(axis=1), np.nan)


def precision(counts: np.ndarray) -> np.ndarray:
    """Return float64 [classes]: share of the predictions of each class that were right; NaN for one never predicted."""
    return _ratio(np.diag(counts), counts.sum(axis=0), np.nan)


def macro_f1(counts: np.ndarray) -> float:
    """Mean over the classes that have images or predictions of F1 = 2 TP / (2 TP + FP + FN)."""
    scores = _ratio(2 * np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1), np.nan)
    return float(np.nanmean(scores)) if counts.sum() else float("nan")


def macro_recall(counts: np.ndarray) -> float:
    """Mean recall over the classes that have images (balanced accuracy)."""
    return float(np.nanmean(recall(counts))) if counts.sum() else float("nan")


def normalize_rows(counts: np.ndarray) -> np.ndarray:
    """Return float64 with rows that sum to 1; a class without images has a row of zeros."""
    return _ratio(counts, counts.sum(axis=1, keepdims=True), 0.0)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error (Naeini et al. 2015; Guo et al. 2017, equation 3).

    The mean, weighted by images, of |accuracy - confidence| over `bins` equal bins of the top probability.

    Args:
        labels: int [N].
        probabilities: float [N, classes].
    """
    if not len(labels):
        return float("nan")
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    at = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(at, right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def _ratio(above: np.ndarray, below: np.ndarray, empty: float) -> np.ndarray:
    above, below = np.broadcast_arrays(above.astype(np.float64), below)
    result = np.full(above.shape, empty)
    np.divide(above, below, out=result, where=below > 0)
    return result
