import csv

import numpy as np
import pytest

from edgefer.data import load
from edgefer.data.fer2013 import parse_pixels
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError

# FER2013's own order, spelled as on its web page.
NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
USAGES = ("Training", "PublicTest", "PrivateTest")


@pytest.fixture
def arrays():
    rng = np.random.default_rng(3)
    return {
        "images": rng.integers(0, 256, (21, 48, 48), np.uint8),
        "y": np.arange(21, dtype=np.uint8) % 7,
        "usage": np.repeat(np.arange(3, dtype=np.uint8), 7),
    }


def write_csv(path, arrays, header=("emotion", "pixels", "Usage")):
    columns = {
        "emotion": [str(y) for y in arrays["y"]],
        "pixels": [" ".join(map(str, image.ravel())) for image in arrays["images"]],
        "Usage": [USAGES[u] for u in arrays["usage"]],
    }
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(zip(*(columns[name.strip()] for name in header), strict=True))
    return path


def check(data, arrays, rows=range(21)):
    assert data.gray
    assert len(data) == len(rows)
    for face, row in zip(data.faces, rows, strict=True):
        assert EMOTIONS[face.label] == NAMES[arrays["y"][row]]
        assert face.split == ("train", "val", "test")[arrays["usage"][row]]
        assert np.array_equal(face.image(), arrays["images"][row][:, :, None])


def test_the_official_csv_and_kaggles_with_blanks(tmp_path, arrays):
    check(load(write_csv(tmp_path / "fer2013.csv", arrays), "fer2013"), arrays)
    kaggle = write_csv(tmp_path / "icml_face_data.csv", arrays, ("emotion", " Usage", " pixels"))
    check(load(kaggle, "fer2013"), arrays)
    data = load(tmp_path, "fer2013")
    check(data, arrays)
    assert [face.id for face in data.faces[:2]] == ["00000", "00001"]
    assert data.faces[0].source.where == f"{tmp_path / 'fer2013.csv'}:2"


def test_the_npz_has_the_same_faces_as_the_csv(tmp_path, arrays):
    np.savez(tmp_path / "fer2013.npz", **arrays)
    data = load(tmp_path / "fer2013.npz", "fer2013")
    check(data, arrays)
    assert [f.id for f in data.faces] == [f.id for f in load(write_csv(tmp_path / "a.csv", arrays), "fer2013").faces]


def test_the_npz_carries_clean_flags_and_votes(tmp_path, arrays):
    arrays["source"] = np.zeros(21, np.uint8)
    arrays["source"][[2, 9, 16]] = 1  # one in each split
    arrays["train_ncc"] = np.full(21, 0.5, np.float16)
    # 0.94 at half precision is 0.93994: below the threshold, and a comparison at half precision would miss it.
    arrays["train_ncc"][17:20] = (0.95, 0.94, 0.93)
    arrays["ferplus"] = np.zeros((21, 10), np.uint8)
    arrays["ferplus"][:, 0] = 10
    np.savez(tmp_path / "a.npz", **arrays)
    data = load(tmp_path / "a.npz", "fer2013")
    check(data, arrays, [row for row in range(21) if row != 2])
    assert data.notes == ["1 training rows whose pixels are only approximately known are left out."]
    assert [int(face.id) for face in data.faces if face.clean] == [14, 15, 18, 19, 20]
    assert all(face.votes[EMOTIONS.index("neutral")] == 1 for face in data.faces)


def test_kaggles_train_csv_alone_and_the_unlabelled_test_csv(tmp_path, arrays):
    write_csv(tmp_path / "train.csv", arrays, ("emotion", "pixels"))
    write_csv(tmp_path / "test.csv", arrays, ("pixels",))
    data = load(tmp_path, "fer2013")
    assert {face.split for face in data.faces} == {"train"}
    assert [EMOTIONS[face.label] for face in data.faces[:7]] == list(NAMES)
    assert any("test.csv has no labels" in note for note in data.notes)
    with pytest.raises(DataError, match=r"test\.csv:1: no column emotion: Kaggle's test\.csv has no labels") as caught:
        load(tmp_path / "test.csv", "fer2013")
    assert "icml_face_data.csv" in caught.value.hint


def test_kaggles_folders_split_the_test_folder_by_file_name(tmp_path, write_image):
    for name in ("angry", "neutral", "sad"):
        write_image(tmp_path / "train" / name / "Training_1.png", 48, 48, gray=True)
        write_image(tmp_path / "test" / name / "PublicTest_2.png", 48, 48, gray=True)
        write_image(tmp_path / "test" / name / "PrivateTest_3.png", 48, 48, gray=True)
    data = load(tmp_path, "fer2013")
    found = {(face.split, EMOTIONS[face.label], face.id.split("/")[-1]) for face in data.faces}
    names = {"train": "Training_1.png", "val": "PublicTest_2.png", "test": "PrivateTest_3.png"}
    # Sorted by folder name neutral would come before sad, which is class 4 in the csv.
    assert found == {(s, e, f) for s, f in names.items() for e in ("anger", "neutral", "sadness")}


