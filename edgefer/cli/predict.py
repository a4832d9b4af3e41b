"""`edgefer predict`: labels for an image, a folder, a video or a camera."""

from __future__ import annotations

import csv
import json as json_format
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

import edgefer
from edgefer.cli.common import Debug, Json, Output, Provider, Threads, split_artifact
from edgefer.errors import ImageError, UnavailableError, UsageError
from edgefer.files import replace_file
from edgefer.images import SUFFIXES, load, read_bytes, sniff
from edgefer.runtime.drawing import annotate
from edgefer.runtime.faces import Face, FaceDetector
from edgefer.runtime.recognizer import Prediction, Recognizer

NAME = "predict"
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
_TABLES = (".csv", ".json")


class Eye:
    """Faces and their predictions in a picture."""

    def __init__(self, recognizer: Recognizer, detector: FaceDetector | None) -> None:
        self.recognizer, self.detector = recognizer, detector

    def __call__(self, image: np.ndarray) -> tuple[list[Face], list[Prediction], bool]:
        """uint8 RGB -> faces, predictions, and whether a detector found them (else the whole picture is one)."""
        faces = self.detector(image) if self.detector else []
        found = bool(faces)
        if not found:
            faces = [Face(0, 0, image.shape[1], image.shape[0], 1.0)]
        return faces, self.recognizer([face.crop(image) for face in faces], channels="rgb"), found


