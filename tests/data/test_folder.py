import numpy as np
import pytest

from edgefer.data import load
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError


def test_names_decide_the_class_in_any_usual_spelling(tmp_path, write_image):
    spellings = {"Angry": "anger", "disgust": "disgust", "FEAR": "fear", "happy": "happiness", "sadness": "sadness"}
    pixels = {name: write_image(tmp_path / "train" / name / "x.png") for name in spellings}
    write_image(tmp_path / "validation" / "surprised" / "y.jpg")
    write_image(tmp_path / "test" / "Neutral" / "z.jpg")
    data = load(tmp_path, "folder")
    assert {face.id.split("/")[1]: EMOTIONS[face.label] for face in data.faces if face.split == "train"} == spellings
    assert {face.id: face.split for face in data.faces if face.split != "train"} == {
        "test/Neutral/z.jpg": "test",
        "validation/surprised/y.jpg": "val",
    }
    for face in data.faces:
        if face.split == "train":
            assert np.array_equal(face.image(), pixels[face.id.split("/")[1]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("train/contempt/a.png", "contempt: not a class folder we know"),
        ("train/a.png", r"a\.png: a file beside the class folders"),
        ("train/anger/deeper/a.png", "deeper: a folder among the images"),
        ("valid/anger/a.png", "has 2 val folders"),
    ],
)
def test_what_does_not_belong_is_an_error(tmp_path, write_image, make, message):
    write_image(tmp_path / "val" / "anger" / "ok.png")
    write_image(tmp_path / make)
    with pytest.raises(DataError, match=message):
        load(tmp_path, "folder")


def test_skip_bad_counts_and_lists(tmp_path, write_image):
    write_image(tmp_path / "train" / "anger" / "ok.png")
    write_image(tmp_path / "train" / "contempt" / "a.png")
    data = load(tmp_path, "folder", skip_bad=True)
    assert len(data) == 1
    assert data.skipped == [(str(tmp_path / "train" / "contempt"), "not a class folder we know.")]


def test_no_split_folders_no_images_no_folder(tmp_path, write_image):
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "none", "folder")
    with pytest.raises(DataError, match="has no train, val or test folder"):
        load(tmp_path, "folder")
    (tmp_path / "train" / "anger").mkdir(parents=True)
    with pytest.raises(DataError, match="has no images"):
        load(tmp_path, "folder")
    write_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="is a file"):
        load(tmp_path / "a.png", "folder")
