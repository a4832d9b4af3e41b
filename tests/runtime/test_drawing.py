"""Labels are drawn at the faces and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from edgefer.runtime.drawing import annotate
from edgefer.runtime.faces import Face
from edgefer.runtime.recognizer import Prediction

HAPPY = Prediction("happiness", 0.93, np.zeros(7, np.float32))


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=-1)


def test_a_box_and_a_tag_and_nothing_else(face: np.ndarray) -> None:
    picture = np.tile(face, (4, 5, 1))  # 480 x 500
    original = picture.copy()
    box = Face(200, 150, 120, 140, 0.9)
    drawn = annotate(picture, [box], [HAPPY])
    assert np.array_equal(picture, original)  # a copy
    assert drawn.dtype == np.uint8
    assert drawn.shape == picture.shape
    marks = changed(picture, drawn)
    ys, xs = np.nonzero(marks)
    assert ys.min() >= 150 - 60  # the tag above the box
    assert ys.max() <= 150 + 140 + 3
    assert xs.min() >= 200 - 3
    assert xs.max() <= 200 + 180  # the tag may be wider than the box
    assert not marks[160:280, 210:310].any()  # the face itself stays visible
    for edge in (marks[150, 210:310], marks[289, 210:310], marks[160:280, 200], marks[160:280, 319]):
        assert edge.mean() > 0.9
    tag = drawn[150 - 20 : 150, 204:260].astype(int)
    assert tag.min() < 60  # dark paper
    assert tag.max() > 200  # light ink


def test_two_faces_with_different_labels(face: np.ndarray) -> None:
    picture = np.tile(face, (3, 6, 1))
    left, right = Face(30, 100, 100, 100, 0.9), Face(400, 100, 100, 100, 0.8)
    sad = Prediction("sadness", 0.4, np.zeros(7, np.float32))
    both = changed(picture, annotate(picture, [left, right], [HAPPY, sad]))
    alone = [changed(picture, annotate(picture, [f], [p])) for f, p in ((left, HAPPY), (right, sad))]
    assert np.array_equal(both, alone[0] | alone[1])
    swapped = annotate(picture, [left], [sad])
    assert not np.array_equal(swapped, annotate(picture, [left], [HAPPY]))


@pytest.mark.parametrize("shape", [(48, 48), (20, 200), (200, 20), (3, 3), (1, 1)])
def test_a_face_that_fills_a_small_picture(shape: tuple[int, int]) -> None:
    """`--faces none` labels whole pictures, however small: the tag goes inside, where there is no room above."""
    picture = np.full((*shape, 3), 128, np.uint8)
    drawn = annotate(picture, [Face(0, 0, shape[1], shape[0], 1.0)], [HAPPY])
    assert drawn.shape == picture.shape
    assert changed(picture, drawn)[0].any()


def ink(face: Face) -> int:
    """Light pixels of the text: those of the picture without those of the box's lines."""
    drawn = annotate(np.full((480, 480, 3), 128, np.uint8), [face], [HAPPY])
    y, x = np.mgrid[:480, :480]
    lines = np.minimum(abs(y - face.y), abs(y - face.y - face.height + 1)) <= 2
    lines |= np.minimum(abs(x - face.x), abs(x - face.x - face.width + 1)) <= 2
    return int(((drawn > 200).all(-1) & ~lines).sum())


@pytest.mark.parametrize("corner", [(0, 0), (380, 0), (0, 380), (380, 380)])
def test_the_tag_of_a_face_in_a_corner_can_be_read(corner: tuple[int, int]) -> None:
    """The whole text lies in the picture: above the box, or inside it, moved to the left where it would leave it."""
    assert ink(Face(*corner, 100, 100, 0.9)) > 0.85 * ink(Face(190, 190, 100, 100, 0.9)) > 100


def test_no_faces_no_marks(face: np.ndarray) -> None:
    assert np.array_equal(annotate(face, [], []), face)


def test_faces_and_predictions_belong_together(face: np.ndarray) -> None:
    with pytest.raises(ValueError, match="zip"):
        annotate(face, [Face(0, 0, 9, 9, 1.0)], [])
