"""The csv form of the paper's authors: `train_labels.csv`, `valid_labels.csv`, `test_labels.csv` beside the folders
`train`, `valid`, `test`; two columns, image name and class in the authors' order.

Their script writes the csv without a header, and their loader reads it as if it had one, so that it loses the first
image of each split. Here a first line whose class is a number is an image; both forms are read completely.
"""

from __future__ import annotations

from pathlib import Path

from edgefer.data.dataset import Dataset, Face, ImageFile
from edgefer.data.folder import SPLIT_FOLDERS
from edgefer.data.reading import Problems, integer, raw_rows, require
from edgefer.emotions import AUTHORS, EMOTIONS
from edgefer.errors import DataError

_LABELS = [EMOTIONS.index(name) for name in AUTHORS]


def read(path: Path, problems: Problems) -> Dataset:
    """Read the folder that holds the csv files and image folders, or one `{split}_labels.csv`.

    Raises:
        DataError: names file and line.
    """
    require(path, "train_labels.csv, valid_labels.csv or test_labels.csv, or their folder")
    root = path.parent if path.is_file() else path
    listings: dict[str, str] = {}
    for name, split in SPLIT_FOLDERS.items():
        listing = root / f"{name}_labels.csv"
        if not listing.is_file() or (path.is_file() and path != listing):
            continue
        if split in listings:
            raise DataError(f"{root} has two csv files for {split}: for {listings[split]} and {name}.", "keep one.")
        listings[split] = name
    if not listings:
        raise DataError(
            f"{path} is not in the authors' csv form.", "expected train_labels.csv beside the folder train."
        )
    faces: list[Face] = []
    for split, name in listings.items():
        images = require(root / name, "the images of the csv")
        faces += _read_csv(root, root / f"{name}_labels.csv", images, split, problems)
    return Dataset("authors", faces)


def _read_csv(root: Path, listing: Path, images: Path, split: str, problems: Problems) -> list[Face]:
    faces = []
    for line, row in raw_rows(listing):
        where = f"{listing}:{line}"
        if len(row) != 2:
            problems.bad(where, f"{len(row)} values instead of 2 (image name, class).", "correct the line")
            continue
        name, number = row[0].strip(), integer(row[1])
        if number is None and line == 1 and not (images / name).exists():
            continue  # a header
        if number is None or not 0 <= number < len(_LABELS):
            problems.bad(where, f"class is {row[1]!r}, not 0 to 6.", "correct the line")
        elif not (images / name).is_file():
            problems.bad(where, f"{images / name} does not exist.", "copy the images again")
        else:
            source = ImageFile(str(images / name), None, (str(listing), line))
            faces.append(Face(source, _LABELS[number], split, f"{images.relative_to(root).as_posix()}/{name}"))
    return faces
