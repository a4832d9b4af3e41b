"""Pools: sizes, formats, the user's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgefer.bench.inputs import drawn, drawn_at, from_folder
from edgefer.errors import ImageError
from edgefer.images import decode, sniff
from edgefer.preprocess import Preprocess
from edgefer.samples import encoded


def test_drawn_faces_are_distinct_and_the_same_every_time() -> None:
    pool = drawn(8)
    assert len({data for _, data in pool.images}) == 8
    assert list(pool.images) == encoded(8, 0)
    assert pool.sha256 == drawn(8).sha256 != drawn(8, seed=1).sha256
    assert "8 drawn faces" in pool.source


@pytest.mark.parametrize(("size", "format", "gray"), [(48, "png", True), (100, "jpg", False), (224, "jpg", False)])
def test_drawn_at_a_data_sets_size(size: int, format: str, gray: bool) -> None:
    pool = drawn_at(size, format, gray, count=3)
    for name, data in pool.images:
        header = sniff(data, name)
        assert (header.width, header.height, header.format) == (size, size, "PNG" if format == "png" else "JPEG")
        image = decode(data)
        assert bool((image[..., 0] == image[..., 2]).all()) == gray
    if format == "png":
        assert pool.images[0][1][25] == 0  # PNG's colour type: gray


def test_faces_are_what_the_model_gets() -> None:
    pool, preprocess = drawn(3), Preprocess(size=40, resize="area")
    faces = pool.faces(preprocess)
    assert (faces.shape, faces.dtype) == ((3, 40, 40, 3), np.uint8)
    assert (faces[1] == preprocess(decode(pool.images[1][1]))).all()


def test_a_folder(tmp_path: Path) -> None:
    for name, data in encoded(3, seed=2):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "notes.txt").write_text("none")
    pool = from_folder(tmp_path)
    assert [data for _, data in pool.images] == [data for _, data in sorted(encoded(3, seed=2))]
    assert len(from_folder(tmp_path, limit=2).images) == 2
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"bad\.png"):
        from_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "empty", tmp_path / "missing", tmp_path / "notes.txt"):
        with pytest.raises(ImageError):
            from_folder(wrong)
