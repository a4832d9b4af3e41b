"""`edgefer predict` on pictures, folders, videos and cameras, against the Python API on the same pixels."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import edgefer
from edgefer.artifact import Artifact
from edgefer.runtime.faces import YUNET_NAME
from edgefer.runtime.recognizer import Recognizer
from edgefer.samples import render

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., tuple[str, str]]
NONE = ("--faces", "none")


@pytest.fixture(scope="module")
def fer(tiny_artifact: Artifact) -> Recognizer:
    return edgefer.load(tiny_artifact.path)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of a changing face, ten a second."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 96))
    if not writer.isOpened():
        pytest.skip("OpenCV cannot write MJPG here")
    for seed in range(6):
        writer.write(cv2.cvtColor(render(edgefer.EMOTIONS[seed], seed, 96), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def frames(path: Path) -> Iterator[np.ndarray]:
    """BGR frames of a video."""
    capture = cv2.VideoCapture(str(path))
    while (frame := capture.read()[1]) is not None:
        yield frame
    capture.release()


def check_row(row: dict[str, Any], expected: edgefer.Prediction) -> None:
    assert row["label"] == expected.label
    assert row["confidence"] == pytest.approx(expected.confidence, abs=1e-6)
    assert list(row["probabilities"]) == list(edgefer.EMOTIONS)
    assert list(row["probabilities"].values()) == pytest.approx(expected.probabilities.tolist(), abs=1e-6)


# --- pictures -------------------------------------------------------------------------------------------------------


def test_a_picture(run_cli: Call, fer: Recognizer, tiny_artifact: Artifact, photo: Path) -> None:
    expected = fer(photo)
    code, out, err = run_cli("predict", tiny_artifact.path, photo, *NONE)
    assert (code, err) == (0, "")
    assert out == f"{photo}  {expected.label} {expected.confidence:.2f}  (whole picture)\n"
    code, out, err = run_cli("predict", tiny_artifact.path, photo, *NONE, "--json")
    assert code == 0
    assert expected.label in err
    (row,) = json.loads(out)["predictions"]
    width, height = Image.open(photo).size
    assert (row["source"], row["found"], row["box"]) == (str(photo), False, [0, 0, width, height])
    check_row(row, expected)


def test_a_folder_is_read_to_its_depth(run_cli: Call, fer: Recognizer, tiny_artifact: Artifact, photos: Path) -> None:
    files = sorted(p for p in photos.rglob("*") if p.suffix in (".png", ".jpg"))
    assert len(files) == 3
    code, out, _ = run_cli("predict", tiny_artifact.path, photos, *NONE, "--threads", 1, "--json")
    assert code == 0
    rows = json.loads(out)["predictions"]
    assert [row["source"] for row in rows] == [str(file) for file in files]
    for row, file in zip(rows, files, strict=True):
        check_row(row, fer(file))


def test_an_onnx_file_predicts_too(run_cli: Call, fer: Recognizer, tiny_artifact: Artifact, photo: Path) -> None:
    code, out, _ = run_cli("predict", tiny_artifact.model, photo, *NONE, "--json")
    assert code == 0
    check_row(json.loads(out)["predictions"][0], fer(photo))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_out_writes_the_picture_with_its_label(
    run_cli: Call, tiny_artifact: Artifact, photo: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"labelled{suffix}"
    code, told, _ = run_cli("predict", tiny_artifact.path, photo, *NONE, "--out", out)
    assert code == 0
    assert f"written      {out}" in told
    drawn, plain = np.asarray(Image.open(out).convert("RGB")), np.asarray(Image.open(photo).convert("RGB"))
    assert drawn.shape == plain.shape
    difference = np.abs(drawn.astype(int) - plain).max(axis=-1)
    assert (difference > 60).mean() > 0.005  # the tag and the frame
    assert np.median(difference[difference.shape[0] // 2 :]) < 30  # below the tag it is the photograph, in its colours
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


def test_out_writes_tables(
    run_cli: Call, fer: Recognizer, tiny_artifact: Artifact, photos: Path, tmp_path: Path
) -> None:
    files = sorted(p for p in photos.rglob("*") if p.suffix in (".png", ".jpg"))
    for suffix in (".json", ".csv"):
        assert run_cli("predict", tiny_artifact.path, photos, *NONE, "--out", tmp_path / f"table{suffix}")[0] == 0
    for row, file in zip(json.loads((tmp_path / "table.json").read_text("utf-8")), files, strict=True):
        check_row(row, fer(file))
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    columns = ["source", "found", "label", "confidence", "x", "y", "width", "height"]
    assert list(rows[0]) == [*columns, *edgefer.EMOTIONS]
    for row, file in zip(rows, files, strict=True):
        expected = fer(file)
        assert (row["source"], row["label"], row["x"]) == (str(file), expected.label, "0")
        assert [float(row[name]) for name in edgefer.EMOTIONS] == pytest.approx(
            expected.probabilities.tolist(), abs=1e-6
        )


def test_real_faces_are_found(
    run_cli: Call, fer: Recognizer, tiny_artifact: Artifact, shared: Path, tmp_path: Path
) -> None:
    """With the detector: a box for each face, and each crop predicted as the API predicts it."""
    pytest.importorskip("PIL")
    yunet, archive = shared / YUNET_NAME, shared / "fer2013_mini.zip"
    if not (yunet.is_file() and archive.is_file()):
        pytest.skip("the detector or the faces are not in ../shared/data")
    sys.path.insert(0, str(shared))
    try:
        import unpack  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(shared))
    portraits, rows = unpack.load(archive)
    wall = np.full((400, 760, 3), (200, 190, 180), np.uint8)
    for i, portrait in enumerate(portraits[rows["usage"] == 2][:8]):
        y, x = i // 4 * 190 + 25, i % 4 * 190 + 25
        wall[y : y + 140, x : x + 140] = cv2.resize(portrait, (140, 140), interpolation=cv2.INTER_CUBIC)[..., None]
    picture, out = tmp_path / "wall.png", tmp_path / "out.png"
    Image.fromarray(wall).save(picture)
    code, told, _ = run_cli("predict", tiny_artifact.path, picture, "--face-model", yunet, "--json", "--out", out)
    assert code == 0
    found = json.loads(told)["predictions"]
    assert len(found) >= 4
    assert all(row["found"] for row in found)
    for row in found:
        x, y, width, height = row["box"]
        check_row(row, fer(wall[y : y + height, x : x + width], channels="rgb"))
    assert np.asarray(Image.open(out)).shape == wall.shape
    # A picture without a face is taken whole, and says so.
    blank = tmp_path / "blank.png"
    Image.new("RGB", (80, 60), "gray").save(blank)
    code, told, _ = run_cli("predict", tiny_artifact.path, blank, "--face-model", yunet)
    assert code == 0
    assert told.endswith("(whole picture)\n")


# --- videos and cameras ---------------------------------------------------------------------------------------------


def test_a_video(run_cli: Call, fer: Recognizer, tiny_artifact: Artifact, film: Path) -> None:
    code, out, err = run_cli("predict", tiny_artifact.path, film, *NONE)
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(film))}  6 frames, 6 faces: \w+ \d+%(, \w+ \d+%)*\n", out)
    code, out, _ = run_cli("predict", tiny_artifact.path, film, *NONE, "--json")
    assert code == 0
    rows = json.loads(out)["predictions"]
    assert [row["frame"] for row in rows] == list(range(6))
    assert [row["seconds"] for row in rows] == pytest.approx([i / 10 for i in range(6)])
    for row, frame in zip(rows, frames(film), strict=True):
        check_row(row, fer(frame))


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_video_with_its_labels(
    run_cli: Call, tiny_artifact: Artifact, film: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"labelled{suffix}"
    code, told, _ = run_cli("predict", tiny_artifact.path, film, *NONE, "--out", out)
    assert code == 0
    assert f"written      {out}" in told
    drawn, plain = list(frames(out)), list(frames(film))
    assert len(drawn) == len(plain) == 6
    for a, b in zip(drawn, plain, strict=True):
        assert a.shape == b.shape
        assert (np.abs(a.astype(int) - b).max(axis=-1) > 60).mean() > 0.01
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


def test_a_video_as_a_table(run_cli: Call, tiny_artifact: Artifact, film: Path, tmp_path: Path) -> None:
    assert run_cli("predict", tiny_artifact.path, film, *NONE, "--out", tmp_path / "film.csv")[0] == 0
    with (tmp_path / "film.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["frame"], row["seconds"]) for row in rows] == [(str(i), str(i / 10)) for i in range(6)]


@pytest.mark.parametrize("out", [[], ["--out", "labelled.avi"]])
def test_a_video_without_frames(
    refused: Refused,
    tiny_artifact: Artifact,
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: list[str],
) -> None:
    """It opens, and then nothing comes: no empty video may appear, nor Python's complaint about a missing file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edgefer.cli.predict._read", lambda capture: iter(()))
    error, _ = refused(3, "predict", tiny_artifact.path, film, *NONE, *out)
    assert error == f"{film} holds no frames."
    assert list(tmp_path.iterdir()) == []


