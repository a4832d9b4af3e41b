from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefer.errors import UnavailableError
from edgefer.train import pictures

pytest.importorskip("matplotlib")

HISTORY = [
    {"epoch": e, "loss": 2 / e, "val_loss": 2.1 / e, "accuracy": 1 - 1 / e, "val_accuracy": 0.6 - abs(e - 4) / 20}
    for e in range(1, 7)
]


def darkness(image: np.ndarray) -> float:
    return float(255 - image.mean())


def test_a_confusion_matrix_shows_its_shares(tmp_path: Path) -> None:
    """The diagonal's cells are dark where recall is high; found by their place, not by the code that drew them."""
    counts = np.full((7, 7), 1)
    counts[np.arange(7), np.arange(7)] = 94
    pictures.confusion_matrix(counts, tmp_path / "diagonal.png", "title")
    pictures.confusion_matrix(counts[::-1], tmp_path / "other.png")
    diagonal, other = (cv2.imread(str(tmp_path / name)) for name in ("diagonal.png", "other.png"))
    assert diagonal is not None
    assert other is not None
    assert min(diagonal.shape[:2]) > 600
    for edge in (diagonal[:5], diagonal[-5:], diagonal[:, :5], diagonal[:, -5:]):
        assert edge.min() == 255, "something is cut off"
    blue = (diagonal[:, :, 0].astype(int) - diagonal[:, :, 2]) > 60  # the dark end of the map
    rows, columns = np.nonzero(blue[:, : int(blue.shape[1] * 0.8)])  # without the colour bar
    assert np.corrcoef(rows, columns)[0, 1] > 0.9
    blue = (other[:, :, 0].astype(int) - other[:, :, 2]) > 60
    rows, columns = np.nonzero(blue[:, : int(blue.shape[1] * 0.8)])
    assert np.corrcoef(rows, columns)[0, 1] < -0.9


def test_classes_without_images_are_drawn(tmp_path: Path) -> None:
    pictures.confusion_matrix(np.zeros((7, 7), int), tmp_path / "empty.png")
    assert cv2.imread(str(tmp_path / "empty.png")) is not None


def test_curves_of_one_epoch_and_of_many(tmp_path: Path) -> None:
    pictures.curves(HISTORY[:1], tmp_path / "one.png")
    pictures.curves(HISTORY, tmp_path / "many.png")
    one, many = (cv2.imread(str(tmp_path / name)) for name in ("one.png", "many.png"))
    assert one is not None
    assert many is not None
    assert darkness(many) > darkness(one) > 0


def test_the_same_picture_twice_and_no_pyplot(tmp_path: Path) -> None:
    pictures.curves(HISTORY, tmp_path / "a.png")
    pictures.curves(HISTORY, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_without_matplotlib_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.optional.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="needs matplotlib"):
        pictures.curves(HISTORY, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
