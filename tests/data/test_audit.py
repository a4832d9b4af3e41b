import importlib

import numpy as np
import pytest

from edgefer.data import audit, load, pack
from edgefer.data.audit import thumbnail
from edgefer.data.dataset import ArrayImage, Dataset, Face
from edgefer.errors import DataError
from edgefer.preprocess import Preprocess

MODULE = importlib.import_module("edgefer.data.audit")  # the package has the function under this name


def faces(array, labels=None, splits=None, name="folder", skip_bad=False):
    n = len(array)
    labels = labels if labels is not None else [0] * n
    splits = splits if splits is not None else ["train"] * n
    made = [Face(ArrayImage(array, i, ("a", i)), labels[i], splits[i], str(i)) for i in range(n)]
    return Dataset(name, made, gray=True, skip_bad=skip_bad)


def smooth(n, seed=0):
    """Different smooth pictures uint8 [n, 48, 48]: 6x6 random values, each enlarged 8 times."""
    coarse = np.random.default_rng(seed).integers(40, 200, (n, 6, 6), np.uint8)
    return np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)


@pytest.fixture
def planted():
    """40 pictures; rows 30 to 39 are the test split. 30 is an exact copy of 3, 31 a darker one of 4, 32 noisy of 5,
    33 equals 34 (both test), 7 equals 8 (both train, two labels), 20 is constant."""
    array = smooth(40)
    rng = np.random.default_rng(9)
    array[30] = array[3]
    array[31] = (array[4] * 0.6 + 10).astype(np.uint8)
    array[32] = np.clip(array[5] + rng.normal(0, 12, (48, 48)), 0, 255).astype(np.uint8)
    array[34] = array[33]
    array[8] = array[7]
    array[20] = 77
    labels = [0] * 40
    labels[8] = 1
    labels[32] = 2
    return faces(array, labels, ["train"] * 25 + ["val"] * 5 + ["test"] * 10)


def test_planted_copies_are_found_and_nothing_else(planted):
    report = audit(planted)
    assert report.exact == [[3, 30], [7, 8], [33, 34]]
    assert [(a, b) for a, b, _ in report.pairs] == [(4, 31), (5, 32)]
    assert report.constant == [20]
    assert np.flatnonzero(report.in_train["exact"]).tolist() == [30]
    assert np.flatnonzero(report.in_train["near"]).tolist() == [30, 31, 32]
    assert np.flatnonzero(report.clean).tolist() == list(range(33, 40))
    groups, pairs = report.conflicts()
    assert groups == [[7, 8]]
    assert [(report.pairs.first[i], report.pairs.second[i]) for i in pairs] == [(5, 32)]
    assert [(a, b) for a, b, _ in report.cross_pairs()] == [(3, 30), (4, 31), (5, 32)]


def test_a_near_copy_of_an_exact_copy_counts_as_a_copy():
    """Row 0 and 1 are equal, in test and train; row 2, in test, is near both: the group stands by its first row."""
    array = smooth(3)
    array[1] = array[0]
    array[2] = (array[0] * 0.5).astype(np.uint8)
    report = audit(faces(array, splits=["test", "train", "test"]))
    assert report.in_train["near"].tolist() == [True, False, True]
    assert report.in_train["exact"].tolist() == [True, False, False]


def test_one_of_many_neighbours_in_training_is_enough():
    """A test image with near copies in test before and after the one in training (flags must not be overwritten)."""
    array = np.stack([(smooth(1)[0] * f).astype(np.uint8) for f in (0.5, 0.6, 0.7, 0.8)])
    report = audit(faces(array, splits=["test", "train", "test", "test"]))
    assert report.in_train["near"].tolist() == [True, False, True, True]


def test_correlations_are_those_of_corrcoef(planted):
    def small(row):
        return planted.faces[row].image()[:, :, 0].astype(float).reshape(16, 3, 16, 3).mean(axis=(1, 3)).ravel()

    for a, b, correlation in audit(planted, threshold=0.3).pairs:
        assert correlation == pytest.approx(np.corrcoef(small(a), small(b))[0, 1], abs=1e-5)
        assert correlation >= 0.3


