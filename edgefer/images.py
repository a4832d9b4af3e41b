"""Anything that can be an image -> uint8 RGB array. The only place that decodes.

Encoded images are sniffed before a decoder sees them: four formats, a size limit read from the header, and the end
marker (libjpeg fills a truncated photograph with gray and calls it a success).
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from edgefer.errors import ImageError

MAX_PIXELS = 100_000_000  # 100 megapixels: beyond every camera, far below what exhausts a phone or a container
MAX_BYTES = 256 * 1024 * 1024
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_FORMATS_HINT = "pass a JPEG, PNG, WebP or BMP image."

Source = Any  # numpy array, PIL image, path or bytes; a Protocol would have to import Pillow


class Header(NamedTuple):
    """What the first bytes of an encoded image say."""

    format: str
    width: int
    height: int
    alpha: bool


def read(source: Source, channels: str = "bgr") -> np.ndarray:
    """Return `source` as a contiguous uint8 RGB array [H, W, 3].

    Args:
        source: an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] of uint8, uint16 or float in 0..1; a PIL image;
            a path; or the bytes of an encoded image. A PIL image is taken as it stands: Pillow leaves it to you to
            turn a phone's photograph upright (`ImageOps.exif_transpose`); from a path or bytes it is done here.
        channels: "bgr" (OpenCV's order, the default) or "rgb", for arrays only.

    Transparent pixels are laid over white. 16-bit values are scaled to 8 bit.

    Raises:
        ImageError: whatever is wrong with it, with a hint.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, channels, "the array")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return decode(bytes(source))
    if isinstance(source, (str, os.PathLike)):
        return load(source)
    if hasattr(source, "convert") and hasattr(source, "getbands"):
        return _from_pil(source)
    raise ImageError(
        f"{type(source).__name__} is not an image.", "pass a numpy array, a PIL image, a path or the bytes of a file."
    )


