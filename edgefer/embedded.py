"""The manifest inside a model file: found and taken out again, with the few protobuf fields that takes.

A hash cannot contain itself, so what is hashed is the file without the entry that holds the manifest. Neither onnx nor
coremltools is needed: an app that only runs models has neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from edgefer.files import package_files, sha256_file

METADATA_KEY = "edgefer.manifest"
ONNX_METADATA = 14  # ModelProto.metadata_props in onnx.proto
MLMODEL = Path("Data", "com.apple.CoreML", "model.mlmodel")  # where coremltools and Xcode put it in an .mlpackage
_MLMODEL_METADATA = (2, 100, 100)  # Model.description, ModelDescription.metadata, Metadata.userDefined in Model.proto


def append_onnx(payload: bytes, manifest: bytes) -> bytes:
    """Return an ONNX file's bytes with `manifest` in its metadata. `payload` must have no metadata yet.

    Protobuf messages concatenate: a field appended to a serialised ModelProto belongs to it.
    """
    return payload + _field(ONNX_METADATA, _field(1, METADATA_KEY.encode()) + _field(2, manifest))


def split_onnx(data: bytes) -> tuple[str, bytes | None]:
    """Return the SHA-256 of an ONNX file without its metadata, and the manifest found in there, or None.

    Raises:
        ValueError, IndexError: `data` is not a whole protobuf message.
    """
    digest, found = hashlib.sha256(), None
    view = memoryview(data)
    for number, start, value, end in _fields(view):
        if number != ONNX_METADATA:
            digest.update(view[start:end])
            continue
        entry = _entry(view[value:end])
        if entry.get(1) == METADATA_KEY.encode():
            found = entry.get(2)
    return digest.hexdigest(), found


def is_mlpackage(path: Path) -> bool:
    """Whether a folder is a Core ML package, rather than an artifact directory that holds one."""
    return (path / MLMODEL).is_file()


def split_mlpackage(package: Path) -> tuple[str, bytes | None]:
    """Return the SHA-256 of a Core ML package without the manifest in its metadata, and that manifest, or None.

    The hash is that of `sha256_path`, with model.mlmodel taken without that one entry.

    Raises:
        ValueError, IndexError: model.mlmodel is not a whole protobuf message.
    """
    digest, found = hashlib.sha256(), None
    for file in package_files(package):
        name = file.relative_to(package)
        if name == MLMODEL:
            rest, found = _without(memoryview(file.read_bytes()), _MLMODEL_METADATA)
            content = hashlib.sha256(rest).hexdigest()
        else:
            content = sha256_file(file)
        digest.update(f"{name.as_posix()} {content}\n".encode())
    return digest.hexdigest(), found


def _without(data: memoryview, path: tuple[int, ...]) -> tuple[bytes, bytes | None]:
    """A message without our entry in the map that lies at `path` (field numbers), and the entry's value."""
    out, found = bytearray(), None
    for number, start, value, end in _fields(data):
        if number != path[0]:
            out += data[start:end]
        elif len(path) > 1:
            inner, below = _without(data[value:end], path[1:])
            out += _field(number, inner)
            found = found if below is None else below
        else:
            entry = _entry(data[value:end])
            if entry.get(1) == METADATA_KEY.encode():
                found = entry.get(2)
            else:
                out += data[start:end]
    return bytes(out), found


def _entry(data: memoryview) -> dict[int, bytes]:
    """Key (1) and value (2) of a map entry."""
    return {number: bytes(data[value:end]) for number, _, value, end in _fields(data)}


def _fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, start of the tag, start of the value, end) of a protobuf message's fields."""
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            _, end = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            end = at + length
        elif kind in (1, 5):
            end = at + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"protobuf wire type {kind}")
        if end > len(data):
            raise ValueError("a field ends beyond the message")
        yield tag >> 3, start, at, end
        at = end


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a varint of more than ten bytes")


def _field(number: int, value: bytes) -> bytes:
    return _encode_varint(number << 3 | 2) + _encode_varint(len(value)) + value


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
