"""A run's folder: what worker processes, which share nothing with this one but the disk, read and leave there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgefer.bench.candidates import Candidate
from edgefer.imageset import ImageSet
from edgefer.preprocess import Preprocess


class Staged:
    """Pools written out once, and a scratch folder for each candidate."""

    def __init__(self, pool: ImageSet, folder: Path) -> None:
        self._pool, self._folder = pool, folder
        self._images: dict[int, list[str]] = {}
        self._scratch: dict[str, str] = {}
        self._faces: dict[tuple[int, Preprocess], str] = {}

    def scratch(self, candidate: Candidate) -> str:
        """A folder for what the candidate's processes leave for one another, empty when the first begins."""
        if candidate.name not in self._scratch:
            path = self._folder / f"scratch-{len(self._scratch)}"
            path.mkdir()
            self._scratch[candidate.name] = str(path)
        return self._scratch[candidate.name]

    def images(self, candidate: Candidate) -> list[str]:
        """Paths of the encoded images."""
        pool = candidate.pool or self._pool
        if id(pool) not in self._images:
            paths = [
                self._folder / f"{len(self._images)}-{number:05d}{Path(name).suffix}"
                for number, (name, _) in enumerate(pool.images)
            ]
            for path, (_, data) in zip(paths, pool.images, strict=True):
                path.write_bytes(data)
            self._images[id(pool)] = [str(path) for path in paths]
        return self._images[id(pool)]

    def faces(self, candidate: Candidate) -> str:
        """Path of the .npy file with the images as the candidate's preprocessing makes them."""
        pool = candidate.pool or self._pool
        key = id(pool), candidate.preprocess
        if key not in self._faces:
            path = self._folder / f"faces-{len(self._faces)}.npy"
            np.save(path, pool.faces(candidate.preprocess))
            self._faces[key] = str(path)
        return self._faces[key]
