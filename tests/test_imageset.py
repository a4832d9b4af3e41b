"""Images in their encoded form."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefer.errors import ImageError
from edgefer.images import decode
from edgefer.imageset import ImageSet, from_folder
from edgefer.preprocess import Preprocess


def test_a_folder(tmp_path: Path, face: np.ndarray) -> None:
    (tmp_path / "b").mkdir()
    cv2.imwrite(str(tmp_path / "b" / "2.png"), face)
    cv2.imwrite(str(tmp_path / "1.jpg"), face)
    (tmp_path / "notes.txt").write_text("no image")
    found = from_folder(tmp_path)
    assert [name for name, _ in found.images] == ["1.jpg", "b/2.png"]
    assert found.source == "2 images given with --images"
    joined = b"".join(hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("1.jpg", "b/2.png"))
    assert found.sha256 == hashlib.sha256(joined).hexdigest()
    assert [name for name, _ in from_folder(tmp_path, limit=1).images] == ["1.jpg"]


def test_a_folder_that_will_not_do(tmp_path: Path, face: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "2.png"), face)
    for wrong in (tmp_path / "none", tmp_path / "2.png"):
        with pytest.raises(ImageError, match="is not a folder") as caught:
            from_folder(wrong, "--calibration")
        assert "--calibration" in caught.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no images"):
        from_folder(tmp_path / "empty")
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"1\.png is not"):
        from_folder(tmp_path)


def test_faces_are_what_the_model_gets(tmp_path: Path, face: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), face)
    cv2.imwrite(str(tmp_path / "2.png"), face[:, ::-1])
    found, preprocess = from_folder(tmp_path), Preprocess(size=40, resize="area")
    faces = found.faces(preprocess)
    assert (faces.shape, faces.dtype) == ((2, 40, 40, 3), np.uint8)
    assert (faces[1] == preprocess(decode(found.images[1][1]))).all()


def test_true_labels_come_from_the_folders_names() -> None:
    names = ["happiness/1.png", "deep/anger/2.png"]
    assert ImageSet([(n, b"") for n in names], "x").labels.tolist() == [3, 0]  # type: ignore[union-attr]
    assert ImageSet([(n, b"") for n in [*names, "3.png"]], "x").labels is None
    assert ImageSet([], "x").labels is None
