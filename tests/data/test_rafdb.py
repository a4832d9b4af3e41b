import numpy as np
import pytest

from edgefer.data import load
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError

NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")  # classes 1 to 7


@pytest.fixture
def official(tmp_path, write_image):
    lines = []
    for number in range(1, 8):
        for split in ("train", "test"):
            write_image(tmp_path / "Image" / "aligned" / f"{split}_{number:05d}_aligned.jpg", 100, 100)
            lines.append(f"{split}_{number:05d}.jpg {number}")
    (tmp_path / "EmoLabel").mkdir()
    (tmp_path / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def kaggle(tmp_path, write_image):
    for split in ("train", "test"):
        rows = ["image,label"]
        for number in range(1, 8):
            name = f"{split}_{number:05d}_aligned.jpg"
            write_image(tmp_path / "DATASET" / split / str(number) / name, 100, 100)
            rows.append(f"{name},{number}")
        (tmp_path / f"{split}_labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def check(data):
    for split in ("train", "test"):
        faces = [face for face in data.faces if face.split == split]
        numbers = [int(face.id.split("_")[1].removesuffix(".jpg")) for face in faces]
        assert sorted(numbers) == list(range(1, 8))
        assert [EMOTIONS[face.label] for face in faces] == [NAMES[number - 1] for number in numbers]
        assert faces[0].image().shape == (100, 100, 3)


def test_the_authors_form(official):
    check(load(official, "rafdb"))
    assert load(official, "rafdb").faces[0].id == "train_00001.jpg"


def test_kaggles_form_from_above_from_inside_and_without_csv(kaggle):
    check(load(kaggle, "rafdb"))
    check(load(kaggle / "DATASET", "rafdb"))
    for csv in kaggle.glob("*.csv"):
        csv.unlink()
    check(load(kaggle, "rafdb"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("test_00001.jpg 1", "test_00001.jpg 8", r"list_patition_label\.txt:2: 'test_00001\.jpg 8' is not like"),
        ("test_00001.jpg 1", "test_00001.jpg 0", r"list_patition_label\.txt:2: "),
        ("test_00001.jpg 1", "test_00001.jpg", r"list_patition_label\.txt:2: "),
        ("test_00001.jpg 1", "val_00001.jpg 1", r"list_patition_label\.txt:2: "),
        (
            "test_00001.jpg 1",
            "test_00099.jpg 1",
            r"list_patition_label\.txt:2: .*test_00099_aligned\.jpg does not exist",
        ),
    ],
)
def test_a_broken_line_is_an_error_and_is_listed_when_skipped(official, old, new, message):
    listing = official / "EmoLabel" / "list_patition_label.txt"
    listing.write_text(listing.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        load(official, "rafdb")
    data = load(official, "rafdb", skip_bad=True)
    assert len(data) == 13
    assert [where for where, _ in data.skipped] == [f"{listing}:2"]


def test_the_archive_was_not_unpacked(official):
    for image in (official / "Image" / "aligned").iterdir():
        image.unlink()
    (official / "Image" / "aligned").rmdir()
    with pytest.raises(DataError, match="aligned does not exist") as caught:
        load(official, "rafdb")
    assert "aligned.zip" in caught.value.hint


def test_kaggles_csv_and_folders_must_agree(kaggle, write_image):
    csv = kaggle / "train_labels.csv"
    text = csv.read_text()
    csv.write_text(text.replace("train_00002_aligned.jpg,2", "train_00002_aligned.jpg,3"))
    with pytest.raises(DataError, match=r"train_labels\.csv:3: label 3 \(disgust\), but it lies in .*/2/train_00002"):
        load(kaggle, "rafdb")
    csv.write_text(text.replace("train_00002_aligned.jpg,2", "train_00002_aligned.jpg,9"))
    with pytest.raises(DataError, match=r"train_labels\.csv:3: label is '9', not 1 to 7"):
        load(kaggle, "rafdb")
    csv.write_text(text + "train_00077_aligned.jpg,2\n")
    with pytest.raises(DataError, match=r"train_labels\.csv:9: train_00077_aligned\.jpg is in no class folder"):
        load(kaggle, "rafdb")
    csv.write_text(text)
    write_image(kaggle / "DATASET" / "train" / "3" / "extra.jpg")
    with pytest.raises(DataError, match=r"extra\.jpg: not listed in .*train_labels\.csv"):
        load(kaggle, "rafdb")
    write_image(kaggle / "DATASET" / "train" / "8" / "extra.jpg")
    with pytest.raises(DataError, match=r"8: not a class folder we know"):
        load(kaggle, "rafdb")


def test_something_else(tmp_path):
    with pytest.raises(DataError, match="is not RAF-DB basic"):
        load(tmp_path, "rafdb")


def test_pixels_are_those_of_the_file(official):
    from PIL import Image

    face = load(official, "rafdb").faces[0]
    expected = np.asarray(Image.open(official / "Image" / "aligned" / "train_00001_aligned.jpg")).astype(int)
    assert np.abs(face.image() - expected).max() <= 4  # two builds of libjpeg may differ by a little
