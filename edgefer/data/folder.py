"""Class folders: `{train,val,test}/{class}/image`, with any usual spelling of the class (angry, anger, Happy, sadness).

The name decides the class, never the alphabetical position: FER2013's folders sort neutral before sad.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgefer.data.dataset import Dataset, Face, ImageFile
from edgefer.data.reading import Problems, entries, folder_images, require
from edgefer.emotions import EMOTIONS, canonical
from edgefer.errors import DataError

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read(root: Path, problems: Problems) -> Dataset:
    """Read class folders under `train`, `val` (or `valid`, `validation`) and `test`; at least one of them.

    Raises:
        DataError: no such folder, a class folder of unknown name, something that is not an image, or no images.
    """
    require(root, "a folder with train, val and test")
    faces = []
    for folder, split in split_folders(root):
        faces += read_classes(root, folder, split, by_name, problems)
    if not faces:
        raise DataError(f"{root} has no images.", "expected {train,val,test}/{class}/image; check the path.")
    return Dataset("folder", faces)


def split_folders(root: Path) -> list[tuple[Path, str]]:
    """Return (folder, split) for the split folders in `root`, sorted by name.

    Raises:
        DataError: there is none, or two for one split.
    """
    if not root.is_dir():
        raise DataError(f"{root} is a file.", "pass the folder that holds train, val and test.")
    found = [(item, SPLIT_FOLDERS[item.name.lower()]) for item in entries(root) if item.name.lower() in SPLIT_FOLDERS]
    found = [(item, split) for item, split in found if item.is_dir()]
    if not found:
        raise DataError(f"{root} has no train, val or test folder.", "expected {train,val,test}/{class}/image.")
    for split in dict(found).values():
        names = [item.name for item, same in found if same == split]
        if len(names) > 1:
            raise DataError(f"{root} has {len(names)} {split} folders: {', '.join(names)}.", "keep one of them.")
    return found


def by_name(name: str) -> int | None:
    """Return the class index for a folder name, None when it is none."""
    emotion = canonical(name)
    return None if emotion is None else EMOTIONS.index(emotion)


def read_classes(
    root: Path, folder: Path, split: str, classify: Callable[[str], int | None], problems: Problems
) -> list[Face]:
    """Read `folder`/{class}/image; ids are paths relative to `root`, with forward slashes.

    Raises:
        DataError: an unknown class folder, a loose file, something that is not an image (unless `skip_bad`).
    """
    faces = []
    for item in entries(folder):
        label = classify(item.name) if item.is_dir() else None
        if not item.is_dir():
            problems.bad(str(item), "a file beside the class folders.", "move it away")
        elif label is None:
            problems.bad(str(item), "not a class folder we know.", f"name it one of {', '.join(EMOTIONS)}")
        else:
            for image in folder_images(item, problems):
                faces.append(Face(ImageFile(str(image)), label, split, image.relative_to(root).as_posix()))
    return faces