def command(
    arguments: Annotated[list[str], typer.Argument(metavar="[ARTIFACT] IMAGE|DIR|VIDEO|CAMERA")],
    faces: Annotated[
        str, typer.Option(help="auto: find faces, else take the whole picture; none: every picture is one face.")
    ] = "auto",
    face_model: Annotated[
        Path | None, typer.Option(help="The YuNet file, instead of downloading it once.", metavar="FILE")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the picture or video with the labels drawn in, or a table (.csv, .json).", metavar="FILE"
        ),
    ] = None,
    provider: Provider = None,
    threads: Threads = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what faces show: in an image, in every image of a folder, in a video, or in front of a camera (its index)."""
    artifact, source = split_artifact(arguments, "IMAGE|DIR|VIDEO|CAMERA")
    if faces not in ("auto", "none"):
        raise UsageError(f"--faces {faces} is not known.", "pass --faces auto or --faces none.")
    if faces == "none" and face_model is not None:
        raise UsageError("--face-model makes no sense with --faces none.", "leave one of them out.")
    kind = _kind(source)
    _check_out(out, kind)
    files = _files(Path(source), kind)
    recognizer = edgefer.load(artifact, provider=provider, threads=threads)
    eye = Eye(recognizer, FaceDetector(face_model) if faces == "auto" else None)
    output = Output(json)
    moving = kind in ("video", "camera")
    rows = _video(eye, source, kind, out, output) if moving else _pictures(eye, files, out, output)
    if out is not None and out.suffix.lower() in _TABLES:
        _write_table(out, rows)
    if out is not None:
        output.line("written", str(out))
    output.result({"predictions": rows})


def _kind(source: str) -> str:
    if source.isdigit() and not Path(source).exists():
        return "camera"
    path = Path(source)
    if path.is_dir():
        return "folder"
    return "video" if path.suffix.lower() in VIDEO_SUFFIXES else "image"


def _check_out(out: Path | None, kind: str) -> None:
    if out is None:
        return
    pictures = {"image": SUFFIXES, "folder": (), "video": VIDEO_SUFFIXES[:2], "camera": VIDEO_SUFFIXES[:2]}[kind]
    allowed = (*pictures, *_TABLES)
    if out.suffix.lower() not in allowed:
        raise UsageError(f"--out {out} does not suit: the input is a {kind}.", f"end it in {', '.join(allowed)}.")
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent} does not exist.", "make the folder first.")


def _files(source: Path, kind: str) -> list[Path]:
    """The pictures to look at. What is none is noticed here, before a model is loaded or fetched for it."""
    if kind in ("video", "camera"):
        return []
    files = [source]
    if kind == "folder":
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not files:
            raise ImageError(f"{source} holds no images.", f"images end in {', '.join(SUFFIXES)}.")
    for file in files:
        sniff(read_bytes(file), str(file))
    return files


def _pictures(eye: Eye, files: Sequence[Path], out: Path | None, output: Output) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with output.bar("predict") as bar:
        for done, file in enumerate(files, start=1):
            image = load(file)
            faces, predictions, found = eye(image)
            rows += [_row(str(file), face, p, found) for face, p in zip(faces, predictions, strict=True)]
            bar(done, len(files))
    for row in rows:
        x, y, width, height = row["box"]
        where = f"face at {x},{y} {width}x{height}" if row["found"] else "whole picture"
        output.text(f"{row['source']}  {row['label']} {row['confidence']:.2f}  ({where})")
    if out is not None and out.suffix.lower() in SUFFIXES:
        picture = cv2.cvtColor(annotate(image, faces, predictions), cv2.COLOR_RGB2BGR)
        with replace_file(out) as partial:
            partial.write_bytes(cv2.imencode(out.suffix.lower(), picture)[1].tobytes())
    return rows


def _row(source: str, face: Face, prediction: Prediction, found: bool) -> dict[str, Any]:
    return {
        "source": source,
        "found": found,
        "box": [face.x, face.y, face.width, face.height],
        "label": prediction.label,
        "confidence": prediction.confidence,
        "probabilities": dict(zip(edgefer.EMOTIONS, map(float, prediction.probabilities), strict=True)),
    }


def _video(eye: Eye, source: str, kind: str, out: Path | None, output: Output) -> list[dict[str, Any]]:
    if kind == "video" and not Path(source).is_file():
        raise ImageError(f"{source} does not exist.", "check the path.")
    capture = cv2.VideoCapture(int(source) if kind == "camera" else source)
    try:
        if not capture.isOpened():
            if kind == "camera":
                raise UnavailableError(f"there is no camera {source} on this machine.", "try index 0, or pass a video.")
            raise ImageError(f"{source} is not a video that OpenCV can read.", "convert it to H.264 in .mp4.")
        if out is not None and out.suffix.lower() in VIDEO_SUFFIXES:
            with replace_file(out) as partial:
                # The writer picks the container by the suffix, which the file beside must therefore keep.
                staged = partial.with_name(partial.name + out.suffix)
                try:
                    rows = _frames(eye, capture, source, staged, output)
                    staged.replace(partial)
                finally:
                    staged.unlink(missing_ok=True)
        else:
            rows = _frames(eye, capture, source, None, output)
    finally:
        capture.release()
    counts = Counter(row["label"] for row in rows)
    frames = rows[-1]["frame"] + 1
    shares = ", ".join(f"{label} {count / len(rows):.0%}" for label, count in counts.most_common())
    output.text(f"{source}  {frames} frames, {len(rows)} faces: {shares}")
    return rows


def _frames(
    eye: Eye, capture: cv2.VideoCapture, source: str, video: Path | None, output: Output
) -> list[dict[str, Any]]:
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    writer: cv2.VideoWriter | None = None
    rows: list[dict[str, Any]] = []
    try:
        with output.bar("predict") as bar:
            for number, frame in enumerate(_read(capture)):
                faces, predictions, found = eye(frame)
                for face, prediction in zip(faces, predictions, strict=True):
                    row = _row(source, face, prediction, found)
                    rows.append({"frame": number, "seconds": number / rate, **row})
                if video is not None:
                    if writer is None:
                        writer = _writer(video, rate, frame)
                    writer.write(cv2.cvtColor(annotate(frame, faces, predictions), cv2.COLOR_RGB2BGR))
                bar(number + 1, total if total > 0 else None)
    except KeyboardInterrupt:  # how a camera is meant to be stopped
        output.text("stopped")
    finally:
        if writer is not None:
            writer.release()
    if not rows:
        raise ImageError(f"{source} holds no frames.", "the video may be damaged; convert it to H.264 in .mp4.")
    return rows


def _read(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while True:
        ok, frame = capture.read()
        if not ok:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def _writer(video: Path, rate: float, frame: np.ndarray) -> cv2.VideoWriter:
    codec = "mp4v" if video.suffix.lower() == ".mp4" else "MJPG"
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(video), fourcc, rate, (frame.shape[1], frame.shape[0]))
    if not writer.isOpened():
        raise UnavailableError(f"OpenCV cannot write {codec} video here.", "write a table instead: --out x.csv.")
    return writer


def _write_table(out: Path, rows: list[dict[str, Any]]) -> None:
    with replace_file(out) as partial:
        if out.suffix.lower() == ".json":
            partial.write_text(json_format.dumps(rows, indent=2) + "\n", "utf-8")
            return
        with partial.open("w", newline="", encoding="utf-8") as file:
            flat = [_flat(row) for row in rows]
            table = csv.DictWriter(file, list(flat[0]))
            table.writeheader()
            table.writerows(flat)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    x, y, width, height = row["box"]
    rest = {key: value for key, value in row.items() if key not in ("box", "probabilities")}
    return {**rest, "x": x, "y": y, "width": width, "height": height, **row["probabilities"]}
