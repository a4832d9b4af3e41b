"""ExpW (Zhang et al., 2015): faces in the wild, several in an image, in FER2013's label order.

`label.lst` has a line a face: image name, face id, top, left, right, bottom, confidence, label; the images lie under
`origin` (as the archive unpacks), `image/origin` or `images`.

ExpW has no official split. The paper's counts are, for each class of n faces, floor(0.7 n) for training and ceil(0.33
of the rest) for testing, the remainder for validation (one more in the training faces of surprise). Here those counts
are met as nearly as possible *without* putting two faces of one image into different splits, which would leak the
photograph, its light and its people.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from edgefer.data.dataset import SPLITS, Dataset, Face, ImageFile
from edgefer.data.reading import Problems, find, integer, require, text_lines
from edgefer.emotions import EMOTIONS, EXPW

_LABELS = [EMOTIONS.index(name) for name in EXPW]
_LISTS = ("label.lst", "label/label.lst", "data/label/label.lst")
_IMAGES = ("origin", "image/origin", "data/image/origin", "images", "image")
_FIELDS = "name face_id top left right bottom confidence label"


def read(path: Path, problems: Problems, seed: int = 0) -> Dataset:
    """Read ExpW from the folder with `label.lst` and the images. `seed` chooses the split, the same everywhere.

    Raises:
        DataError: names file and line.
    """
    require(path, "a folder with label.lst and the images")
    root = path.parent if path.is_file() else path
    listing = path if path.is_file() else find(root, _LISTS, "label.lst")
    images = find(root, _IMAGES, "folder of images")
    rows: list[tuple[str, str, ImageFile, int]] = []  # image name, face id, source, label
    for line, text in text_lines(listing):
        row = _parse(listing, line, text, images, problems)
        if row is not None:
            rows.append(row)
    splits = split_by_image([row[0] for row in rows], [row[3] for row in rows], seed)
    faces = [
        Face(source, label, splits[i], f"{name}#{face_id}") for i, (name, face_id, source, label) in enumerate(rows)
    ]
    note = f"ExpW has no official split: split by image in the paper's proportions (70 / 20 / 10 %), seed {seed}."
    return Dataset("expw", faces, notes=[note])


def _parse(
    listing: Path, line: int, text: str, images: Path, problems: Problems
) -> tuple[str, str, ImageFile, int] | None:
    where = f"{listing}:{line}"
    values = text.rsplit(maxsplit=7)  # from the right: an image name may hold blanks
    if len(values) != 8:
        problems.bad(where, f"{len(values)} values instead of 8 ({_FIELDS}).", "correct the line")
        return None
    name, face_id, *box_text, _, label_text = values
    top, left, right, bottom = (integer(value) for value in box_text)
    label = integer(label_text)
    if top is None or left is None or right is None or bottom is None:
        problems.bad(where, f"the box {' '.join(box_text)} is not four numbers.", "correct the line")
    elif label is None or not 0 <= label < len(_LABELS):
        problems.bad(where, f"label is {label_text!r}, not 0 to 6.", "correct the line")
    elif not (images / name).is_file():
        problems.bad(where, f"{images / name} does not exist.", "unpack the archive again")
    else:
        box = (left, top, right, bottom)
        return name, face_id, ImageFile(str(images / name), box, (str(listing), line)), _LABELS[label]
    return None


def quotas(n: int) -> tuple[int, int, int]:
    """Return how many of a class's `n` faces the paper puts into train, val and test (counts of its table I)."""
    train = n * 7 // 10
    test = -(-(n - train) * 33 // 100)
    return train, n - train - test, test


def split_by_image(names: list[str], labels: list[int], seed: int) -> list[str]:
    """Return the split of each face such that faces of one image share it and each class comes nearest to `quotas`.

    Images with most faces choose first, in an order drawn from `seed`; each goes where its faces fit best into what is
    still open; images with one face fill the gaps, so that the quotas are met exactly unless most images are crowded.
    Depends on the names, the labels and the seed only.
    """
    faces: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        faces[name].append(row)
    open_ = np.array([quotas(n) for n in np.bincount(labels, minlength=len(EMOTIONS))], np.int64).T  # [split, class]
    rng = np.random.Generator(np.random.PCG64(seed))
    images = sorted(faces)
    order = [images[i] for i in rng.permutation(len(images))]
    draws = dict(zip(order, rng.random(len(order)).tolist(), strict=True))
    order.sort(key=lambda name: -len(faces[name]))  # stable: the drawn order stays among equals
    result = [""] * len(names)
    for name in order:
        need = np.bincount([labels[row] for row in faces[name]], minlength=len(EMOTIONS))
        split = _choose(open_, need, draws[name])
        open_[split] -= need
        for row in faces[name]:
            result[row] = SPLITS[split]
    return result


def _choose(open_: np.ndarray, need: np.ndarray, draw: float) -> int:
    """Draw a split, weighted by the places open for the image's classes, among those where it overflows least."""
    overflow = np.maximum(need - np.maximum(open_, 0), 0).sum(axis=1)
    places = np.maximum(open_[:, need > 0], 0).sum(axis=1) * (overflow == overflow.min())
    if places.sum() == 0:
        return int(overflow.argmin())
    return int(np.searchsorted(np.cumsum(places), draw * places.sum(), side="right"))
