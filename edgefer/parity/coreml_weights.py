"""Values of a saved Core ML program: what is written in the spec, and what lies in its weight file.

Apple's MIL blob format, version 2 (coremltools, mlmodel/src/MILBlob/Blob/StorageFormat.hpp): a 64-byte header (uint32
count, uint32 version), then for each blob 64 bytes of metadata (uint32 sentinel 0xDEADBEEF, uint32 type, uint64 size in
bytes, uint64 offset of the data, uint64 padding in bits), all little-endian. The program names the offset of the
metadata. This is our own reading of it: nothing here calls the code that wrote the file.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from edgefer.errors import ArtifactError

_HINT = "export it again with `edgefer export`."
FILE_NAME = "@model_path/weights/weight.bin"  # how the program names it
_SENTINEL = 0xDEADBEEF
# Types of the program (coremltools, MIL.proto, DataType) -> what numpy calls them, and the file's own number
# (BlobDataType.hpp). int4 has no numpy type: two to a byte, the first in the low half.
_TYPES: dict[str, tuple[str, int]] = {
    "FLOAT16": ("<f2", 1),
    "FLOAT32": ("<f4", 2),
    "UINT8": ("u1", 3),
    "INT8": ("i1", 4),
    "INT4": ("int4", 8),
    "INT32": ("<i4", 14),
}


class WeightFile:
    """weight.bin, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._bytes = np.memmap(path, np.uint8, mode="r")
        except (OSError, ValueError):
            raise ArtifactError(f"{path} is missing or empty.", _HINT) from None
        version = struct.unpack_from("<II", self._read(0, 64, "its header").tobytes())[1]
        if version != 2:
            raise ArtifactError(f"{path} has format version {version}; this version reads 2.", _HINT)

    def read(self, offset: int, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        """The blob whose metadata lies at `offset`, which the program says is `kind` of `shape`.

        Raises:
            ArtifactError: the file ends before it, or holds something else there.
        """
        head = self._read(offset, 64, f"a blob at {offset}")
        sentinel, number, size, start, padding = struct.unpack_from("<IIQQQ", head.tobytes())
        count = int(np.prod(shape, dtype=np.int64))
        expected = _size(kind, count)
        if sentinel != _SENTINEL or kind not in _TYPES or number != _TYPES[kind][1] or size != expected:
            raise ArtifactError(
                f"{self.path} does not hold {count} values of type {kind} at {offset}, as the program says.", _HINT
            )
        if kind == "INT4" and padding != 8 * expected - 4 * count:
            raise ArtifactError(f"{self.path} pads the blob at {offset} by {padding} bits.", _HINT)
        data = self._read(start, size, f"the blob at {offset}")
        return (_unpack_int4(data, count) if kind == "INT4" else data.view(_TYPES[kind][0])).reshape(shape)

    def _read(self, start: int, size: int, what: str) -> np.ndarray:
        if start + size > len(self._bytes):
            raise ArtifactError(f"{self.path} ends after {len(self._bytes)} bytes, within {what}.", _HINT)
        return np.array(self._bytes[start : start + size])


def _size(kind: str, count: int) -> int:
    if kind not in _TYPES:
        return -1
    return (count + 1) // 2 if kind == "INT4" else count * np.dtype(_TYPES[kind][0]).itemsize


def _unpack_int4(data: np.ndarray, count: int) -> np.ndarray:
    """Two values a byte, the first in the low half, in two's complement -> int8 [count]."""
    halves = np.stack([data & 0x0F, data >> 4], axis=1).reshape(-1)[:count].astype(np.int8)
    return np.where(halves > 7, halves - 16, halves).astype(np.int8)


def read_value(value: Any, weights: WeightFile) -> Any:
    """A `Value` of the program: an array in its stored type, a text, or a list of texts.

    Raises:
        ArtifactError: a type that we do not know, or a weight file that does not hold it.
    """
    if value.type.WhichOneof("type") == "listType":
        return [read_value(item, weights) for item in value.immediateValue.list.values]
    kind = data_type(value.type)
    if value.WhichOneof("value") == "blobFileValue":
        if value.blobFileValue.fileName != FILE_NAME:
            raise ArtifactError(f"the program keeps values in {value.blobFileValue.fileName}.", _HINT)
        return weights.read(value.blobFileValue.offset, kind, shape_of(value.type))
    tensor = value.immediateValue.tensor
    form = tensor.WhichOneof("value")
    if form == "strings":
        return tensor.strings.values[0]
    if form == "bytes":
        if kind not in _TYPES or kind == "INT4":
            raise ArtifactError(f"the program holds immediate values of type {kind}.", _HINT)
        array = np.frombuffer(tensor.bytes.values, _TYPES[kind][0]).copy()
    elif form in ("ints", "longInts", "floats", "doubles", "bools"):
        array = np.array(getattr(tensor, form).values, _NUMPY.get(kind))
    else:
        raise ArtifactError(f"the program holds immediate values of the form {form}.", _HINT)
    shape = shape_of(value.type)
    if array.size != int(np.prod(shape, dtype=np.int64)):
        raise ArtifactError(f"the program gives {array.size} values for the shape {list(shape)}.", _HINT)
    return array.reshape(shape)


_NUMPY = {"FLOAT16": "f2", "FLOAT32": "f4", "INT32": "i4", "INT64": "i8", "INT8": "i1", "UINT8": "u1", "BOOL": "?"}


def data_type(value_type: Any) -> str:
    """Name of a tensor's element type in MIL.proto: "FLOAT16"; of other types their kind: "dictionaryType"."""
    form = value_type.WhichOneof("type")
    if form != "tensorType":
        return str(form)
    kind = value_type.tensorType.DESCRIPTOR.fields_by_name["dataType"].enum_type
    return str(kind.values_by_number[value_type.tensorType.dataType].name)


def shape_of(value_type: Any) -> tuple[int, ...]:
    """A tensor's shape; -1 for a dimension that is only known when the program runs."""
    dimensions = value_type.tensorType.dimensions
    return tuple(int(d.constant.size) if d.WhichOneof("dimension") == "constant" else -1 for d in dimensions)


def dequantize_affine(inputs: dict[str, Any]) -> np.ndarray:
    """constexpr_affine_dequantize (iOS 16): scale * (quantized_data - zero_point); vectors go along `axis`."""
    data = inputs["quantized_data"]
    axis = int(inputs["axis"])

    def along(name: str) -> np.ndarray:
        vector = np.asarray(inputs[name], np.float32)
        return vector if vector.ndim == 0 else vector.reshape([-1 if i == axis else 1 for i in range(data.ndim)])

    return np.asarray(along("scale") * (data.astype(np.float32) - along("zero_point")))


def dequantize_blocks(inputs: dict[str, Any]) -> np.ndarray:
    """constexpr_blockwise_shift_scale (iOS 18): scale * (data - offset), each scale repeated over its block."""
    data, scale = inputs["data"], inputs["scale"]
    if any(n % blocks for n, blocks in zip(data.shape, scale.shape, strict=True)):
        raise ArtifactError(f"blocks of {list(scale.shape)} do not divide weights of {list(data.shape)}.", _HINT)

    def spread(values: np.ndarray) -> np.ndarray:
        out = values.astype(np.float32)
        for axis, (n, blocks) in enumerate(zip(data.shape, scale.shape, strict=True)):
            out = np.repeat(out, n // blocks, axis=axis)
        return out

    offset = inputs.get("offset")
    shifted = data.astype(np.float32) - (0 if offset is None else spread(offset))
    return np.asarray(spread(scale) * shifted)
