import json

import cv2
import numpy as np
import pytest

from edgefer.data import audit, audit_report
from edgefer.data.dataset import ArrayImage, Dataset, Face


def report(array, labels, splits, name="folder"):
    made = [Face(ArrayImage(array, i, ("a", i)), labels[i], splits[i], f"id{i}") for i in range(len(array))]
    return audit(Dataset(name, made, gray=True))


def planted():
    coarse = np.random.default_rng(0).integers(40, 200, (12, 6, 6), np.uint8)
    array = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)
    array[10] = array[0]
    array[11] = (array[1] * 0.6).astype(np.uint8)
    array[5] = 9
    return report(array, [0] * 10 + [3, 0], ["train"] * 9 + ["val"] + ["test"] * 2)


def test_summary_counts_images_and_pairs():
    figures = planted().summary()
    assert figures["splits"]["test"] == {"images": 2, "exact_copy_in_train": 1, "near_copy_in_train": 2}
    assert figures["splits"]["val"] == {"images": 1, "exact_copy_in_train": 0, "near_copy_in_train": 0}
    assert figures["clean_test_images"] == 0
    assert figures["pairs"]["train - test"] == {"exact": 1, "near": 1}
    assert sum(n["exact"] + n["near"] for n in figures["pairs"].values()) == 2
    assert figures["exact_groups_with_conflicting_labels"] == 1
    assert figures["constant_images"] == 1


def test_the_written_report_says_the_same_three_times(tmp_path):
    path = planted().write_report(tmp_path / "out")
    text = path.read_text()
    assert "| test | 2 | 1 (50.0%) | 2 (100.0%) |" in text
    assert "id0 (train, anger); id10 (test, happiness)" in text
    assert "- id5 (train, anger)" in text
    assert "![pairs of copies](pairs.png)" in text
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [(pair["train"], pair["other"], pair["split"]) for pair in written["copies_in_train"]] == [
        ("id0", "id10", "test"),
        ("id1", "id11", "test"),
    ]
    assert written["conflicting_exact_groups"] == [["id0 (train, anger)", "id10 (test, happiness)"]]
    assert written["constant"] == ["id5"]


def test_the_contact_sheet_shows_the_pairs(tmp_path):
    result = planted()
    result.write_report(tmp_path)
    sheet = cv2.imread(str(tmp_path / "pairs.png"))
    face = cv2.resize(result.source.image(0), (104, 104), interpolation=cv2.INTER_CUBIC)
    # The first tile of the first section: a training image and its exact copy with another label, in red below.
    assert np.array_equal(sheet[40:144, 14:118, 0], face)
    assert np.array_equal(sheet[40:144, 122:226, 0], face)
    caption = sheet[146:164, 14:226].astype(int)
    assert (caption[:, :, 2] - caption[:, :, 0]).max() > 100


def test_without_copies_there_is_no_sheet(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (4, 48, 48), np.uint8)
    text = report(array, [0] * 4, ["train"] * 4).write_report(tmp_path).read_text()
    assert not (tmp_path / "pairs.png").exists()
    assert "pairs.png" not in text
    assert "No differences from the paper's tables." in text


def test_a_new_report_replaces_the_old_one_whole(tmp_path, monkeypatch):
    array = np.random.default_rng(0).integers(0, 256, (4, 48, 48), np.uint8)
    clean, copies = report(array, [0] * 4, ["train"] * 4), planted()
    copies.write_report(tmp_path)
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(audit_report.contact_sheet, "_section", lambda title, pairs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        copies.write_report(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old
    clean.write_report(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]  # no sheet of the old one


def test_copies_within_one_split_are_shown_when_none_cross(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)
    array[2] = np.clip(array[0].astype(int) + 3, 0, 255)
    report(array, [0] * 3, ["train"] * 3).write_report(tmp_path)
    assert (tmp_path / "pairs.png").exists()
