"""Faces are found on real pictures; the detector's file is the one we know, or none."""

from __future__ import annotations

import http.client
import io
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefer.errors import ArtifactError, EdgeferError, UnavailableError
from edgefer.runtime import faces
from edgefer.runtime.faces import YUNET_BYTES, YUNET_NAME, YUNET_SHA256, Face, FaceDetector, cache_folder

SIZE, PITCH = 140, 190  # of the faces pasted into test pictures, and the distance of their corners


@pytest.fixture(scope="module")
def yunet(shared: Path) -> Path:
    file = shared / YUNET_NAME
    if not file.is_file():
        pytest.skip(f"{YUNET_NAME} is not in ../shared/data")
    return file


@pytest.fixture(scope="module")
def real_faces(fer2013_mini: tuple[np.ndarray, dict[str, np.ndarray]]) -> np.ndarray:
    """FER2013's private test faces: uint8 [N, 48, 48]."""
    images, rows = fer2013_mini
    return np.asarray(images[rows["usage"] == 2])


def compose(portraits: np.ndarray, seed: int) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Twelve faces on a plain wall: uint8 RGB [570, 760, 3], and their centres (x, y)."""
    rng = np.random.default_rng(seed)
    wall = np.full((3 * PITCH, 4 * PITCH, 3), rng.integers(60, 200, 3), np.uint8)
    centres = []
    for i, index in enumerate(rng.choice(len(portraits), 12, replace=False)):
        x, y = i % 4 * PITCH + 25, i // 4 * PITCH + 25
        large = cv2.resize(portraits[index], (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        wall[y : y + SIZE, x : x + SIZE] = large[..., None]
        centres.append((x + SIZE / 2, y + SIZE / 2))
    return wall, centres


def hits(found: list[Face], centres: list[tuple[float, float]], reach: float) -> list[tuple[float, float]]:
    """Centres that lie in the middle of a found face."""
    middles = [(f.x + f.width / 2, f.y + f.height / 2) for f in found]
    return [(x, y) for x, y in centres if any(max(abs(x - a), abs(y - b)) < reach for a, b in middles)]


def test_most_real_faces_are_found_and_nothing_else(yunet: Path, real_faces: np.ndarray) -> None:
    detector = FaceDetector(yunet)
    found_in_all = 0
    for seed in range(3):
        wall, centres = compose(real_faces, seed)
        found = detector(wall)
        right = hits(found, centres, 40)
        assert len(right) == len(found)  # each of them is a face that is there
        found_in_all += len(right)
        for face in found:
            assert 0 <= face.x < face.x + face.width <= wall.shape[1]
            assert 0 <= face.y < face.y + face.height <= wall.shape[0]
            assert 0.5 * SIZE < face.width < 1.7 * SIZE
            assert 0.7 <= face.score <= 1
            assert type(face.x) is type(face.width) is int
        areas = [face.width * face.height for face in found]
        assert areas == sorted(areas, reverse=True)
    assert found_in_all >= 0.75 * 36


def test_boxes_are_in_pixels_of_the_whole_picture(yunet: Path, real_faces: np.ndarray) -> None:
    """Large pictures are scaled down for the network; the boxes must come back at full size."""
    detector = FaceDetector(yunet)
    wall, centres = compose(real_faces, 0)
    large = cv2.resize(wall, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    found = detector(large)
    assert len(found) >= 6
    assert len(hits(found, [(4 * x, 4 * y) for x, y in centres], 160)) == len(found)
    detector(wall[:100, :90])  # another size in between
    assert detector(large) == found


def test_a_face_cut_by_the_edge_stays_inside(yunet: Path, real_faces: np.ndarray) -> None:
    detector = FaceDetector(yunet)
    wall, centres = compose(real_faces, 0)
    x, y = hits(detector(wall), centres, 40)[0]
    left, top = int(x - SIZE / 2 + 20), int(y - SIZE / 2 + 20)
    tight = np.ascontiguousarray(wall[top : top + SIZE - 30, left : left + SIZE - 30])
    found = detector(tight)
    assert found
    for face in found:
        crop = face.crop(tight)
        assert crop.shape == (face.height, face.width, 3)
        assert crop.size


def test_a_crop_is_the_part_of_the_picture(face: np.ndarray) -> None:
    assert np.array_equal(Face(10, 20, 30, 40, 0.9).crop(face), face[20:60, 10:40])


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 2), (7, 9), (31, 33), (3, 5000), (200, 200)])
def test_pictures_without_faces_of_any_size(yunet: Path, shape: tuple[int, int]) -> None:
    assert FaceDetector(yunet)(np.full((*shape, 3), 128, np.uint8)) == []


def test_the_score_is_a_threshold(yunet: Path, real_faces: np.ndarray) -> None:
    wall, _ = compose(real_faces, 1)
    found = FaceDetector(yunet)(wall)
    strict = FaceDetector(yunet, score=0.9)(wall)
    assert strict == [face for face in found if face.score >= 0.9]
    assert 0 < len(strict) < len(found)


def test_opencv_says_nothing(yunet: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A library prints nothing; OpenCV 5 would remark on its own graph engine. Its log level is put back."""
    level = cv2.utils.logging.getLogLevel()
    FaceDetector(yunet)(np.zeros((64, 64, 3), np.uint8))
    assert cv2.utils.logging.getLogLevel() == level
    assert capfd.readouterr() == ("", "")


