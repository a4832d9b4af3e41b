"""FER2013 (Goodfellow et al., 2013) in every form it lies on disks.

`fer2013.csv` (emotion,pixels,Usage); Kaggle's `icml_face_data.csv` (blanks in its header); Kaggle's `train.csv`
(emotion,pixels) with a `test.csv` that has no labels; Kaggle's folders `train/angry/*.jpg`, `test/...`; and an npz with
the arrays images, y, usage and, where known, source, train_ncc and ferplus.

Official splits: Training, PublicTest (validation), PrivateTest (test).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from edgefer.data import ferplus as fer_plus
from edgefer.data import folder
from edgefer.data.dataset import SPLITS, ArrayImage, Dataset, Face
from edgefer.data.reading import Problems, csv_rows, find, integer, raw_rows, require
from edgefer.emotions import EMOTIONS, FER2013
from edgefer.errors import DataError

SIDE = 48
USAGES = ("Training", "PublicTest", "PrivateTest")  # position = index into SPLITS
NEAR_COPY = 0.94  # correlation from which a test image counts as a copy of a training image
_LABELS = [EMOTIONS.index(name) for name in FER2013]
_CSVS = ("fer2013.csv", "icml_face_data.csv", "fer2013/fer2013.csv")


def read(path: Path, problems: Problems, ferplus: Path | None = None) -> Dataset:
    """Read FER2013 from a csv, an npz, or a folder that holds one of them or Kaggle's class folders.

    Args:
        ferplus: FER+'s `fer2013new.csv`, joined by row; for forms that keep the official rows.

    Raises:
        DataError: names file and line.
    """
    require(path, "fer2013.csv, icml_face_data.csv, train.csv, an npz or Kaggle's folders")
    file = path if path.is_file() else next((path / name for name in _CSVS if (path / name).is_file()), None)
    if file is None:
        if (path / "train.csv").is_file():
            return _without_ferplus(_read_kaggle_csvs(path, problems), ferplus)
        found = find(path, ("train", "fer2013.npz"), "FER2013")
        if found.is_dir():
            return _without_ferplus(_read_folders(path, problems), ferplus)
        file = found
    if file.suffix.lower() == ".npz":
        return _read_npz(file, ferplus)
    if file.suffix.lower() != ".csv":
        raise DataError(f"{file} is neither a csv nor an npz.", "pass fer2013.csv, an npz or a folder.")
    return _read_csv(file, problems, ferplus)


def _read_csv(path: Path, problems: Problems, ferplus: Path | None) -> Dataset:
    header = _header(path)
    if "Usage" not in header and "pixels" in header:
        return _without_ferplus(_read_split_csv(path, "train", problems), ferplus)
    votes, usages = fer_plus.read(ferplus) if ferplus else (None, [])
    pixels = bytearray()
    faces: list[Face] = []
    rows = 0
    found: list[tuple[int, int, int, str]] = []  # line, row, label, split
    for line, row in csv_rows(path, ("emotion", "pixels", "Usage"), problems):
        at = line - 2  # by line, so that a row that was skipped still counts
        rows = at + 1
        if row["Usage"] not in USAGES:
            problems.bad(f"{path}:{line}", f"Usage is {row['Usage']!r}.", f"it must be one of {', '.join(USAGES)}")
            continue
        if votes is not None and (at >= len(usages) or usages[at] != row["Usage"]):
            raise DataError(f"{ferplus}: row {at + 1} does not match {path}:{line}.", _JOIN_HINT)
        face = _parse(path, line, row, problems)
        if face is not None:
            pixels += face[1].tobytes()
            found.append((line, at, face[0], SPLITS[USAGES.index(row["Usage"])]))
    if votes is not None and rows != len(votes):
        raise DataError(f"{ferplus} has {len(votes)} rows, {path} has {rows}.", _JOIN_HINT)
    array = np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE)
    for index, (line, at, label, split) in enumerate(found):
        source = ArrayImage(array, index, (str(path), line))
        faces.append(Face(source, label, split, f"{at:05d}", None if votes is None else votes[at]))
    return Dataset("fer2013", faces, gray=True)


_JOIN_HINT = "FER+ is joined by row: both files must be complete and in the official order."


def _header(path: Path) -> list[str]:
    return [name.strip() for name in next(raw_rows(path))[1]]


def _parse(path: Path, line: int, row: dict[str, str], problems: Problems) -> tuple[int, np.ndarray] | None:
    """Return the label and the pixels uint8 [48 * 48] of a row, or None when it was reported as broken."""
    label = integer(row["emotion"])
    if label is None or not 0 <= label < len(_LABELS):
        problems.bad(f"{path}:{line}", f"emotion is {row['emotion']!r}, not 0 to 6.", "correct the line")
        return None
    pixels = parse_pixels(row["pixels"])
    if pixels is None:
        problems.bad(f"{path}:{line}", "pixels are not numbers from 0 to 255.", "correct the line")
        return None
    if pixels.size != SIDE * SIDE:
        problems.bad(f"{path}:{line}", f"{pixels.size} pixels instead of 2304 (48 x 48).", "correct the line")
        return None
    return _LABELS[label], pixels


def parse_pixels(text: str) -> np.ndarray | None:
    """Parse numbers 0 to 255 between blanks into uint8 [n], or return None when there is anything else."""
    if not text:
        return np.empty(0, np.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # how numpy before 2.3 reports text that is no number
            values = np.fromstring(text, np.int32, sep=" ")
    except (ValueError, DeprecationWarning):
        return None
    return values.astype(np.uint8) if values.min() >= 0 and values.max() <= 255 else None


def _read_split_csv(path: Path, split: str, problems: Problems) -> Dataset:
    """Read Kaggle's train.csv: emotion and pixels, without Usage."""
    if "emotion" not in _header(path) and "pixels" in _header(path):
        raise DataError(
            f"{path}:1: no column emotion: Kaggle's test.csv has no labels.",
            "pass icml_face_data.csv from the same download: it has all three splits with labels.",
        )
    pixels = bytearray()
    found: list[tuple[int, int]] = []
    for line, row in csv_rows(path, ("emotion", "pixels"), problems):
        face = _parse(path, line, row, problems)
        if face is not None:
            pixels += face[1].tobytes()
            found.append((line, face[0]))
    array = np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE)
    faces = [
        Face(ArrayImage(array, i, (str(path), line)), label, split, f"{split}/{line - 2:05d}")
        for i, (line, label) in enumerate(found)
    ]
    return Dataset("fer2013", faces, gray=True, notes=[f"{path.name} has no Usage column: all rows are {split}."])


