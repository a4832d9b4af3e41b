"""Audit a data set: exact and near duplicates within and across splits, conflicting labels, constant images, counts.

Two images are near copies when their 16x16 thumbnails correlate at 0.94 or more: area means of the gray image, zero
mean, unit norm, so brightness and contrast do not count. The small size forgives what a new crop and JPEG change:
FER2013 has 564 private-test images that also stand in training by this measure, and by eye nearly all of them are the
same photographs; at 48x48 a shift of one pixel hides a quarter of them. Audit the images as they came: enlarged and
packed ones are smoother and correlate a little more (582 at 64x64).

All pairs are compared, in blocks: time grows with the square of the number of images (about 10 s for FER2013's 35,887,
10 minutes for AffectNet's 287,401, on one core), memory only with their number (1 kB an image).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from edgefer.data.audit_report import AuditReport, Pairs
from edgefer.data.dataset import SPLITS, Dataset
from edgefer.data.packed import Packed
from edgefer.errors import DataError

THRESHOLD = 0.94
SIDE = 16
_BLOCK = 2048  # rows and columns of a block of correlations: 16 MB
_MAX_PAIRS = 1_000_000  # kept for the report; counts and flags are complete beyond it

Progress = Callable[[int, int], None]
Check = Callable[[np.ndarray, np.ndarray], np.ndarray]  # two arrays of rows [P] -> bool [P]


class _Scanned(NamedTuple):
    sha256: bytes
    thumbnail: np.ndarray  # float32 [16 * 16], zero mean, unit norm; zeros for a constant image
    constant: bool


def audit(
    source: Dataset | Packed,
    threshold: float = THRESHOLD,
    verify: float | None = None,
    progress: Progress | None = None,
    threads: int = 2,
) -> AuditReport:
    """Audit a data set, packed or as read.

    Args:
        threshold: correlation of the 16x16 thumbnails from which two images are near copies.
        verify: also require this correlation at 48x48; for aligned faces before a plain background, where many
            thumbnails look alike. None asks for nothing more.
        progress: called with (done, total) steps: images read, then blocks compared.
        threads: decoders.

    Raises:
        DataError: an image cannot be read (unless the data set was loaded with `skip_bad`), or there is none.
    """
    unreadable: list[tuple[str, str]] = []
    n = len(source)
    blocks = -(-n // _BLOCK)
    total = n + blocks * (blocks + 1) // 2
    tick = _ticker(progress, total)
    thumbnails = np.zeros((n, SIDE * SIDE), np.float32)
    groups: dict[bytes, list[int]] = defaultdict(list)
    constant: list[int] = []
    for row, scanned in enumerate(_scan(source, threads, unreadable)):
        tick()
        if scanned is None:
            continue
        thumbnails[row] = scanned.thumbnail
        groups[scanned.sha256].append(row)
        if scanned.constant:
            constant.append(row)
    if not groups:
        raise DataError(f"{source.name} has no images to audit.", "check the path.")
    labels, splits = _labels_and_splits(source)
    members = list(groups.values())
    search = _Search(splits, members, n)
    first = np.array([group[0] for group in members])
    check: Check | None = None
    if verify is not None:
        check = partial(_alike, source, verify)
    search.run(thumbnails, first, threshold, tick, check)
    return AuditReport(
        source=source,
        threshold=threshold,
        labels=labels,
        splits=splits,
        exact=[group for group in members if len(group) > 1],
        pairs=search.pairs(),
        pairs_dropped=search.dropped,
        constant=constant,
        unreadable=unreadable,
        in_train=search.in_train(),
        differences=source.report_differences(),
    )


def _ticker(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None and (done % 256 == 0 or done > total - 256):
            progress(min(done, total), total)

    return tick


def _labels_and_splits(source: Dataset | Packed) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(source, Packed):
        return source.labels, source.splits.astype(np.int64)
    labels = np.array([face.label for face in source.faces], np.int64)
    return labels, np.array([SPLITS.index(face.split) for face in source.faces], np.int64)


def _scan(source: Dataset | Packed, threads: int, unreadable: list[tuple[str, str]]) -> Iterator[_Scanned | None]:
    """Yield a summary of each image in order, None for an unreadable one; few are in memory at a time."""

    def read(row: int) -> _Scanned | DataError:
        try:
            return _summary(source.image(row))
        except DataError as error:
            return error

    with ThreadPoolExecutor(threads, "edgefer-audit") as pool:
        for start in range(0, len(source), 512):
            for row, found in enumerate(pool.map(read, range(start, min(start + 512, len(source)))), start):
                if isinstance(found, _Scanned):
                    yield found
                elif isinstance(source, Dataset) and source.skip_bad:
                    unreadable.append((source.faces[row].source.where, str(found)))
                    yield None
                else:
                    raise found


def _summary(pixels: np.ndarray) -> _Scanned:
    pixels = np.ascontiguousarray(pixels)
    sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
    return _Scanned(sha256, thumbnail(pixels, SIDE), bool((pixels == pixels[0, 0]).all()))


def thumbnail(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return float32 [side * side]: area means of uint8 [H, W, 1 or 3] as gray, zero mean, unit norm (or all 0)."""
    gray = pixels[:, :, 0] if pixels.shape[2] == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA).ravel()
    small -= small.mean()
    norm = float(np.linalg.norm(small))
    return np.asarray(small / norm if norm > 1e-3 else np.zeros_like(small))