def test_all_pairs_above_a_low_threshold_are_found_across_blocks(monkeypatch):
    monkeypatch.setattr(MODULE, "_BLOCK", 16)
    array = smooth(50)
    thumbnails = np.stack([thumbnail(image[:, :, None], 16) for image in array])
    correlation = thumbnails @ thumbnails.T
    expected = {(a, b) for a in range(50) for b in range(a + 1, 50) if correlation[a, b] >= 0.2}
    report = audit(faces(array), threshold=0.2)
    assert {(a, b) for a, b, _ in report.pairs} == expected
    assert len(report.pairs) == len(expected) > 20


def test_verify_at_full_size_drops_what_only_looks_alike_when_small():
    rng = np.random.default_rng(4)
    base = smooth(1)[0].astype(float)
    noise = rng.normal(0, 60, (2, 48, 48))
    noise -= noise.reshape(2, 16, 3, 16, 3).mean(axis=(2, 4)).repeat(3, axis=1).repeat(3, axis=2)
    array = np.clip(base * 0.3 + 90 + noise, 0, 255).astype(np.uint8)  # equal at 16x16, different at 48x48
    assert len(audit(faces(array)).pairs) == 1
    assert len(audit(faces(array), verify=0.9).pairs) == 0
    assert len(audit(faces(array), verify=-1).pairs) == 1


def test_pairs_beyond_the_limit_still_count(monkeypatch):
    monkeypatch.setattr(MODULE, "_MAX_PAIRS", 2)
    array = np.stack([(smooth(1)[0] * f).astype(np.uint8) for f in (0.5, 0.6, 0.7, 0.8)])
    report = audit(faces(array, splits=["train", "test", "test", "test"]))
    assert len(report.pairs) == 2
    assert report.pairs_dropped == 4
    assert report.in_train["near"].tolist() == [False, True, True, True]


def test_a_packed_set_is_audited_the_same_way(planted, tmp_path):
    packed = pack(planted, Preprocess(size=48), tmp_path / "a.safetensors")
    one, other = audit(planted), audit(packed)
    assert one.exact == other.exact
    assert list(one.pairs) == list(other.pairs)
    assert one.summary() == other.summary()


def test_colour_is_compared_as_gray(tmp_path, write_image):
    write_image(tmp_path / "train" / "anger" / "a.png", 40, 40)
    data = (tmp_path / "train" / "anger" / "a.png").read_bytes()
    (tmp_path / "test" / "fear").mkdir(parents=True)
    (tmp_path / "test" / "fear" / "b.png").write_bytes(data)
    report = audit(load(tmp_path, "folder"))
    assert len(report.exact) == 1
    assert len(report.conflicts()[0]) == 1
    assert thumbnail(np.full((9, 9, 3), 5, np.uint8), 16).tolist() == [0] * 256


def test_unreadable_images_are_an_error_or_listed(tmp_path, write_image):
    for name in "abc":
        write_image(tmp_path / "train" / "anger" / f"{name}.png")
    (tmp_path / "train" / "anger" / "b.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"b\.png is not a JPEG"):
        audit(load(tmp_path, "folder"))
    report = audit(load(tmp_path, "folder", skip_bad=True))
    assert len(report.unreadable) == 1
    assert report.exact == []


def test_nothing_to_audit():
    with pytest.raises(DataError, match="has no images to audit"):
        audit(faces(smooth(0)))


def test_progress_ends_with_the_total(planted):
    calls = []
    audit(planted, progress=lambda *at: calls.append(at))
    assert calls[-1] == (41, 41)


@pytest.mark.slow
def test_the_known_copies_in_fer2013_are_found(fer2013_npz):
    """Truth: correlations of all test images with all training images, measured on the original pixels."""
    data = load(fer2013_npz, "fer2013")
    report = audit(data)
    with np.load(fer2013_npz) as arrays:
        truth = arrays["train_ncc"].astype(np.float64)[[int(face.id) for face in data.faces]] >= 0.94
    private, found = report.splits == 2, report.in_train["near"]
    assert truth[private].sum() == 564
    assert found[truth].all()
    assert (found & ~truth)[private].sum() <= 3  # training pixels went through JPEG here: one or two are new
    assert report.differences[0].startswith("The paper's table II")