def test_kaggles_folders_without_telling_names_have_no_validation(tmp_path, write_image):
    write_image(tmp_path / "train" / "angry" / "1.png")
    write_image(tmp_path / "test" / "angry" / "2.png")
    data = load(tmp_path, "fer2013")
    assert {face.split for face in data.faces} == {"train", "test"}
    assert "public and private test together" in data.notes[0]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda line: line.replace(" ", ",", 1), r"a\.csv:4: 4 values for 3 columns"),
        (lambda line: line.replace(" ", "", 1), r"a\.csv:4: (2303 pixels instead of 2304|pixels are not numbers)"),
        (lambda line: "7" + line[1:], r"a\.csv:4: emotion is '7', not 0 to 6"),
        (lambda line: "x" + line[1:], r"a\.csv:4: emotion is 'x', not 0 to 6"),
        (lambda line: line.replace("Training", "Test"), r"a\.csv:4: Usage is 'Test'"),
        (lambda line: line.replace(" ", " 256 ", 1), r"a\.csv:4: pixels are not numbers from 0 to 255"),
        (lambda line: line.replace(" ", " -1 ", 1), r"a\.csv:4: pixels are not numbers from 0 to 255"),
        (lambda line: line.replace(" ", " x ", 1), r"a\.csv:4: pixels are not numbers from 0 to 255"),
        (lambda line: line.replace(" ", " 1 ", 1), r"a\.csv:4: 2305 pixels instead of 2304"),
    ],
)
def test_a_broken_row_is_an_error_with_its_line_and_is_listed_when_skipped(tmp_path, arrays, edit, message):
    path = write_csv(tmp_path / "a.csv", arrays)
    lines = path.read_text().splitlines()
    lines[3] = edit(lines[3])
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=message) as caught:
        load(path, "fer2013")
    assert "--skip-bad" in caught.value.hint
    data = load(path, "fer2013", skip_bad=True)
    check(data, arrays, [row for row in range(21) if row != 2])
    assert [where for where, _ in data.skipped] == [f"{path}:4"]
    assert data.faces[2].id == "00003"  # the row of the file, whatever was skipped before


def test_a_csv_without_a_header(tmp_path, arrays):
    path = write_csv(tmp_path / "a.csv", arrays)
    path.write_text(path.read_text().split("\n", 1)[1])
    with pytest.raises(DataError, match=r"a\.csv:1: no header") as caught:
        load(path, "fer2013")
    assert "emotion,pixels,Usage" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, "no array y"),
        ({"images": np.zeros((21, 47, 48), np.uint8)}, "images are uint8"),
        ({"usage": np.zeros(20, np.uint8)}, "usage has 20 rows for 21 labels"),
        ({"y": np.full(21, 7, np.uint8)}, "a label above 6"),
    ],
)
def test_a_broken_npz(tmp_path, arrays, change, message):
    kept = {name: value for name, value in {**arrays, **change}.items() if value is not None}
    np.savez(tmp_path / "a.npz", **kept)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.npz", "fer2013")


def test_what_is_no_fer2013(tmp_path):
    with pytest.raises(DataError, match="has no FER2013"):
        load(tmp_path, "fer2013")
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "none.csv", "fer2013")
    (tmp_path / "a.npz").write_bytes(b"no")
    with pytest.raises(DataError, match="is not a readable npz"):
        load(tmp_path / "a.npz", "fer2013")
    (tmp_path / "a.txt").write_bytes(b"no")
    with pytest.raises(DataError, match="is neither a csv nor an npz"):
        load(tmp_path / "a.txt", "fer2013")


def test_parse_pixels():
    assert parse_pixels("0 255 7").tolist() == [0, 255, 7]
    assert parse_pixels("").size == 0
    assert parse_pixels("1.5 2") is None


def test_the_real_one_has_the_official_counts(fer2013_npz):
    data = load(fer2013_npz, "fer2013")
    with np.load(fer2013_npz) as arrays:
        expected = [
            np.bincount(arrays["y"][(arrays["usage"] == u) & ((arrays["source"] != 1) | (u != 0))]) for u in range(3)
        ]
    counts = data.counts()
    for split, row in zip(("train", "val", "test"), expected, strict=True):
        assert [counts[split][name] for name in NAMES] == row.tolist()
    assert sum(face.clean for face in data.faces) == 3009
    assert [line.split(":")[0] for line in data.report_differences()[1:]] == ["train"]  # 144 rows left out
