import numpy as np
import pytest

from edgefer.data import load
from edgefer.data.ferplus import majority, read, shares, soft_labels
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
ROWS = (
    "Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0",
    "PublicTest,,0,0,0,0,0,0,0,0,0,10",
    "PrivateTest,fer0000002.png,0,6,0,0,0,0,0,4,0,0",
)


@pytest.fixture
def files(tmp_path):
    pixels = " ".join(["7"] * 2304)
    faces = "".join(f"{i},{pixels},{row.split(',')[0]}\n" for i, row in enumerate(ROWS))
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n" + faces)
    (tmp_path / "fer2013new.csv").write_text("\n".join((HEADER, *ROWS)) + "\n")
    return tmp_path / "fer2013.csv", tmp_path / "fer2013new.csv"


def test_votes_are_joined_by_row_and_permuted(files):
    data = load(files[0], "fer2013", ferplus=files[1])
    votes = [dict(zip(EMOTIONS, face.votes.tolist(), strict=True)) for face in data.faces]
    assert votes[0] == pytest.approx(
        {"neutral": 0.4, "sadness": 0.1, "anger": 0.3, "disgust": 0.2, "fear": 0, "happiness": 0, "surprise": 0}
    )
    assert sum(votes[1].values()) == 0
    assert votes[2]["happiness"] == pytest.approx(0.6)
    assert data.faces[0].votes.dtype == np.float32


def test_rows_stay_joined_when_a_row_is_skipped(files):
    lines = files[0].read_text().splitlines()
    lines[1] = lines[1].replace("7 7", "7", 1)
    files[0].write_text("\n".join(lines))
    data = load(files[0], "fer2013", skip_bad=True, ferplus=files[1])
    assert [face.id for face in data.faces] == ["00001", "00002"]
    assert data.faces[1].votes[EMOTIONS.index("happiness")] == pytest.approx(0.6)


def test_files_that_do_not_match_are_refused(files):
    csv, new = files
    new.write_text("\n".join((HEADER, ROWS[0], ROWS[2], ROWS[1])))
    with pytest.raises(DataError, match=r"row 2 does not match .*fer2013\.csv:3"):
        load(csv, "fer2013", ferplus=new)
    new.write_text("\n".join((HEADER, *ROWS, ROWS[2])))
    with pytest.raises(DataError, match=r"has 4 rows, .* has 3"):
        load(csv, "fer2013", ferplus=new)


@pytest.mark.parametrize("edit", [lambda t: t.replace(",4,", ",x,"), lambda t: t.replace(",4,", ",-4,")])
def test_a_broken_vote_names_file_and_line(files, edit):
    files[1].write_text(edit(files[1].read_text()))
    with pytest.raises(DataError, match=r"fer2013new\.csv:2: neutral is '(x|-4)', not a number of votes"):
        read(files[1])


def test_no_header(files):
    files[1].write_text("\n".join(ROWS))
    with pytest.raises(DataError, match=r"fer2013new\.csv:1: no header"):
        read(files[1])


def test_forms_without_rows_cannot_be_joined(tmp_path, files, write_image):
    write_image(tmp_path / "kaggle" / "train" / "angry" / "1.png")
    with pytest.raises(DataError, match="cannot be joined"):
        load(tmp_path / "kaggle", "fer2013", ferplus=files[1])


def test_majority_needs_more_than_half_of_all_taggers():
    votes = shares(np.array([[5, 5, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 6, 0, 0, 0, 0, 4, 0, 0], [0] * 9 + [10]]))
    assert majority(votes).tolist() == [-1, EMOTIONS.index("surprise"), -1]


def test_soft_labels_sum_to_one():
    votes = shares(np.array([[4, 0, 0, 0, 0, 0, 4, 2, 0, 0], [0] * 9 + [10]]))
    soft = soft_labels(votes, np.array([1, 2]))
    assert np.allclose(soft.sum(axis=1), 1)
    assert soft[0, [EMOTIONS.index("neutral"), EMOTIONS.index("fear")]].tolist() == [0.5, 0.5]
    assert soft[1].argmax() == 2


def test_the_real_majority_set_has_2720_private_images(fer2013_npz):
    data = load(fer2013_npz, "fer2013").split("test")
    assert (majority(np.stack([face.votes for face in data.faces])) >= 0).sum() == 2720