def load(path: str | os.PathLike[str]) -> np.ndarray:
    """Read and decode an image file to uint8 RGB [H, W, 3].

    Raises:
        ImageError: the file is missing, unreadable, too large, not an image or damaged.
    """
    return decode(read_bytes(path), str(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read an image file's bytes, within the size limit.

    Raises:
        ImageError: the file is missing, is a folder, cannot be read or is larger than `MAX_BYTES`.
    """
    file = Path(path)
    try:
        if file.is_dir():  # opening one fails differently on every system
            raise ImageError(f"{file} is a folder.", "pass an image file, or use `edgefer predict` on folders.")
        if file.stat().st_size > MAX_BYTES:
            raise ImageError(
                f"{file} is {file.stat().st_size / 1e6:.0f} MB.", f"the limit is {MAX_BYTES / 1e6:.0f} MB."
            )
        return file.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{file} does not exist.", "check the path.") from None
    except OSError as error:
        raise ImageError(f"{file} cannot be read: {error.strerror}.", "check the path and its permissions.") from None
    except ValueError:  # a NUL byte in the path
        raise ImageError(f"{str(file)!r} is not a path.", "bytes of an image go in as bytes, not as text.") from None


def decode(data: bytes, name: str = "the image") -> np.ndarray:
    """Decode the bytes of a JPEG, PNG, WebP or BMP file to uint8 RGB [H, W, 3].

    A photograph's EXIF orientation is honoured; in pictures with transparency, which no camera makes, it is not.

    Raises:
        ImageError: not an image, damaged, truncated, or over `MAX_PIXELS`; `name` is used in the message.
    """
    header = sniff(data, name)
    if header.width * header.height > MAX_PIXELS:
        raise ImageError(
            f"{name} is {header.width} x {header.height} pixels.",
            f"the limit is {MAX_PIXELS / 1e6:.0f} megapixels; scale it down first.",
        )
    if _truncated(data, header.format):
        raise ImageError(f"{name} is a truncated {header.format}.", "copy or download the file again.")
    # IMREAD_UNCHANGED keeps alpha but ignores the EXIF orientation, so it is used only where there is alpha.
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"{name} is a damaged {header.format}.", "copy or download the file again.")
    if header.format == "PNG" and header.alpha:
        image = _apply_color_key(image, data)
    return _from_array(image, "bgr", name)


def sniff(data: bytes, name: str = "the image") -> Header:
    """Read format, size and alpha from an encoded image's first bytes, without decoding it.

    Raises:
        ImageError: the bytes are none of the four formats, or their header is cut or nonsense.
    """
    if not data:
        raise ImageError(f"{name} is not an image: 0 bytes.", _FORMATS_HINT)
    try:
        header = _sniff(data)
    except (struct.error, IndexError):
        raise ImageError(
            f"{name} is a truncated image: its header is cut.", "copy or download the file again."
        ) from None
    if header is None:
        raise ImageError(f"{name} is not a JPEG, PNG, WebP or BMP image.", _FORMATS_HINT)
    if header.width < 1 or header.height < 1:
        raise ImageError(f"{name} has an empty {header.format} header.", "copy or download the file again.")
    return header


def _sniff(data: bytes) -> Header | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack(">II", data[16:24])
        # Colour types 4 and 6 have an alpha channel; a tRNS chunk gives the others transparency.
        return Header("PNG", width, height, data[25] in (4, 6) or _png_chunk(data, b"tRNS") is not None)
    if data.startswith(b"\xff\xd8"):
        return _sniff_jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _sniff_webp(data)
    if data.startswith(b"BM"):
        old = data[14:18] == b"\x0c\0\0\0"  # OS/2's header has 16-bit sizes
        width, height = struct.unpack("<HH", data[18:22]) if old else struct.unpack("<ii", data[18:26])
        return Header("BMP", abs(width), abs(height), False)
    return None


def _sniff_jpeg(data: bytes) -> Header:
    at = 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker = data[at + 1]
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame, not DHT, JPG or DAC
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return Header("JPEG", width, height, False)
        at += 2 + max(length, 2)


def _sniff_webp(data: bytes) -> Header | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return Header("WebP", 1 + _u24(data, 24), 1 + _u24(data, 27), bool(data[20] & 0x10))
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return Header("WebP", width & 0x3FFF, height & 0x3FFF, False)
    if chunk == b"VP8L":
        (bits,) = struct.unpack("<I", data[21:25])
        return Header("WebP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1))
    return None


def _u24(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16


def _png_chunk(data: bytes, kind: bytes) -> bytes | None:
    """Content of a PNG's first chunk of a kind that stands before the pixels, or None."""
    at = 8
    while at + 8 <= len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name == kind:
            return data[at + 8 : at + 8 + length]
        if name == b"IDAT":
            return None
        at += 12 + length
    return None


def _apply_color_key(image: np.ndarray, data: bytes) -> np.ndarray:
    """Make the one colour transparent that a gray or RGB PNG may name in its tRNS chunk; OpenCV does not always."""
    image = image.reshape(*image.shape[:2], -1)
    key = _png_chunk(data, b"tRNS")
    if key is None or image.shape[2] == 4 or len(key) != 2 * image.shape[2]:
        return image
    depth = data[24]
    color = np.frombuffer(key, ">u2")[::-1].astype(np.uint16)  # OpenCV's order is BGR
    if depth < 8:
        color *= 255 // (2**depth - 1)  # as the samples were when they were widened to 8 bit
    alpha = np.where((image == color).all(axis=2, keepdims=True), 0, np.iinfo(image.dtype).max)
    opaque = np.broadcast_to(image, (*image.shape[:2], 3))
    return np.concatenate([opaque, alpha.astype(image.dtype)], axis=2)


# What begins a segment: 0xFF and a code that is neither a stuffed zero, nor a restart, nor fill.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the end marker is reached, segment by segment. Behind it phones append films and further pictures."""
    at = 2
    while marker := _JPEG_MARKER.search(data, at):
        at, code = marker.start(), data[marker.start() + 1]
        if code == 0xD9:
            return True
        at += 2 if code in (0x01, 0xD8) else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _truncated(data: bytes, format: str) -> bool:
    if format == "JPEG":
        return not _jpeg_is_whole(data)
    if format == "PNG":
        return b"IEND" not in data
    if format == "WebP":
        return bool(len(data) < struct.unpack("<I", data[4:8])[0] + 8)
    return bool(len(data) < struct.unpack("<I", data[2:6])[0])


def _from_pil(image: Any) -> np.ndarray:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"the image is {image.width} x {image.height} pixels.", f"the limit is {MAX_PIXELS:,} pixels.")
    try:
        if image.mode.startswith("I;16"):
            pixels = np.asarray(image, np.uint16)
        elif image.mode in ("I", "F"):  # convert() would cut their values off at 255
            pixels = np.asarray(image)
        else:
            transparent = image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info
            pixels = np.asarray(image.convert("RGBA" if transparent else "RGB"))
    except Exception as error:  # files are read late, and every format's plugin fails in its own way
        raise ImageError(f"Pillow cannot read the image: {error}.", "copy or download the file again.") from None
    return _from_array(pixels, "rgb", "the image")


def _from_array(image: np.ndarray, channels: str, name: str) -> np.ndarray:
    if channels not in ("bgr", "rgb"):
        raise ImageError(f"channels={channels!r} is not known.", 'pass channels="bgr" or channels="rgb".')
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ImageError(
            f"{name} has shape {tuple(image.shape)}.",
            "pass [H, W], [H, W, 3] or [H, W, 4]; several images go in a list.",
        )
    if 0 in image.shape:
        raise ImageError(f"{name} is empty: shape {tuple(image.shape)}.", "pass an image with at least one pixel.")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise ImageError(
            f"{name} is {image.shape[1]} x {image.shape[0]} pixels.", f"the limit is {MAX_PIXELS:,} pixels."
        )
    image = _to_uint8(image, name)
    if image.shape[2] == 1:
        return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
    if image.shape[2] == 4:
        image = _over_white(image)
    return np.ascontiguousarray(image[:, :, ::-1] if channels == "bgr" else image)


def _to_uint8(image: np.ndarray, name: str) -> np.ndarray:
    if image.dtype == np.uint8:
        return image
    if image.dtype.type is np.uint16:  # of either byte order
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 / 255 = 257
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * 255
    if np.issubdtype(image.dtype, np.floating):
        if not np.isfinite(image).all():
            raise ImageError(f"{name} holds NaN or infinite values.", "pass finite values in 0..1, or uint8.")
        if image.min() < 0 or image.max() > 1:
            raise ImageError(
                f"{name} is {image.dtype} with values from {image.min():g} to {image.max():g}.",
                "float images must lie in 0..1; pass uint8 for 0..255.",
            )
        return np.rint(image * 255).astype(np.uint8)
    raise ImageError(f"{name} has dtype {image.dtype}.", "pass uint8, uint16, or float in 0..1.")


def _over_white(image: np.ndarray) -> np.ndarray:
    alpha = image[:, :, 3:].astype(np.uint16)
    return ((image[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
