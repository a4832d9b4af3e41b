import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from edgefer.data.dataset import ArrayImage, Dataset, Face, ImageFile, count
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError


def dataset(train=20, test=5):
    array = np.zeros((1, 4, 4), np.uint8)
    faces = [
        Face(ArrayImage(array, 0, ("x.csv", i)), i % 7, "train" if i < train else "test", str(i))
        for i in range(train + test)
    ]
    return Dataset("folder", faces)


def test_importing_the_room_does_not_import_torch():
    code = "import sys, edgefer.data; sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_counts_has_every_split_and_class():
    counts = dataset(7, 1).counts()
    assert list(counts) == ["train", "val", "test"]
    assert counts["train"] == dict.fromkeys(EMOTIONS, 1)
    assert counts["val"] == dict.fromkeys(EMOTIONS, 0)
    assert sum(counts["test"].values()) == 1
    assert count([]) == {split: dict.fromkeys(EMOTIONS, 0) for split in ("train", "val", "test")}


def test_a_box_is_cut_as_pillow_cuts_it(tmp_path, write_image):
    write_image(tmp_path / "a.png", 30, 40)
    face = Face(ImageFile(str(tmp_path / "a.png"), (3, 5, 20, 30)), 0, "train", "a")
    expected = np.asarray(Image.open(tmp_path / "a.png").crop((3, 5, 20, 30)))
    assert np.array_equal(face.image(), expected)


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, 0, 41, 5), (0, 0, 5, 31), (5, 0, 5, 5), (0, 9, 5, 8)])
def test_a_box_outside_its_image_names_line_box_and_size(tmp_path, write_image, box):
    write_image(tmp_path / "a.png", 30, 40)
    source = ImageFile(str(tmp_path / "a.png"), box, ("label.lst", 12))
    with pytest.raises(
        DataError, match=r"label\.lst:12: the box .* is not inside .*a\.png \(40 x 30 pixels\)"
    ) as caught:
        source.read()
    assert "--skip-bad" in caught.value.hint


def test_a_missing_and_a_damaged_image_name_line_and_file(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"list\.csv:3: .*none\.jpg does not exist"):
        ImageFile(str(tmp_path / "none.jpg"), None, ("list.csv", 3)).read()
    with pytest.raises(DataError, match=r"broken\.jpg is a truncated"):
        ImageFile(str(tmp_path / "broken.jpg")).read()


def test_split_keeps_the_named_splits_only():
    assert {face.split for face in dataset().split("test").faces} == {"test"}
    with pytest.raises(DataError, match="folder has no val split") as caught:
        dataset().split("val")
    assert caught.value.hint == "it has 20 train, 5 test."
    with pytest.raises(DataError, match="'valid' is not a split"):
        dataset().split("valid")


def test_hold_out_takes_the_same_share_of_each_class_every_time():
    data = dataset(train=140)
    held = data.hold_out(0.2, seed=3)
    assert held.counts()["val"] == dict.fromkeys(EMOTIONS, 4)
    assert held.counts()["test"] == data.counts()["test"]
    assert [face.split for face in held.faces] == [face.split for face in data.hold_out(0.2, seed=3).faces]
    assert [face.split for face in held.faces] != [face.split for face in data.hold_out(0.2, seed=4).faces]
    assert "held out" in held.notes[-1]
    with pytest.raises(ValueError, match="fraction"):
        data.hold_out(1.0)


def test_with_clean_sets_the_flags():
    flags = np.arange(25) % 2 == 0
    assert [face.clean for face in dataset().with_clean(flags).faces] == flags.tolist()
