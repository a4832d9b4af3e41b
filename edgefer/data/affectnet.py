"""AffectNet with seven classes (Mollahosseini et al., 2017): 283,901 training and 3,500 validation images.

The full release: `training.csv` and `validation.csv` with a face box a row, images under `Manually_Annotated_Images`.
The npy pack: `{train,val}_set/images/ID.jpg` (already cropped) and `{train,val}_set/annotations/ID_exp.npy`.

Contempt (7) and the rows without an expression (none, uncertain, no face: 8 to 10) are no part of AffectNet-7 and are
dropped; their number is noted. There is no public test set: as in the paper, the validation set is the test split.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from edgefer.data.dataset import Dataset, Face, ImageFile
from edgefer.data.reading import Problems, csv_rows, folder_images, integer, require
from edgefer.emotions import AFFECTNET, EMOTIONS
from edgefer.errors import DataError

CSVS = {"training.csv": "train", "validation.csv": "test"}
SETS = {"train_set": "train", "val_set": "test"}
LAST = 10  # the highest number in `expression`
_COLUMNS = ("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "expression")
_IMAGES = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "images", ".")
_ANNOTATION = re.compile(r"(.+)_exp$")


def read(path: Path, problems: Problems) -> Dataset:
    """Read AffectNet-7 from the folder with the csv files, from one csv file, or from the npy pack.

    Raises:
        DataError: names file and line.
    """
    require(path, "training.csv and validation.csv, or train_set and val_set")
    dropped = [0]
    if path.is_file():
        split = CSVS.get(path.name.lower())
        if split is None:
            raise DataError(f"{path} is neither training.csv nor validation.csv.", "rename it, or pass their folder.")
        faces = _read_csv(path, split, problems, dropped)
    elif any((path / name).is_file() for name in CSVS):
        present = [(path / name, split) for name, split in CSVS.items() if (path / name).is_file()]
        faces = [face for file, split in present for face in _read_csv(file, split, problems, dropped)]
    elif any((path / name).is_dir() for name in SETS):
        folders = [(path / name, split) for name, split in SETS.items() if (path / name).is_dir()]
        faces = [face for root, split in folders for face in _read_set(path, root, split, problems, dropped)]
    else:
        raise DataError(
            f"{path} is not AffectNet.", "it must hold training.csv and validation.csv, or train_set and val_set."
        )
    notes = [f"{dropped[0]:,} images of contempt or without an expression are no part of AffectNet-7: left out."]
    return Dataset("affectnet", faces, notes=notes if dropped[0] else [])


def _class(number: int | None) -> int | None:
    return EMOTIONS.index(AFFECTNET[number]) if number is not None and 0 <= number < len(AFFECTNET) else None


def _read_csv(listing: Path, split: str, problems: Problems, dropped: list[int]) -> list[Face]:
    roots = [listing.parent / name for name in _IMAGES if (listing.parent / name).is_dir()]
    faces = []
    for line, row in csv_rows(listing, _COLUMNS, problems):
        where = f"{listing}:{line}"
        number = integer(row["expression"])
        if number is None or not 0 <= number <= LAST:
            problems.bad(where, f"expression is {row['expression']!r}, not 0 to {LAST}.", "correct the line")
            continue
        label = _class(number)
        if label is None:
            dropped[0] += 1
            continue
        name = row["subDirectory_filePath"]
        file = next((root / name for root in roots if (root / name).is_file()), None)
        box = _box(row)
        if box is None:
            problems.bad(where, "face_x, face_y, face_width and face_height are not all numbers.", "correct the line")
        elif file is None:
            problems.bad(where, f"{name} does not exist in {roots[0]}.", "unpack the archives again")
        else:
            faces.append(Face(ImageFile(str(file), box, (str(listing), line)), label, split, name))
    return faces


def _box(row: dict[str, str]) -> tuple[int, int, int, int] | None:
    values = [integer(row[name]) for name in ("face_x", "face_y", "face_width", "face_height")]
    x, y, width, height = values
    if x is None or y is None or width is None or height is None:
        return None
    return x, y, x + width, y + height


def _read_set(top: Path, root: Path, split: str, problems: Problems, dropped: list[int]) -> list[Face]:
    annotations = {
        match[1]: item
        for item in sorted(require(root / "annotations", "ID_exp.npy files").glob("*_exp.npy"))
        if (match := _ANNOTATION.fullmatch(item.stem))
    }
    faces = []
    for image in folder_images(require(root / "images", "ID.jpg files"), problems):
        annotation = annotations.pop(image.stem, None)
        if annotation is None:
            problems.bad(str(image), f"no annotation {image.stem}_exp.npy.", "unpack the archive again")
            continue
        number = _expression(annotation)
        if number is None or not 0 <= number <= LAST:
            problems.bad(str(annotation), f"does not hold one number from 0 to {LAST}.", "unpack the archive again")
            continue
        label = _class(number)
        if label is None:
            dropped[0] += 1
        else:
            faces.append(Face(ImageFile(str(image)), label, split, image.relative_to(top).as_posix()))
    for name, annotation in annotations.items():
        problems.bad(str(annotation), f"no image {name}.jpg for it.", "unpack the archive again")
    return faces


def _expression(path: Path) -> int | None:
    """Read an annotation: one number, which the pack stores as a string of length 1."""
    try:
        value = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return integer(str(value.item())) if value.size == 1 else None
