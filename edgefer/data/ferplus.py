"""FER+ (Barsoum et al., 2016): ten crowd votes for each row of FER2013, from `fer2013new.csv`.

The file is joined to FER2013 by row: its image names are empty where FER+ dropped the picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgefer.data.reading import Problems, csv_rows, integer
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError

COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
_CANONICAL = [COLUMNS.index(emotion) for emotion in EMOTIONS]


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read `fer2013new.csv`: votes float32 [rows, 7] as of `shares`, and the Usage of each row.

    Raises:
        DataError: missing, no header, or a vote is not a number. There is no skipping: a row left out would shift all
            that follow.
    """
    votes, usages = [], []
    for line, row in csv_rows(path, ("Usage", *COLUMNS), Problems()):
        values = [integer(row[name]) for name in COLUMNS]
        for name, value in zip(COLUMNS, values, strict=True):
            if value is None or value < 0:
                raise DataError(f"{path}:{line}: {name} is {row[name]!r}, not a number of votes.", "correct the line.")
        votes.append(values)
        usages.append(row["Usage"])
    return shares(np.asarray(votes, np.float32).reshape(-1, len(COLUMNS))), usages


def shares(votes: np.ndarray) -> np.ndarray:
    """Turn votes [N, 10] in the order of `COLUMNS` into float32 [N, 7]: the share of all taggers for each of EMOTIONS.

    What is missing to 1 went to contempt, unknown or "not a face"; a row without votes is all zeros.
    """
    total = votes.sum(axis=1, keepdims=True, dtype=np.float32)
    return (votes[:, _CANONICAL] / np.maximum(total, 1)).astype(np.float32)


def majority(votes: np.ndarray) -> np.ndarray:
    """Return int64 [N]: the class more than half of all taggers chose, -1 where there is none. `votes` as of `shares`.

    On FER2013's private test this leaves 2,720 of 3,589 images, the set that FER+ accuracies are given on here.
    """
    return np.where(votes.max(axis=1) > 0.5, votes.argmax(axis=1), -1).astype(np.int64)


def soft_labels(votes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return float32 [N, 7] rows that sum to 1: the votes for the seven classes, rescaled.

    Rows that nobody gave one of the seven (all zeros, as of `shares`) fall back to the one-hot `labels` [N].
    """
    total = votes.sum(axis=1, keepdims=True)
    one_hot = np.eye(len(EMOTIONS), dtype=np.float32)[labels]
    return np.where(total > 0, votes / np.where(total > 0, total, 1), one_hot).astype(np.float32)
