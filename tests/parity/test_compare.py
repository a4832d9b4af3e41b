"""The verdict: arithmetic of the comparison, and planted faults that must each be refused."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import edgefer
from edgefer.artifact import Artifact, Manifest, append_manifest, dump, open_artifact, sha256_path
from edgefer.emotions import AUTHORS, EMOTIONS
from edgefer.errors import ArtifactError
from edgefer.imageset import ImageSet
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import seeded
from edgefer.parity.bisect import bisect
from edgefer.parity.compare import Comparison, compare, reference_probabilities
from tests.conftest import TINY


def make(reference: list[list[float]], candidate: list[list[float]], bound: float = 1e-3) -> Comparison:
    names = [f"{i}.png" for i in range(len(reference))]
    return Comparison(names, np.array(reference), np.array(candidate), bound)


def test_equal_passes() -> None:
    rows = [[0.7, 0.2, 0.1, 0, 0, 0, 0], [0.1, 0.8, 0.1, 0, 0, 0, 0]]
    comparison = make(rows, rows)
    assert comparison.passed
    assert comparison.summary()["max_delta"] == 0
    assert comparison.summary()["top1_equal"] == 2


def test_over_the_bound_fails_even_with_the_same_label() -> None:
    comparison = make([[0.9, 0.1, 0, 0, 0, 0, 0]], [[0.898, 0.102, 0, 0, 0, 0, 0]])
    assert not comparison.passed
    assert comparison.rows()[0]["max_delta"] == pytest.approx(0.002)


def test_another_label_within_the_bound_fails_unless_it_is_a_near_tie() -> None:
    flip = make([[0.5010, 0.4990, 0, 0, 0, 0, 0]], [[0.4999, 0.5001, 0, 0, 0, 0, 0]], bound=1.5e-3)
    assert flip.deltas[0] < flip.bound
    assert not flip.passed
    tie = make([[0.5003, 0.4997, 0, 0, 0, 0, 0]], [[0.4999, 0.5001, 0, 0, 0, 0, 0]])
    assert tie.passed
    assert tie.summary()["near_ties"] == 1
    assert tie.summary()["near_ties_flipped"] == 1
    assert tie.summary()["top1_equal"] == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_not_finite_fails(bad: float) -> None:
    comparison = make([[1, 0, 0, 0, 0, 0, 0]], [[bad, 0, 0, 0, 0, 0, 0]])
    assert not comparison.passed
    assert comparison.rows()[0]["max_delta"] == float("inf")


def test_nothing_compared_is_not_a_pass() -> None:
    assert not Comparison([], np.empty((0, 7)), np.empty((0, 7)), 1e-5).passed


def labels_only(
    flipped: int, ties: int = 0, count: int = 200, labels: np.ndarray | None = None, bad: float | None = None
) -> Comparison:
    """`count` images of which the last `flipped` change their label and the first `ties` are near ties."""
    reference = np.tile([0.7, 0.2, 0.1, 0, 0, 0, 0], (count, 1))
    reference[:ties] = [0.46, 0.44, 0.1, 0, 0, 0, 0]
    candidate = reference + np.array([-0.1, 0.1, 0, 0, 0, 0, 0])
    if flipped:
        candidate[-flipped:] = [0.2, 0.7, 0.1, 0, 0, 0, 0]
    if bad is not None:
        candidate[5, 6] = bad
    names = [f"{i}.png" for i in range(count)]
    return Comparison(names, reference, candidate, 0.05, agreement=0.99, labels=labels)


def test_where_labels_are_asked_for_differences_are_reported_and_not_limited() -> None:
    comparison = labels_only(flipped=2)
    assert comparison.passed
    figures = comparison.summary()
    assert figures["max_delta"] == pytest.approx(0.5)
    assert figures["agreement"] == 0.99
    assert figures["agreement_required"] == 0.99
    assert [row["image"] for row in comparison.rows()] == ["198.png", "199.png"]
    assert len(labels_only(flipped=0).rows()) == 0


def test_too_few_equal_labels_fail() -> None:
    comparison = labels_only(flipped=3)
    assert not comparison.passed
    assert comparison.failures == ["labels agree on 98.50% of the rest, under 99%"]
    assert len(comparison.rows()) == 3


def test_near_ties_count_apart_but_must_not_be_most_of_the_images() -> None:
    ties = labels_only(flipped=0, ties=100)
    assert ties.passed
    assert ties.summary()["near_ties_flipped"] == 100
    assert ties.agreeing == 1
    assert "101 of 200 images are near ties" in labels_only(flipped=0, ties=101).failures[0]
    assert not labels_only(flipped=0, ties=200).passed
    # With near ties apart, one flip weighs more: 2 of 200 pass, 2 of 100 do not.
    assert not labels_only(flipped=2, ties=100).passed


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_labels_alone_do_not_excuse_what_is_not_finite(bad: float) -> None:
    assert labels_only(flipped=0, bad=bad).failures == ["a probability is not finite"]


def test_accuracy_is_reported_and_must_not_fall_where_labels_are_known() -> None:
    truth = np.zeros(400, int)
    truth[:100] = 1  # the reference is right on 300
    kept = labels_only(flipped=3, count=400, labels=truth)
    assert kept.passed
    assert kept.summary()["accuracy"] == (0.75, 0.7425)
    fallen = Comparison(kept.names, kept.reference, kept.candidate, 0.05, 0.98, truth)
    fallen.candidate[-5:] = [0.2, 0.7, 0.1, 0, 0, 0, 0]
    assert fallen.failures == ["accuracy falls from 75.00% to 73.75%"]


def test_reference_is_plain_pytorch_from_bytes(tiny: Checkpoint, probe: ImageSet) -> None:
    """Against a second writing with Pillow and torch alone."""
    expected = []
    with torch.no_grad():
        for name, data in probe.images[:6]:
            path = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
            small = np.asarray(Image.fromarray(path).resize((64, 64), Image.Resampling.BILINEAR), np.float32)
            gray = small @ np.array([0.299, 0.587, 0.114], np.float32) / 255
            planes = [(gray - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
            logits = tiny.network(torch.from_numpy(np.stack(planes))[None].float())
            scores = dict(zip(AUTHORS, torch.softmax(logits, 1)[0].tolist(), strict=True))
            expected.append([scores[emotion] for emotion in EMOTIONS])
            assert name
    found = reference_probabilities(tiny, ImageSet(probe.images[:6], "x"), tiny.preprocess)
    np.testing.assert_allclose(found, expected, atol=2e-6)


# Planted faults. Each changes an artifact in one way, reseals it as a careful forger would, and must be refused.


def reseal(folder: Path, change: Callable[[onnx.ModelProto], None], **manifest_changes: object) -> Artifact:
    """Change the model inside an artifact and make every hash fit again, so that only parity can notice."""
    artifact = open_artifact(folder)
    model = onnx.load(artifact.model)
    del model.metadata_props[:]
    change(model)
    manifest: Manifest = replace(artifact.manifest, **manifest_changes)  # type: ignore[arg-type]
    payload = model.SerializeToString(deterministic=True)
    inner = replace(manifest, files={manifest.model: hashlib.sha256(payload).hexdigest()})
    artifact.model.write_bytes(append_manifest(payload, inner))
    files = {**manifest.files, manifest.model: sha256_path(artifact.model)}
    (folder / "manifest.json").write_bytes(dump(replace(manifest, files=files).to_dict()))
    return open_artifact(folder)


def weight(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(t for t in model.graph.initializer if t.name.endswith(name))


def edit(model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = weight(model, name)
    values = onnx.numpy_helper.to_array(tensor).copy()
    tensor.CopyFrom(onnx.numpy_helper.from_array(change(values), tensor.name))


def swap_classes(model: onnx.ModelProto) -> None:
    order = [1, 0, 2, 3, 4, 5, 6]
    for name in ("fc4.weight", "fc4.bias"):
        edit(model, name, lambda w: np.ascontiguousarray(w[order] if w.shape[0] == 7 else w[:, order]))


def bgr(model: onnx.ModelProto) -> None:
    edit(model, "luma", lambda w: np.ascontiguousarray(w[::-1]))


def other_mean(model: onnx.ModelProto) -> None:
    edit(model, "shift", lambda w: w + np.float32(0.02))


def other_std(model: onnx.ModelProto) -> None:
    edit(model, "scale", lambda w: w * np.float32(1.01))


def one_weight(model: onnx.ModelProto) -> None:
    def change(w: np.ndarray) -> np.ndarray:
        w.flat[np.abs(w).argmax()] *= -1
        return w

    edit(model, "res_block1.conv2.weight", change)


FAULTS: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "classes swapped": (swap_classes, "fc4"),
    "BGR for RGB": (bgr, "input"),
    "another mean": (other_mean, "input"),
    "another std": (other_std, "input"),
    "one weight changed": (one_weight, "res_block1"),
}


@pytest.fixture
def copy(tiny_artifact: Artifact, tmp_path: Path) -> Path:
    shutil.copytree(tiny_artifact.path, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_planted_fault_is_refused_and_located(tiny: Checkpoint, copy: Path, probe: ImageSet, fault: str) -> None:
    change, layer = FAULTS[fault]
    artifact = reseal(copy, change)
    comparison = compare(tiny, edgefer.load(copy), probe)
    assert not comparison.passed
    assert comparison.rows()
    stages = bisect(tiny, artifact, probe)
    assert next(stage.name for stage in stages if stage.departs) == layer


def test_no_fault_no_alarm(tiny: Checkpoint, copy: Path, probe: ImageSet) -> None:
    """The forging itself changes nothing: without a fault the same path passes."""
    artifact = reseal(copy, lambda model: None)
    assert compare(tiny, edgefer.load(copy), probe).passed
    assert not any(stage.departs for stage in bisect(tiny, artifact, probe))


def test_another_checkpoints_artifact(copy: Path, probe: ImageSet) -> None:
    other = Checkpoint(seeded(TINY, seed=99))
    assert not compare(other, edgefer.load(copy), probe).passed


def test_another_resize_in_a_resealed_manifest(tiny: Checkpoint, copy: Path, probe: ImageSet) -> None:
    preprocess = replace(open_artifact(copy).manifest.preprocess, resize="linear")
    reseal(copy, lambda model: None, preprocess=preprocess)
    assert not compare(tiny, edgefer.load(copy), probe).passed


def test_a_manifest_edited_by_hand_never_loads(copy: Path) -> None:
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text.replace('"pillow"', '"linear"'))
    with pytest.raises(ArtifactError, match="seal"):
        edgefer.load(copy)


def test_a_model_edited_by_hand_never_loads(copy: Path) -> None:
    data = bytearray((copy / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match="hash differs"):
        edgefer.load(copy)


def test_the_trained_checkpoint_on_real_faces(
    shared: Path, fer2013_mini: tuple[np.ndarray, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    """The one place where margins are those of a trained network and pictures those of people."""
    from edgefer.export.run import Options, export

    images, meta = fer2013_mini
    rows = np.flatnonzero(meta["usage"] == 2)[:140]
    data = [(f"{i}.png", cv2.imencode(".png", images[i])[1].tobytes()) for i in rows]
    checkpoint = checkpoints.load(shared / "quarter_fer2013.pth")
    for precision in ("fp32", "fp16"):
        artifact = export(checkpoint, tmp_path / precision, ImageSet(data, "FER2013"), Options(precision=precision))
        assert artifact.manifest.proof == "passed"
        assert artifact.manifest.precision == precision
