"""The weight file and compressed weights, on files written here byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from edgefer.errors import ArtifactError
from edgefer.parity.coreml_weights import WeightFile, dequantize_affine, dequantize_blocks


def blob(number: int, data: bytes, padding: int = 0, version: int = 2, sentinel: int = 0xDEADBEEF) -> bytes:
    """A weight file with one blob, whose metadata lies at 64."""
    header = struct.pack("<II", 1, version).ljust(64, b"\0")
    metadata = struct.pack("<IIQQQ", sentinel, number, len(data), 128, padding).ljust(64, b"\0")
    return header + metadata + data


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "weight.bin"


def test_floats(file: Path) -> None:
    values = np.array([[1.5, -2.0, 65504.0]], np.float16)
    file.write_bytes(blob(1, values.tobytes()))
    found = WeightFile(file).read(64, "FLOAT16", (1, 3))
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, values)


def test_int4_has_the_first_value_in_the_low_half(file: Path) -> None:
    file.write_bytes(blob(8, bytes([0xE1, 0x87, 0x03]), padding=4))  # 1, -2; 7, -8; 3 and half a byte of nothing
    assert WeightFile(file).read(64, "INT4", (5,)).tolist() == [1, -2, 7, -8, 3]


@pytest.mark.parametrize(
    ("content", "kind", "shape", "message"),
    [
        (b"", "FLOAT32", (1,), "missing or empty"),
        (b"\1\0\0\0\2\0\0\0", "FLOAT32", (1,), "ends after 8 bytes, within its header"),
        (blob(2, bytes(8), version=1), "FLOAT32", (2,), "format version 1"),
        (blob(2, bytes(8), sentinel=1), "FLOAT32", (2,), "does not hold 2 values of type FLOAT32"),
        (blob(1, bytes(8)), "FLOAT32", (2,), "does not hold 2 values of type FLOAT32"),
        (blob(2, bytes(8)), "FLOAT32", (3,), "does not hold 3 values of type FLOAT32"),
        (blob(2, bytes(8)), "UINT6", (2,), "does not hold 2 values of type UINT6"),
        (blob(2, bytes(8))[:-1], "FLOAT32", (2,), "ends after 135 bytes, within the blob at 64"),
        (blob(2, b"")[:100], "FLOAT32", (0,), "within a blob at 64"),
        (blob(8, bytes(1), padding=0), "INT4", (1,), "pads the blob at 64 by 0 bits"),
    ],
)
def test_what_is_not_there_is_refused(
    file: Path, content: bytes, kind: str, shape: tuple[int, ...], message: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        WeightFile(file).read(64, kind, shape)


def test_affine_weights() -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(-128, 128, (3, 4, 2)).astype(np.int8)
    scale, zero = rng.random(4).astype(np.float16), np.array([1, -2, 3, 0], np.int8)
    found = dequantize_affine({"quantized_data": data, "scale": scale, "zero_point": zero, "axis": 1})
    for i, j, k in np.ndindex(data.shape):
        assert found[i, j, k] == np.float32(scale[j]) * (int(data[i, j, k]) - int(zero[j]))
    one = dequantize_affine({"quantized_data": data, "scale": np.float32(0.5), "zero_point": np.int8(2), "axis": 0})
    np.testing.assert_array_equal(one, 0.5 * (data.astype(np.float32) - 2))


def test_blocks_of_weights() -> None:
    rng = np.random.default_rng(0)
    data, scale = rng.integers(-8, 8, (4, 6)).astype(np.int8), rng.random((4, 2)).astype(np.float16)
    offset = rng.integers(-8, 8, (4, 2)).astype(np.int8)
    found = dequantize_blocks({"data": data, "scale": scale, "offset": offset})
    plain = dequantize_blocks({"data": data, "scale": scale})
    for i, j in np.ndindex(data.shape):
        own = np.float32(scale[i, j // 3])
        assert found[i, j] == own * (int(data[i, j]) - int(offset[i, j // 3]))
        assert plain[i, j] == own * int(data[i, j])
    with pytest.raises(ArtifactError, match="do not divide"):
        dequantize_blocks({"data": data, "scale": scale[:3]})