def test_stopping_a_camera_keeps_what_was_seen(
    run_cli: Call, tiny_artifact: Artifact, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is how a camera is meant to be stopped."""

    def interrupted(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
        yield from list(frames(film))[:2]
        raise KeyboardInterrupt

    monkeypatch.setattr("edgefer.cli.predict._read", interrupted)
    code, out, _ = run_cli("predict", tiny_artifact.path, film, *NONE)
    assert code == 0
    assert out.startswith("stopped\n")
    assert "2 frames" in out


def test_failures_of_videos_and_cameras_are_two_lines(tiny_artifact: Artifact, tmp_path: Path) -> None:
    """In a process of its own: OpenCV and FFmpeg write to the terminal past Python."""
    (tmp_path / "broken.mp4").write_bytes(b"no film" * 100)
    code = "import sys; from edgefer.cli import main; main(sys.argv[1:])"
    for source, status, says in (
        ("77", 4, "error: there is no camera 77 on this machine."),
        (str(tmp_path / "broken.mp4"), 3, f"error: {tmp_path / 'broken.mp4'} is not a video that OpenCV can read."),
        (str(tmp_path / "no.mp4"), 3, f"error: {tmp_path / 'no.mp4'} does not exist."),
    ):
        command = [sys.executable, "-c", code, "predict", str(tiny_artifact.path), source, *NONE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout) == (status, "")
        first, second = done.stderr.splitlines()
        assert first == says
        assert second.startswith("hint:  ")


# --- refusals -------------------------------------------------------------------------------------------------------


def test_pictures_that_are_none(refused: Refused, tiny_artifact: Artifact, tmp_path: Path) -> None:
    def predict(name: str) -> str:
        return refused(3, "predict", tiny_artifact.path, tmp_path / name, *NONE)[0]

    (tmp_path / "broken.jpg").touch()
    assert predict("broken.jpg") == f"{tmp_path / 'broken.jpg'} is not an image: 0 bytes."
    (tmp_path / "text.jpg").write_text("text")
    assert predict("text.jpg") == f"{tmp_path / 'text.jpg'} is not a JPEG, PNG, WebP or BMP image."
    assert predict("no.jpg") == f"{tmp_path / 'no.jpg'} does not exist."
    (tmp_path / "empty").mkdir()
    assert predict("empty") == f"{tmp_path / 'empty'} holds no images."
    assert str(tmp_path / "broken.jpg") in predict(".")  # one bad picture in a folder is named


def test_pictures_that_are_none_are_noticed_before_a_model_is_fetched(
    refused: Refused, tiny_artifact: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("text")
    face_model = ("--face-model", tmp_path / "none.onnx")  # reading it would be refused with other words
    assert "is not a JPEG" in refused(3, "predict", tiny_artifact.path, tmp_path / "README.md", *face_model)[0]


@pytest.mark.parametrize(
    ("source", "out", "kind"),
    [
        ("photo", "x.txt", "image"),
        ("photo", "x.avi", "image"),
        ("photo", "x", "image"),
        ("photos", "x.jpg", "folder"),
        ("film", "x.jpg", "video"),
        ("film", "x.mkv", "video"),
        ("0", "x.png", "camera"),
    ],
)
def test_an_out_that_does_not_suit(
    refused: Refused, tiny_artifact: Artifact, request: pytest.FixtureRequest, source: str, out: str, kind: str
) -> None:
    where = source if source == "0" else request.getfixturevalue(source)
    error, hint = refused(2, "predict", tiny_artifact.path, where, *NONE, "--out", out)
    assert error == f"--out {out} does not suit: the input is a {kind}."
    assert ".csv" in hint


def test_an_out_in_a_folder_that_is_not_there(
    refused: Refused, tiny_artifact: Artifact, photo: Path, tmp_path: Path
) -> None:
    error, _ = refused(2, "predict", tiny_artifact.path, photo, *NONE, "--out", tmp_path / "no" / "x.csv")
    assert error == f"{tmp_path / 'no'} does not exist."


def test_bad_artifacts_and_models(refused: Refused, tiny_artifact: Artifact, photo: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(3, "predict", tmp_path / "no", photo, *NONE)[0]
    assert "holds no manifest" in refused(3, "predict", tmp_path, photo, *NONE)[0]
    assert "is an artifact" in refused(2, "predict", tiny_artifact.path)[0]
    wrong = tmp_path / "yunet.onnx"
    wrong.write_bytes(b"x")
    assert "its hash differs" in refused(3, "predict", tiny_artifact.path, photo, "--face-model", wrong)[0]
    assert "abacus" in refused(4, "predict", tiny_artifact.path, photo, *NONE, "--provider", "abacus")[0]


def test_without_an_artifact_the_shipped_model_is_used(
    run_cli: Call, refused: Refused, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cli("predict", photo, *NONE)[0] == 0
    monkeypatch.setattr("edgefer.runtime.recognizer.ARTIFACT", photo.with_name("none.onnx"))
    assert "no model ships" in refused(3, "predict", photo, *NONE)[0]


def test_no_network_for_the_detector(
    refused: Refused, tiny_artifact: Artifact, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def urlopen(url: str, timeout: float) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setenv("EDGEFER_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    error, hint = refused(4, "predict", tiny_artifact.path, photo)
    assert "could not be downloaded" in error
    assert "--faces none" in hint


def test_onnxruntime_missing(
    refused: Refused, tiny_artifact: Artifact, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != "onnxruntime")
    error, hint = refused(4, "predict", tiny_artifact.path, photo, *NONE)
    assert "onnxruntime" in error
    assert hint == 'pip install "edgefer[cpu]"'
