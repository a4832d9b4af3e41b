"""The data sets we read, by name. A new one is one file and one row here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from edgefer.data import affectnet, authors, expw, fer2013, folder, rafdb
from edgefer.data.dataset import Dataset
from edgefer.data.reading import Problems
from edgefer.errors import UsageError

DATASETS: dict[str, Callable[[Path, Problems], Dataset]] = {
    "fer2013": fer2013.read,
    "rafdb": rafdb.read,
    "affectnet": affectnet.read,
    "expw": expw.read,
    "authors": authors.read,
    "folder": folder.read,
}


def load(
    path: str | os.PathLike[str], name: str, skip_bad: bool = False, ferplus: str | os.PathLike[str] | None = None
) -> Dataset:
    """Read the data set `name` (a key of `DATASETS`) at `path`, without decoding its images.

    Args:
        skip_bad: leave out what is broken, and list it in `Dataset.skipped`.
        ferplus: FER+'s `fer2013new.csv`, for fer2013.

    Raises:
        DataError: whatever is wrong with it, naming file and line.
        UsageError: an unknown name, or FER+ with another data set than fer2013.
    """
    if name not in DATASETS:
        raise UsageError(f"{name!r} is not a data set we read.", f"use one of {', '.join(DATASETS)}.")
    if ferplus is not None and name != "fer2013":
        raise UsageError("FER+ labels FER2013 only.", f"leave the FER+ file out for {name}.")
    problems = Problems(skip_bad)
    if ferplus is not None:
        data = fer2013.read(Path(path), problems, Path(ferplus))
    else:
        data = DATASETS[name](Path(path), problems)
    data.skip_bad, data.skipped = skip_bad, problems.skipped
    return data