def _alike(source: Dataset | Packed, verify: float, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return bool [P]: the pairs of rows that correlate at `verify` or more at 48x48."""
    rows = {row: thumbnail(source.image(row), 48) for row in {*first.tolist(), *second.tolist()}}
    return np.array([rows[a] @ rows[b] >= verify for a, b in zip(first.tolist(), second.tolist(), strict=True)], bool)


class _Search:
    """The pairs of near copies, and which rows have a copy in training."""

    def __init__(self, splits: np.ndarray, members: list[list[int]], n: int) -> None:
        self.members = members
        self.n = n
        self.splits = splits
        self.in_training = np.array([bool((splits[group] == 0).any()) for group in members])
        self.near = self.in_training.copy()
        self.found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.kept = self.dropped = 0

    def run(
        self,
        thumbnails: np.ndarray,
        first: np.ndarray,
        threshold: float,
        tick: Callable[[], None],
        check: Check | None = None,
    ) -> None:
        """Compare the groups' first rows, block by block."""
        for i in range(0, len(first), _BLOCK):
            left = thumbnails[first[i : i + _BLOCK]]
            for j in range(i, len(first), _BLOCK):
                tick()
                correlation = left @ thumbnails[first[j : j + _BLOCK]].T
                a, b = np.nonzero(correlation >= threshold)
                a, b, values = a + i, b + j, correlation[a, b]
                upper = a < b  # on the diagonal every pair comes twice
                a, b, values = a[upper], b[upper], values[upper]
                if check is not None and len(a):
                    same = check(first[a], first[b])
                    a, b, values = a[same], b[same], values[same]
                self._add(a, b, values, first)

    def _add(self, a: np.ndarray, b: np.ndarray, values: np.ndarray, first: np.ndarray) -> None:
        self.near[a[self.in_training[b]]] = True
        self.near[b[self.in_training[a]]] = True
        room = max(_MAX_PAIRS - self.kept, 0)
        self.dropped += max(len(a) - room, 0)
        self.kept += min(len(a), room)
        self.found.append((first[a[:room]], first[b[:room]], values[:room]))

    def pairs(self) -> Pairs:
        if not self.found:
            return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        first, second, values = (np.concatenate(arrays) for arrays in zip(*self.found, strict=True))
        swap = first > second
        return Pairs(np.where(swap, second, first), np.where(swap, first, second), np.minimum(values, np.float32(1)))

    def in_train(self) -> dict[str, np.ndarray]:
        """Spread the groups' flags over their rows, outside of train."""
        flags = {"exact": np.zeros(self.n, bool), "near": np.zeros(self.n, bool)}
        for group, exact, near in zip(self.members, self.in_training, self.near, strict=True):
            flags["exact"][group] = exact
            flags["near"][group] = near
        return {kind: flag & (self.splits != 0) for kind, flag in flags.items()}
