import numpy as np
import pytest

from edgefer.data import load
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError

NAMES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"


@pytest.fixture
def release(tmp_path, write_image):
    """Rows with every expression from 0 to 10, each in its own image of 40 x 30 with a box of 20 x 10 at 5, 6."""
    for listing, split in (("training.csv", "a"), ("validation.csv", "b")):
        rows = [HEADER]
        for number in range(11):
            write_image(tmp_path / "Manually_Annotated_Images" / "12" / f"{split}{number}.png", 30, 40)
            rows.append(f"12/{split}{number}.png,5,6,20,10,1;2;3,{number},-0.1,0.2")
        (tmp_path / listing).write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture
def pack(tmp_path, write_image):
    for split in ("train", "val"):
        root = tmp_path / f"{split}_set"
        (root / "annotations").mkdir(parents=True)
        for number in range(9):
            write_image(root / "images" / f"{number}.jpg", 32, 32)
            np.save(root / "annotations" / f"{number}_exp.npy", np.array(str(number)))
            np.save(root / "annotations" / f"{number}_val.npy", np.array("0.5"))
    return tmp_path


def check(data, dropped):
    for split in ("train", "test"):
        assert [EMOTIONS[face.label] for face in data.faces if face.split == split] == list(NAMES)
    assert len(data) == 14
    assert data.skipped == []
    assert data.notes == [
        f"{dropped} images of contempt or without an expression are no part of AffectNet-7: left out."
    ]


def test_the_full_release(release):
    from PIL import Image

    data = load(release, "affectnet")
    check(data, 8)
    first = Image.open(release / "Manually_Annotated_Images" / "12" / "a0.png").crop((5, 6, 25, 16))
    assert np.array_equal(data.faces[0].image(), np.asarray(first))
    assert {face.split for face in load(release / "validation.csv", "affectnet").faces} == {"test"}


def test_the_npy_pack(pack):
    data = load(pack, "affectnet")
    check(data, 4)
    assert data.faces[0].id == "train_set/images/0.jpg"
    assert data.faces[0].image().shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("12/a3.png,5,6,20,10", "12/a3.png,5,x,20,10", r"training\.csv:5: face_x, .* are not all numbers"),
        ("12/a3.png", "12/zz.png", r"training\.csv:5: 12/zz\.png does not exist in .*Manually_Annotated_Images"),
        ("3;2;1", "", ""),
        (",3,-0.1", ",11,-0.1", r"training\.csv:5: expression is '11', not 0 to 10"),
        (",3,-0.1", ",,-0.1", r"training\.csv:5: expression is ''"),
        (",3,-0.1,0.2", ",3,-0.1", r"training\.csv:5: 8 values for 9 columns"),
    ],
)
def test_a_broken_row_is_an_error_and_is_listed_when_skipped(release, old, new, message):
    csv = release / "training.csv"
    csv.write_text(csv.read_text().replace(old, new))
    if not message:
        assert len(load(release, "affectnet")) == 14
        return
    with pytest.raises(DataError, match=message):
        load(release, "affectnet")
    data = load(release, "affectnet", skip_bad=True)
    assert len(data) == 13
    assert [where for where, _ in data.skipped] == [f"{csv}:5"]


def test_a_box_outside_its_image_is_found_when_it_is_read(release):
    csv = release / "training.csv"
    csv.write_text(csv.read_text().replace("12/a3.png,5,6,20,10", "12/a3.png,25,6,20,10"))
    (face,) = (face for face in load(release, "affectnet").faces if face.id == "12/a3.png")
    with pytest.raises(DataError, match=r"training\.csv:5: the box left 25, top 6, right 45, bottom 16 is not inside"):
        face.image()


def test_a_csv_without_a_header(release):
    csv = release / "validation.csv"
    csv.write_text(csv.read_text().split("\n", 1)[1])
    with pytest.raises(DataError, match=r"validation\.csv:1: no header"):
        load(release, "affectnet")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "images" / "3.jpg").unlink(), r"3_exp\.npy: no image 3\.jpg for it"),
        (lambda root: (root / "annotations" / "3_exp.npy").unlink(), r"3\.jpg: no annotation 3_exp\.npy"),
        (lambda root: np.save(root / "annotations" / "3_exp.npy", np.array("x")), r"3_exp\.npy: does not hold one"),
        (lambda root: np.save(root / "annotations" / "3_exp.npy", np.zeros(2)), r"3_exp\.npy: does not hold one"),
        (lambda root: np.save(root / "annotations" / "3_exp.npy", np.array(11)), r"3_exp\.npy: does not hold one"),
        (lambda root: (root / "annotations" / "3_exp.npy").write_bytes(b"no"), r"3_exp\.npy: does not hold one"),
        (lambda root: (root / "images" / "readme.txt").write_bytes(b"no"), r"readme\.txt: not an image file"),
    ],
)
def test_a_broken_pack(pack, break_it, message):
    break_it(pack / "train_set")
    with pytest.raises(DataError, match=message):
        load(pack, "affectnet")
    assert len(load(pack, "affectnet", skip_bad=True).skipped) == 1


def test_something_else(tmp_path):
    with pytest.raises(DataError, match="is not AffectNet"):
        load(tmp_path, "affectnet")
    (tmp_path / "other.csv").write_text("x")
    with pytest.raises(DataError, match=r"other\.csv is neither training\.csv nor validation\.csv"):
        load(tmp_path / "other.csv", "affectnet")