def _read_kaggle_csvs(root: Path, problems: Problems) -> Dataset:
    train = _read_split_csv(root / "train.csv", "train", problems)
    test = root / "test.csv"
    if not test.is_file():
        return train
    if "emotion" not in _header(test):
        train.notes.append("test.csv has no labels: none of its images is used. icml_face_data.csv has them.")
        return train
    labelled = _read_split_csv(test, "test", problems)
    return Dataset("fer2013", train.faces + labelled.faces, gray=True, notes=train.notes + labelled.notes)


def _read_folders(root: Path, problems: Problems) -> Dataset:
    """Read Kaggle's folders. Its test folder is public and private test together; the file names tell them apart."""
    data = folder.read(root, problems)
    if any(face.split == "val" for face in data.faces):
        return Dataset("fer2013", data.faces, gray=True, notes=data.notes)
    faces = [Face(face.source, face.label, "val" if _is_public(face) else face.split, face.id) for face in data.faces]
    notes = list(data.notes)
    if not any(face.split == "val" for face in faces):
        notes.append(
            "The test folder is FER2013's public and private test together, and its file names do not say which is "
            "which: there is no validation split, and test accuracies are not comparable with published ones."
        )
    return Dataset("fer2013", faces, gray=True, notes=notes)


def _is_public(face: Face) -> bool:
    return face.split == "test" and face.id.rsplit("/", 1)[-1].startswith("PublicTest")


def _without_ferplus(data: Dataset, ferplus: Path | None) -> Dataset:
    if ferplus is not None:
        raise DataError(
            f"{ferplus} cannot be joined: FER+ goes by the row of the official file.",
            "pass fer2013.csv or icml_face_data.csv.",
        )
    return data


def _read_npz(path: Path, ferplus: Path | None) -> Dataset:
    arrays = _load_npz(path)
    images, y, usage = arrays["images"], arrays["y"], arrays["usage"]
    source = arrays.get("source", np.zeros(len(y), np.uint8))
    votes = fer_plus.shares(arrays["ferplus"]) if "ferplus" in arrays else None
    if ferplus is not None:
        votes, usages = fer_plus.read(ferplus)
        if [USAGES[u] for u in usage] != usages:
            raise DataError(f"{ferplus} does not match the rows of {path}.", _JOIN_HINT)
    clean = None
    if "train_ncc" in arrays:
        # Stored as float16: 0.94 itself would be rounded down to 0.93994 in a comparison at that precision.
        near = arrays["train_ncc"].astype(np.float64) >= NEAR_COPY
        clean = (usage == USAGES.index("PrivateTest")) & ~near & (source != 1)
    # Pixels of rows with source 1 are only approximately known, and most are no faces: never trained on.
    kept = np.flatnonzero(~((source == 1) & (usage == 0)))
    faces = [
        Face(
            ArrayImage(images, i, (str(path), i)),
            _LABELS[y[i]],
            SPLITS[usage[i]],
            f"{i:05d}",
            None if votes is None else votes[i],
            None if clean is None else bool(clean[i]),
        )
        for i in kept.tolist()
    ]
    left_out = len(y) - len(kept)
    notes = [f"{left_out} training rows whose pixels are only approximately known are left out."] if left_out else []
    return Dataset("fer2013", faces, gray=True, notes=notes)


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name not in ("ref", "classes", "usages")}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise DataError(f"{path} is not a readable npz: {error}.", "write or copy it again.") from None
    for name in ("images", "y", "usage"):
        if name not in arrays:
            raise DataError(f"{path} has no array {name}.", "it must hold images, y and usage.")
    count = len(arrays["y"])
    if arrays["images"].dtype != np.uint8 or arrays["images"].shape != (count, SIDE, SIDE):
        raise DataError(
            f"{path}: images are {arrays['images'].dtype} {arrays['images'].shape}.", "need uint8 [N,48,48]."
        )
    for name in ("usage", "source", "train_ncc", "ferplus"):
        if name in arrays and len(arrays[name]) != count:
            raise DataError(f"{path}: {name} has {len(arrays[name])} rows for {count} labels.", "write it again.")
    if count and (arrays["y"].max() > 6 or arrays["usage"].max() > 2):
        raise DataError(f"{path}: a label above 6 or a usage above 2.", "write it again.")
    return arrays
