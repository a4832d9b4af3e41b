import pytest

from edgefer.data import load
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError

NAMES = ("happiness", "surprise", "sadness", "anger", "disgust", "fear", "neutral")


@pytest.fixture
def authors(tmp_path, write_image):
    for split in ("train", "valid", "test"):
        rows = []
        for number in range(7):
            write_image(tmp_path / split / f"{split}_{number}.jpg")
            rows.append(f"{split}_{number}.jpg,{number}")
        (tmp_path / f"{split}_labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def check(data):
    assert len(data) == 21
    for split in ("train", "val", "test"):
        assert [EMOTIONS[face.label] for face in data.faces if face.split == split] == list(NAMES)


def test_without_a_header_the_first_line_is_an_image(authors):
    check(load(authors, "authors"))
    assert load(authors, "authors").faces[0].id == "train/train_0.jpg"
    assert len(load(authors / "test_labels.csv", "authors")) == 7


def test_with_a_header(authors):
    for csv in authors.glob("*.csv"):
        csv.write_text("ImageName,Label\n" + csv.read_text())
    check(load(authors, "authors"))


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("train_3.jpg", r"train_labels\.csv:4: 1 values instead of 2"),
        ("train_3.jpg,7", r"train_labels\.csv:4: class is '7', not 0 to 6"),
        ("train_3.jpg,x", r"train_labels\.csv:4: class is 'x', not 0 to 6"),
        ("zz.jpg,3", r"train_labels\.csv:4: .*zz\.jpg does not exist"),
    ],
)
def test_a_broken_line_is_an_error_and_is_listed_when_skipped(authors, new, message):
    csv = authors / "train_labels.csv"
    csv.write_text(csv.read_text().replace("train_3.jpg,3", new))
    with pytest.raises(DataError, match=message):
        load(authors, "authors")
    data = load(authors, "authors", skip_bad=True)
    assert [where for where, _ in data.skipped] == [f"{csv}:4"]
    assert len(data) == 20


def test_a_broken_first_line_is_no_header(authors):
    csv = authors / "train_labels.csv"
    csv.write_text(csv.read_text().replace("train_0.jpg,0", "train_0.jpg,x"))
    with pytest.raises(DataError, match=r"train_labels\.csv:1: class is 'x'"):
        load(authors, "authors")


def test_missing_parts(authors, tmp_path):
    (authors / "val_labels.csv").write_text("a.jpg,0\n")
    with pytest.raises(DataError, match="two csv files for val: for val and valid"):
        load(authors, "authors")
    (authors / "val_labels.csv").unlink()
    (authors / "train").rename(authors / "elsewhere")
    with pytest.raises(DataError, match="train does not exist"):
        load(authors, "authors")
    with pytest.raises(DataError, match="is not in the authors' csv form"):
        load(authors / "elsewhere", "authors")
