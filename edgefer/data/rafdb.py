"""RAF-DB basic (Li et al., 2017): seven classes, counted from 1, 12,271 training and 3,068 test images.

The authors' form: `EmoLabel/list_patition_label.txt` (lines `train_00001.jpg 5`; the spelling is theirs) and
`Image/aligned/train_00001_aligned.jpg`. Kaggle's form: `DATASET/{train,test}/{1..7}/` and beside DATASET, usually,
`train_labels.csv` and `test_labels.csv` (image,label), which then must agree with the folders.
"""

from __future__ import annotations

from pathlib import Path

from edgefer.data import folder
from edgefer.data.dataset import Dataset, Face, ImageFile
from edgefer.data.reading import Problems, csv_rows, integer, require, text_lines
from edgefer.emotions import EMOTIONS, RAFDB
from edgefer.errors import DataError

LIST = "EmoLabel/list_patition_label.txt"
_HINT = f"it must hold {LIST} and Image/aligned, or Kaggle's DATASET; check the path."


def read(path: Path, problems: Problems) -> Dataset:
    """Read RAF-DB basic from the folder that holds `EmoLabel` and `Image` (or is called `basic`), or `DATASET`.

    Raises:
        DataError: names file and line.
    """
    require(path, f"a folder with {LIST}, or Kaggle's DATASET")
    for root in (path, path / "basic"):
        if (root / LIST).is_file():
            return _read_list(root, problems)
    for root in (path / "DATASET", path):
        if (root / "train" / "1").is_dir() or (root / "test" / "1").is_dir():
            return _read_kaggle(root, problems)
    raise DataError(f"{path} is not RAF-DB basic.", _HINT)


def _class(text: str) -> int | None:
    number = integer(text)
    return EMOTIONS.index(RAFDB[number - 1]) if number is not None and 1 <= number <= len(RAFDB) else None


def _read_list(root: Path, problems: Problems) -> Dataset:
    aligned = require(root / "Image" / "aligned", "the aligned faces (unpack Image/aligned.zip)")
    faces = []
    for line, text in text_lines(root / LIST):
        where = f"{root / LIST}:{line}"
        name, _, number = text.partition(" ")
        label = _class(number)
        split = name.partition("_")[0]
        file = aligned / f"{Path(name).stem}_aligned.jpg"
        if label is None or split not in ("train", "test"):
            problems.bad(
                where, f"{text!r} is not like 'train_00001.jpg 5' with a class from 1 to 7.", "correct the line"
            )
        elif not file.is_file():
            problems.bad(where, f"{file} does not exist.", "unpack Image/aligned.zip again")
        else:
            source = ImageFile(str(file), None, (str(root / LIST), line))
            faces.append(Face(source, label, split, name))
    return Dataset("rafdb", faces)


def _read_kaggle(root: Path, problems: Problems) -> Dataset:
    faces = []
    for item, split in folder.split_folders(root):
        found = folder.read_classes(root, item, split, _class, problems)
        listing = next((r / f"{item.name}_labels.csv" for r in (root, root.parent) if _has_labels(r, item.name)), None)
        faces += _checked(found, listing, problems) if listing else found
    return Dataset("rafdb", faces)


def _has_labels(root: Path, split: str) -> bool:
    return (root / f"{split}_labels.csv").is_file()


def _checked(faces: list[Face], listing: Path, problems: Problems) -> list[Face]:
    """Return the faces that the csv lists with the same class; all else is a problem."""
    by_name = {face.id.rsplit("/", 1)[-1]: face for face in faces}
    kept = []
    for line, row in csv_rows(listing, ("image", "label"), problems):
        where = f"{listing}:{line}"
        face = by_name.pop(row["image"], None)
        label = _class(row["label"])
        if label is None:
            problems.bad(where, f"label is {row['label']!r}, not 1 to 7.", "correct the line")
        elif face is None:
            problems.bad(where, f"{row['image']} is in no class folder, or listed twice.", "unpack the archive again")
        elif face.label != label:
            problems.bad(
                where, f"label {row['label']} ({EMOTIONS[label]}), but it lies in {face.source.where}.", "fix one"
            )
        else:
            kept.append(face)
    for face in by_name.values():
        problems.bad(face.source.where, f"not listed in {listing}.", "unpack the archive again")
    return kept
