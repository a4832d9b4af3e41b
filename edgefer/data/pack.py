"""Pack a data set into one safetensors file of uint8 arrays at model size, and open it memory-mapped.

The file is written as a stream: room for the header, then the images as they are decoded, then the small arrays, and
the header last, when the number of images and the hash of the source are known. Memory does not grow with the data set.

Tensors: `images` uint8 [N, S, S, C] (C = 1 for gray sets, else 3, RGB), `labels` uint8 [N] (index into EMOTIONS),
`splits` uint8 [N] (0 train, 1 val, 2 test), `ids` uint8 (UTF-8, end to end) with `id_offsets` int64 [N + 1], and where
known `votes` float32 [N, 7] and `clean` uint8 [N].

`source_sha256` is the SHA-256 over, for each image in order: id, split, label, box, votes and clean as JSON, and the
SHA-256 of the encoded file (or of the raw pixels, where the source holds pixels). It does not depend on where the data
set lies, and changes with anything that training could see.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from edgefer.data.dataset import SPLITS, Dataset, Face, ImageFile
from edgefer.data.packed import HEADER_BYTES, SCHEMA, Packed
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError
from edgefer.preprocess import Preprocess

Progress = Callable[[int, int], None]

_CHUNK = 16  # faces a task: enough to hide the cost of a task, little enough to keep few images in memory
_LISTED = 50  # of what was skipped or noted, so many go into the header; Dataset.skipped has them all


class _Row(NamedTuple):
    face: Face
    pixels: np.ndarray | None  # uint8 [S, S, C]; None where it could not be read
    sha256: bytes
    error: DataError | None


def pack(
    dataset: Dataset,
    preprocess: Preprocess,
    out: str | os.PathLike[str],
    progress: Progress | None = None,
    threads: int | None = None,
) -> Packed:
    """Decode, resize and write every face of `dataset` to the file `out`, and open it.

    Args:
        preprocess: size and resize of the model input; all of it is recorded.
        out: the file to write; written beside and renamed into place, so what was there stays until the new one is
            complete.
        progress: called with (done, total) as images are written.
        threads: decoders; None is one for each processor.

    What cannot be decoded is an error, or with `dataset.skip_bad` is added to `dataset.skipped`.

    Raises:
        DataError: an image that cannot be used, no image at all, or a file that cannot be written.
    """
    target = Path(out)
    channels = 1 if dataset.gray else 3
    _require_room(target, len(dataset.faces) * preprocess.size**2 * channels)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as stream:
            _write(stream, dataset, preprocess, channels, progress, threads or os.cpu_count() or 1)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror}.", _space_hint(error)) from None
    finally:
        beside.unlink(missing_ok=True)
    return Packed.open(target)


def _write(
    stream: IO[bytes],
    dataset: Dataset,
    preprocess: Preprocess,
    channels: int,
    progress: Progress | None,
    threads: int,
) -> None:
    stream.seek(HEADER_BYTES)
    source, content = hashlib.sha256(), hashlib.sha256()
    kept: list[Face] = []
    already = set(dataset.skipped)  # packing a data set twice lists nothing twice
    total = len(dataset.faces)
    for done, row in enumerate(_decoded(dataset.faces, preprocess, channels, threads), 1):
        if row.error is None:
            assert row.pixels is not None
            stream.write(row.pixels.data)
            content.update(row.pixels.data)
            source.update(_identity(row.face) + row.sha256)
            kept.append(row.face)
        elif dataset.skip_bad:
            entry = (row.face.source.where, str(row.error))
            dataset.skipped += [] if entry in already else [entry]
        else:
            raise row.error
        if progress is not None and (done % 64 == 0 or done == total):
            progress(done, total)
    if not kept:
        raise DataError(f"{dataset.name} has no images to pack.", "check the path and what was skipped.")
    tensors = {"images": ("U8", (len(kept), preprocess.size, preprocess.size, channels), None), **_arrays(kept)}
    metadata = {
        "edgefer": SCHEMA,
        "dataset": dataset.name,
        "source_sha256": source.hexdigest(),
        "images_sha256": content.hexdigest(),
        "preprocess": json.dumps(preprocess.to_dict()),
        "classes": json.dumps(EMOTIONS),
        "skipped_count": str(len(dataset.skipped)),
        "skipped": json.dumps([f"{where}: {why}"[:300] for where, why in dataset.skipped[:_LISTED]]),
        "notes": json.dumps([note[:500] for note in dataset.notes[:_LISTED]]),
    }
    _finish(stream, tensors, metadata)


def _decoded(faces: list[Face], preprocess: Preprocess, channels: int, threads: int) -> Iterator[_Row]:
    """Yield the faces in order, decoded ahead on `threads` threads (OpenCV and numpy release the interpreter lock)."""
    ahead: deque[Future[list[_Row]]] = deque()
    with ThreadPoolExecutor(threads, "edgefer-pack") as pool:
        try:
            for start in range(0, len(faces), _CHUNK):
                ahead.append(pool.submit(_rows, faces[start : start + _CHUNK], preprocess, channels))
                if len(ahead) > 2 * threads:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            for task in ahead:
                task.cancel()


def _rows(faces: list[Face], preprocess: Preprocess, channels: int) -> list[_Row]:
    return [_row(face, preprocess, channels) for face in faces]


def _row(face: Face, preprocess: Preprocess, channels: int) -> _Row:
    try:
        pixels, sha256 = face.source.read()
        if channels == 1:
            pixels = _gray(face, pixels)
        elif pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)
    except DataError as error:
        return _Row(face, None, b"", error)
    resized = preprocess(pixels)  # OpenCV drops the axis of a single channel
    return _Row(face, np.ascontiguousarray(resized.reshape(preprocess.size, preprocess.size, channels)), sha256, None)


def _gray(face: Face, pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[2] == 3 and not (np.ptp(pixels, axis=2) == 0).all():
        raise DataError(
            f"{face.source.where}: a colour image in a gray data set.",
            "read it as a folder of classes (--dataset folder), which keeps colour.",
        )
    return pixels[:, :, :1]


def _identity(face: Face) -> bytes:
    box = face.source.box if isinstance(face.source, ImageFile) else None
    votes = None if face.votes is None else face.votes.tolist()
    return json.dumps([face.id, face.split, face.label, box, votes, face.clean]).encode()


def _arrays(faces: list[Face]) -> dict[str, tuple[str, tuple[int, ...], bytes | None]]:
    """Return the small tensors: {name: (dtype, shape, bytes)}."""
    ids = [face.id.encode() for face in faces]
    offsets = np.zeros(len(ids) + 1, "<i8")
    offsets[1:] = np.cumsum([len(name) for name in ids])
    blob = b"".join(ids)
    n = len(faces)
    arrays: dict[str, tuple[str, tuple[int, ...], bytes | None]] = {
        "labels": ("U8", (n,), bytes(face.label for face in faces)),
        "splits": ("U8", (n,), bytes(SPLITS.index(face.split) for face in faces)),
        "id_offsets": ("I64", (n + 1,), offsets.tobytes()),
        "ids": ("U8", (len(blob),), blob),
    }
    if all(face.votes is not None for face in faces):
        votes = np.asarray([face.votes for face in faces], "<f4")
        arrays["votes"] = ("F32", (n, len(EMOTIONS)), votes.tobytes())
    if all(face.clean is not None for face in faces):
        arrays["clean"] = ("U8", (n,), bytes(bool(face.clean) for face in faces))
    return arrays


def _finish(
    stream: IO[bytes], tensors: dict[str, tuple[str, tuple[int, ...], bytes | None]], metadata: dict[str, str]
) -> None:
    """Write the small tensors after the images, then the header into the room left for it."""
    header: dict[str, object] = {"__metadata__": metadata}
    at = 0
    for name, (dtype, shape, data) in tensors.items():
        size = stream.tell() - HEADER_BYTES if data is None else len(data)
        if data is not None:
            stream.write(data)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    if len(text) > HEADER_BYTES - 8:
        raise DataError(f"the header of the packed file has {len(text)} bytes.", "shorten the data set's notes.")
    stream.seek(0)
    # The format allows blanks after the JSON: the header fills its room, and the images start on a page.
    stream.write((HEADER_BYTES - 8).to_bytes(8, "little") + text.ljust(HEADER_BYTES - 8))


def _require_room(target: Path, size: int) -> None:
    if target.is_dir():
        raise DataError(f"{target} is a folder.", "name the file to write, such as fer2013.safetensors.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise DataError(f"{target.parent} cannot be written: {error.strerror}.", "choose another folder.") from None
    if free < size + HEADER_BYTES:
        raise DataError(f"{target} needs {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free.", "choose another disk.")


def _space_hint(error: OSError) -> str:
    return "free some space." if error.errno == errno.ENOSPC else "check the path and its permissions."


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system lets folders be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