# --- the file -------------------------------------------------------------------------------------------------------


def refused(call: Callable[[], object], kind: type[EdgeferError]) -> EdgeferError:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.hint
    return caught.value


def test_a_missing_or_wrong_file_is_refused(tmp_path: Path) -> None:
    error = refused(lambda: FaceDetector(tmp_path / "no.onnx"), ArtifactError)
    assert str(error) == f"{tmp_path / 'no.onnx'} does not exist."
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"x" * YUNET_BYTES)
    error = refused(lambda: FaceDetector(wrong), ArtifactError)
    assert "its hash differs" in str(error)
    assert faces.YUNET_URL in error.hint


def test_one_flipped_bit_is_refused(yunet: Path, tmp_path: Path) -> None:
    data = bytearray(yunet.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.onnx").write_bytes(data)
    refused(lambda: FaceDetector(tmp_path / "flipped.onnx"), ArtifactError)


def test_what_we_know_of_the_file_is_true(yunet: Path) -> None:
    import hashlib

    assert hashlib.sha256(yunet.read_bytes()).hexdigest() == YUNET_SHA256
    assert yunet.stat().st_size == YUNET_BYTES


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEFER_CACHE", os.fspath(tmp_path / "cache"))
    return tmp_path / "cache"


def answer(data: bytes, asked: list[str]) -> Callable[..., io.BytesIO]:
    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        assert timeout <= 60
        return io.BytesIO(data)

    return urlopen


def test_it_is_downloaded_once_and_kept(
    yunet: Path, real_faces: np.ndarray, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(urllib.request, "urlopen", answer(yunet.read_bytes(), asked))
    wall, _ = compose(real_faces, 0)
    for _ in range(2):
        assert FaceDetector()(wall) == FaceDetector(yunet)(wall)
    assert asked == [faces.YUNET_URL]
    assert [entry.name for entry in cache.iterdir()] == [YUNET_NAME]


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("Name or service not known"),
        urllib.error.HTTPError("https://x", 404, "Not Found", http.client.HTTPMessage(), None),
        TimeoutError("timed out"),
        ConnectionResetError("Connection reset by peer"),
        http.client.IncompleteRead(b"x"),
        http.client.BadStatusLine("?"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_no_network_is_unavailable(cache: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def urlopen(url: str, timeout: float) -> None:
        raise failure

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    error = refused(FaceDetector, UnavailableError)
    assert error.exit_code == 4
    assert "could not be downloaded" in str(error)
    assert "--faces none" in error.hint
    assert not cache.exists()


@pytest.mark.parametrize("data", [b"", b"<html>Please log in</html>", b"x" * YUNET_BYTES, b"x" * 10**6])
def test_a_wrong_download_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", answer(data, []))
    error = refused(FaceDetector, UnavailableError)
    assert "its hash differs" in str(error)
    assert list(cache.iterdir()) == []


def test_a_cached_file_that_was_spoilt_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: pytest.fail("downloaded over it"))
    cache.mkdir()
    (cache / YUNET_NAME).write_bytes(b"spoilt")
    refused(FaceDetector, ArtifactError)


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGEFER_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", os.fspath(tmp_path / "local"))
    for system, expected in (
        ("linux", "xdg/edgefer"),
        ("darwin", "Library/Caches/edgefer"),
        ("win32", "local/edgefer"),
    ):
        monkeypatch.setattr(sys, "platform", system)
        assert cache_folder() == tmp_path / expected
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "edgefer"
    monkeypatch.setenv("EDGEFER_CACHE", os.fspath(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
