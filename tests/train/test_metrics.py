from __future__ import annotations

import numpy as np
import pytest

from edgefer.train import metrics

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle here")
torchmetrics = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is the oracle here")


@pytest.fixture(params=range(5))
def case(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of a middling classifier; from the fourth case on without two of the classes."""
    rng = np.random.default_rng(request.param)
    labels = rng.integers(0, 7 if request.param < 3 else 5, 400)
    scores = rng.normal(size=(400, 7)) + 1.5 * np.eye(7)[labels]
    if request.param >= 3:
        scores[:, 5:] = -9  # never predicted either
    probabilities = np.exp(2 * scores) / np.exp(2 * scores).sum(1, keepdims=True)
    return labels, probabilities.astype(np.float32)


def test_against_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = case
    predicted = probabilities.argmax(1)
    counts = metrics.confusion(labels, predicted, 7)
    np.testing.assert_array_equal(counts, sklearn.confusion_matrix(labels, predicted, labels=range(7)))
    assert metrics.accuracy(counts) == pytest.approx(sklearn.accuracy_score(labels, predicted))
    assert metrics.macro_f1(counts) == pytest.approx(sklearn.f1_score(labels, predicted, average="macro"))
    assert metrics.macro_recall(counts) == pytest.approx(sklearn.balanced_accuracy_score(labels, predicted))
    for ours, theirs in ((metrics.recall, sklearn.recall_score), (metrics.precision, sklearn.precision_score)):
        want = theirs(labels, predicted, labels=range(7), average=None, zero_division=np.nan)
        np.testing.assert_allclose(ours(counts), want)
    want = sklearn.confusion_matrix(labels, predicted, labels=range(7), normalize="true")
    np.testing.assert_allclose(metrics.normalize_rows(counts), want)


def test_calibration_against_torchmetrics(case: tuple[np.ndarray, np.ndarray]) -> None:
    import torch

    labels, probabilities = case
    want = torchmetrics.multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=7, n_bins=15, norm="l1"
    )
    assert metrics.calibration_error(labels, probabilities) == pytest.approx(float(want), abs=1e-6)


def test_calibration_of_known_cases() -> None:
    certain = np.eye(7)[[0, 1, 2, 3]]
    assert metrics.calibration_error(np.array([0, 1, 2, 3]), certain) == 0
    assert metrics.calibration_error(np.array([0, 1, 5, 5]), certain) == 0.5


def test_nothing_to_score() -> None:
    empty = np.zeros((7, 7), np.int64)
    assert np.isnan([metrics.accuracy(empty), metrics.macro_f1(empty), metrics.macro_recall(empty)]).all()
    assert np.isnan(metrics.recall(empty)).all()
    assert not metrics.normalize_rows(empty).any()
    assert np.isnan(metrics.calibration_error(np.empty(0, np.int64), np.empty((0, 7))))
