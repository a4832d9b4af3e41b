import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefer.data import load
from edgefer.data.expw import quotas, split_by_image
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


@pytest.fixture
def expw(tmp_path, write_image):
    """21 images of 40 x 30 with one face, and one with three."""
    lines = []
    for i in range(21):
        write_image(tmp_path / "origin" / f"face {i}.jpg", 30, 40)
        lines.append(f"face {i}.jpg 0 6 5 25 16 80.5 {i % 7}")
    write_image(tmp_path / "origin" / "crowd.jpg", 30, 40)
    lines += [f"crowd.jpg {i} 0 {i} {i + 9} 30 80.5 {i}" for i in range(3)]
    (tmp_path / "label.lst").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_labels_boxes_and_ids(expw):
    data = load(expw, "expw")
    assert [EMOTIONS[face.label] for face in data.faces[:21]] == list(NAMES) * 3
    assert data.faces[0].source.box == (5, 6, 25, 16)  # the file has top before left
    assert data.faces[0].image().shape == (10, 20, 3)
    assert [face.id for face in data.faces[-3:]] == ["crowd.jpg#0", "crowd.jpg#1", "crowd.jpg#2"]
    assert len({face.split for face in data.faces[-3:]}) == 1
    assert [face.split for face in data.faces] == [face.split for face in load(expw / "label.lst", "expw").faces]
    assert "no official split" in data.notes[0]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("face 3.jpg 0 6 5 25 16 80.5", r"label\.lst:4: 7 values instead of 8|label\.lst:4: "),
        ("face 3.jpg 0 6 x 25 16 80.5 3", r"label\.lst:4: the box 6 x 25 16 is not four numbers"),
        ("face 3.jpg 0 6 5 25 16 80.5 7", r"label\.lst:4: label is '7', not 0 to 6"),
        ("none.jpg 0 6 5 25 16 80.5 3", r"label\.lst:4: .*none\.jpg does not exist"),
    ],
)
def test_a_broken_line_is_an_error_and_is_listed_when_skipped(expw, new, message):
    listing = expw / "label.lst"
    listing.write_text(listing.read_text().replace("face 3.jpg 0 6 5 25 16 80.5 3", new))
    with pytest.raises(DataError, match=message):
        load(expw, "expw")
    data = load(expw, "expw", skip_bad=True)
    assert len(data) == 23
    assert [where for where, _ in data.skipped] == [f"{listing}:4"]


def test_a_box_outside_its_image(expw):
    listing = expw / "label.lst"
    listing.write_text(listing.read_text().replace("face 3.jpg 0 6 5 25 16", "face 3.jpg 0 6 5 25 31"))
    with pytest.raises(DataError, match=r"label\.lst:4: the box left 5, top 6, right 25, bottom 31 is not inside"):
        load(expw, "expw").faces[3].image()


def test_missing_parts(tmp_path, expw):
    with pytest.raises(DataError, match=r"has no label\.lst"):
        load(expw / "origin", "expw")
    (expw / "origin").rename(expw / "elsewhere")
    with pytest.raises(DataError, match="has no folder of images"):
        load(expw, "expw")


@given(st.integers(0, 40000))
def test_quotas_are_the_papers_formula(n):
    train = math.floor(0.7 * n + 1e-9)
    test = math.ceil(0.33 * (n - train) - 1e-9)
    assert quotas(n) == (train, n - train - test, test)


def test_quotas_give_the_papers_counts():
    # Faces of anger, disgust, fear, happiness, neutral and sadness in ExpW; train and test as in the paper's table.
    table = {3671: (2569, 364), 3995: (2796, 396), 1088: (761, 108), 30537: (21375, 3024), 34883: (24418, 3454)}
    for n, expected in {**table, 10559: (7391, 1046)}.items():
        train, _, test = quotas(n)
        assert (train, test) == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.integers(0, 1000))
def test_no_image_is_split_and_quotas_are_met(crowds, seed):
    """With single faces to fill the gaps, each class comes out exactly; crowds of up to 5 stay together."""
    rng = np.random.default_rng(seed)
    names = [f"one{i}" for i in range(400)] + [f"crowd{i % 20}" for i in range(20 * crowds)]
    labels = rng.integers(0, 7, len(names)).tolist()
    splits = split_by_image(names, labels, seed)
    by_image = defaultdict(set)
    for name, split in zip(names, splits, strict=True):
        by_image[name].add(split)
    assert all(len(found) == 1 for found in by_image.values())
    for label in range(7):
        found = Counter(split for split, of in zip(splits, labels, strict=True) if of == label)
        assert (found["train"], found["val"], found["test"]) == quotas(labels.count(label))
    assert splits == split_by_image(names, labels, seed)
    assert splits != split_by_image(names, labels, seed + 1)


def test_the_split_does_not_depend_on_the_order_of_the_file():
    names, labels = [f"{i}" for i in range(200)], [i % 7 for i in range(200)]
    splits = dict(zip(names, split_by_image(names, labels, 0), strict=True))
    assert splits == dict(zip(names[::-1], split_by_image(names[::-1], labels[::-1], 0), strict=True))
