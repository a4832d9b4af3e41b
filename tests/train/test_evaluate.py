from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import edgefer
from edgefer.artifact import Artifact
from edgefer.emotions import EMOTIONS, permutation
from edgefer.errors import DataError, UsageError
from edgefer.model.checkpoint import Checkpoint
from edgefer.preprocess import Preprocess
from edgefer.train.evaluate import evaluate, predictor


def certain(classes: np.ndarray) -> np.ndarray:
    return np.eye(7, dtype=np.float32)[classes]


@pytest.fixture
def made() -> Any:
    """Ten test images whose pixel (0, 0) says what the oracle predicts, and two others that must not be looked at."""
    labels = np.array([0, 1, 2, 3, 4, 5, 6, 3, 3, 3, 0, 0])
    images = np.full((12, 8, 8, 1), 200, np.uint8)
    images[:10, 0, 0, 0] = [0, 1, 2, 3, 4, 5, 6, 3, 6, 0]  # eight right, happiness twice wrong
    votes = np.zeros((12, 7), np.float32)
    votes[np.arange(12), labels] = 0.6
    votes[0] = [0.5, 0.5, 0, 0, 0, 0, 0]  # no majority of all taggers
    votes[8] = [0, 0, 0, 0.2, 0, 0, 0.7]  # FER+ agrees with the oracle, not with the label
    return SimpleNamespace(
        images=images,
        labels=labels,
        splits=np.array([2] * 10 + [0, 1], np.uint8),
        votes=votes,
        clean=np.array([True, True, True] + [False] * 6 + [True] + [False] * 2),
        meta={"dataset": "made", "source_sha256": "cd" * 32, "preprocess": Preprocess(8).to_dict()},
    )


def oracle(images: np.ndarray) -> np.ndarray:
    assert images.dtype == np.uint8
    assert images.shape[1:] == (8, 8, 3)
    assert (images == images[..., :1]).all()
    return certain(images[:, 0, 0, 0])


def test_official_clean_and_ferplus(made: Any) -> None:
    seen: list[tuple[int, int]] = []
    report = evaluate(oracle, made, "test", model="oracle", batch=4, progress=lambda *a: seen.append(a))
    assert seen == [(4, 10), (8, 10), (10, 10)]
    assert (report.official.images, report.official.accuracy) == (10, 0.8)
    assert report.official.recall == {**dict.fromkeys(EMOTIONS, 1.0), "happiness": 0.5}
    assert report.official.macro_recall == pytest.approx(6.5 / 7)
    assert report.official.calibration_error == pytest.approx(0.2)
    confusion = np.asarray(report.official.confusion)
    assert (confusion[3, 3], confusion[3, 6], confusion[3, 0], confusion.sum()) == (2, 1, 1, 10)
    assert report.clean is not None
    assert (report.clean.images, report.clean.accuracy) == (4, 0.75)
    assert report.clean.recall["sadness"] is None
    assert report.ferplus is not None
    assert report.ferplus.images == 9
    assert report.ferplus.accuracy == pytest.approx(8 / 9)


def test_without_votes_and_clean(made: Any) -> None:
    made.votes = made.clean = None
    report = evaluate(oracle, made)
    assert report.clean is None
    assert report.ferplus is None


def test_validation_has_no_clean_part(made: Any) -> None:
    report = evaluate(lambda images: certain(np.zeros(len(images), int)), made, "val")
    assert report.clean is None
    assert (report.official.images, report.official.accuracy) == (1, 1.0)


def test_what_cannot_be_evaluated(made: Any) -> None:
    with pytest.raises(UsageError, match="'private' is not a split"):
        evaluate(oracle, made, "private")
    with pytest.raises(DataError, match=r"returned float64 \[10, 6\]"):
        evaluate(lambda images: np.ones((len(images), 6)), made)
    with pytest.raises(DataError, match=r"returned float64 \[10, 7\]") as caught:
        evaluate(lambda images: np.full((len(images), 7), np.nan), made)
    made.splits[:] = 0
    with pytest.raises(DataError, match="no test images"):
        evaluate(oracle, made)
    assert "7 finite probabilities" in caught.value.hint


def test_the_report_as_files(made: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = evaluate(oracle, made, model="oracle")
    paths = report.write(tmp_path / "report")
    names = ["evaluation.json", "confusion_official.png", "confusion_clean.png", "confusion_ferplus.png"]
    assert [path.name for path in paths] == names
    assert all(path.stat().st_size > 100 for path in paths)
    stored = json.loads(paths[0].read_text())
    assert stored == json.loads(json.dumps(report.to_dict()))
    assert stored["classes"] == list(EMOTIONS)
    assert stored["official"]["accuracy"] == 0.8


def test_a_checkpoint_predicts_in_canonical_order(tiny: Checkpoint) -> None:
    """Against the network called by hand, through the host's normalisation; the checkpoint itself is left alone."""
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        logits = tiny.network(torch.from_numpy(tiny.preprocess.normalize(images)))
    want = logits.softmax(1).numpy()[:, permutation(tiny.classes)]
    np.testing.assert_allclose(predictor(tiny)(images), want, atol=1e-6)
    assert tiny.network.conv2.weight.is_contiguous()


def test_checkpoint_and_artifact_through_the_same_code(
    tiny: Checkpoint, tiny_artifact: Artifact, packed_of: Callable[..., Any]
) -> None:
    packed = packed_of(n=70, size=64, channels=3)
    ours = evaluate(predictor(tiny), packed)
    theirs = evaluate(edgefer.load(tiny_artifact.path).probabilities, packed)
    assert ours.official.confusion == theirs.official.confusion
    assert ours.official.calibration_error == pytest.approx(theirs.official.calibration_error, abs=1e-4)


def test_a_real_checkpoint_on_real_faces(
    shared: Path, fer2013_mini: tuple[np.ndarray, dict[str, np.ndarray]], packed_of: Callable[..., Any]
) -> None:
    """The quarter-width network of the development data: 57.4 % on the private test, and it never says disgust."""
    from edgefer.model import checkpoint as checkpoints

    faces, meta = fer2013_mini
    preprocess = Preprocess()
    keep = np.flatnonzero(meta["usage"] == 2)
    images = np.stack([preprocess(np.repeat(face[..., None], 3, axis=2)) for face in faces[keep]])
    labels = np.array([EMOTIONS.index(name) for name in edgefer.emotions.FER2013])[meta["y"][keep]]
    packed = packed_of(n=7)
    packed.images, packed.labels, packed.splits = images, labels, np.full(len(keep), 2, np.uint8)
    packed.votes = packed.clean = None
    report = evaluate(predictor(checkpoints.load(shared / "quarter_fer2013.pth")), packed)
    assert 0.45 < report.official.accuracy < 0.6  # the mini set has as many of each class, disgust 30
    assert report.official.recall["disgust"] == 0
    happiness = report.official.recall["happiness"]
    assert happiness is not None
    assert happiness > 0.7
