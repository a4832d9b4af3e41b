from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from peers import packages
from peers.runtimes import Entrants

from edgefer.bench.candidates import Candidate
from edgefer.bench.process import CandidateError
from edgefer.data.packed import Packed
from edgefer.emotions import EMOTIONS, FER2013
from edgefer.preprocess import Preprocess

STAND_IN = str(Path(__file__).with_name("stand_in.py"))


def _candidate(name: str = "stand-in", **arguments: object) -> Candidate:
    return Candidate(name, f"{STAND_IN}:open", arguments)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """FER2013 in small: 12 private-test images, the first 9 labelled by their first pixel; 10 clean, 8 with votes."""
    usage = np.array([0, 0, 1, *[2] * 12])
    images = np.zeros((15, 48, 48), np.uint8)
    labels = np.arange(15) % 7
    images[:, 0, 0] = [EMOTIONS.index(FER2013[label]) for label in labels]
    images[12:, 0, 0] = (images[12:, 0, 0] + 1) % 7  # the last three private ones are taken for another class
    ncc = np.zeros(15)
    ncc[[3, 14]] = 0.99  # one that is right and one that is wrong are copies
    path = tmp_path / "fer2013.npz"
    np.savez(path, images=images, y=labels, usage=usage, source=np.zeros(15, int), train_ncc=ncc)
    return path


def test_answers_come_in_the_order_of_the_faces() -> None:
    faces = np.zeros((9, 4, 4, 3), np.uint8)
    faces[:, 0, 0] = np.array([3, 1, 4, 1, 5, 2, 6, 5, 3])[:, None]
    assert packages.answers(_candidate(), faces).argmax(1).tolist() == [3, 1, 4, 1, 5, 2, 6, 5, 3]


def test_ours_gets_faces_as_the_runtime_resizes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(packages, "_ask", lambda candidate, faces: seen.append(faces) or np.zeros((len(faces), 7)))
    faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    preprocess = Preprocess(size=64)
    packages.answers(Candidate("ours", "x:y", preprocess=preprocess, network="ours"), faces)
    resized = np.concatenate(seen)
    np.testing.assert_array_equal(resized, np.stack([preprocess(face) for face in faces]))
    seen.clear()
    packages.answers(Candidate("theirs", "x:y"), faces)
    assert sorted(map(bytes, np.concatenate(seen))) == sorted(map(bytes, faces))


def test_scores_the_private_test(npz: Path) -> None:
    who, reports = packages.score(Entrants([_candidate()], {"away": "does not install: why"}), npz)
    report = reports["stand-in"]
    assert (report.official.images, report.official.accuracy) == (12, 9 / 12)
    assert report.clean is not None
    assert (report.clean.images, report.clean.accuracy) == (10, 8 / 10)
    assert [one.accuracy for one in who.candidates] == [9 / 12]
    assert who.missing == {"away": "does not install: why"}


def test_a_package_that_fails_is_missing_with_its_error(npz: Path) -> None:
    who, reports = packages.score(Entrants([_candidate("broken", broken=True), _candidate()], {}), npz)
    assert list(reports) == ["stand-in"]
    assert [one.name for one in who.candidates] == ["stand-in"]
    assert "this package is broken" in who.missing["broken"]


def test_a_failing_worker_says_so() -> None:
    with pytest.raises(CandidateError, match="this package is broken"):
        packages.answers(_candidate(broken=True), np.zeros((1, 4, 4, 3), np.uint8))


def test_data_is_read_at_its_own_size(npz: Path, tmp_path: Path) -> None:
    packed = packages.open_data(npz, tmp_path)
    assert packed.images.shape == (15, 48, 48, 1)
    assert packages.open_data(packed.path, tmp_path).source_sha256 == Packed.open(packed.path).source_sha256


def test_cited_figures_have_a_source_with_a_date() -> None:
    cited = packages.cited()
    assert "2026-11-22" in cited["source"]
    assert {one["name"]: one["official"] for one in cited["packages"]} == {
        "human 3.3.6 (tfjs)": 66.59,
        "face-api 1.7.15 (tfjs)": 58.93,
    }
