from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from edgefer.train.votes import to_label_probabilities


def made(n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ten taggers an image who often say class 4 where the label is another one."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(7, n, p=[0.14, 0.05, 0.14, 0.25, 0.15, 0.16, 0.11])
    said = 0.5 * np.eye(7)[labels] + 0.35 * np.eye(7)[4] + 0.15 / 7
    votes = np.stack([rng.multinomial(10, p / p.sum()) for p in said]) / 10
    return votes.astype(np.float32), labels


def test_agrees_with_scikit_learn() -> None:
    votes, labels = made()
    ours = to_label_probabilities(torch.from_numpy(votes), torch.from_numpy(labels), 7).numpy()
    features = np.concatenate([np.sqrt(votes), votes, votes**2], axis=1, dtype=np.float64)
    penalty = 1 / (2 * len(labels) * 1e-5)  # the same ridge in scikit-learn's terms
    oracle = LogisticRegression(C=penalty, max_iter=20_000, tol=1e-9).fit(features, labels).predict_proba(features)
    assert np.abs(ours - oracle).mean() < 1e-3  # not the same: scikit-learn leaves the intercept free
    np.testing.assert_allclose(ours.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(ours.mean(0), np.bincount(labels) / len(labels), atol=1e-3)  # calibrated on the whole


def test_takes_the_taggers_bias_out() -> None:
    """Against the votes as they are."""
    votes, labels = made(6000)
    fitted = to_label_probabilities(torch.from_numpy(votes), torch.from_numpy(labels), 7).numpy()
    assert (votes.argmax(1) == labels).mean() < 0.8
    assert (fitted.argmax(1) == labels).mean() > 0.9
    np.testing.assert_allclose(fitted.mean(0), np.bincount(labels) / len(labels), atol=1e-3)


def test_a_class_without_images_and_one_image() -> None:
    votes, labels = made(200)
    some = labels != 1
    fitted = to_label_probabilities(torch.from_numpy(votes[some]), torch.from_numpy(labels[some]), 7)
    assert torch.isfinite(fitted).all()
    assert fitted[:, 1].max() < 0.02
    one = to_label_probabilities(torch.from_numpy(votes[:1]), torch.from_numpy(labels[:1]), 7)
    assert one[0, labels[0]] > 0.9


def test_gives_the_same_bits_again() -> None:
    votes, labels = (torch.from_numpy(a) for a in made(500))
    first = to_label_probabilities(votes, labels, 7)
    assert torch.equal(first, to_label_probabilities(votes, labels, 7))
