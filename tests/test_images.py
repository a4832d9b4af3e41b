"""Everything that can be an image becomes the RGB that Pillow sees; everything else is refused, and says why."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from edgefer import images
from edgefer.errors import ImageError
from edgefer.images import decode, load, read, sniff

few = settings(max_examples=60, deadline=None)


@cache
def picture(height: int = 60, width: int = 50) -> np.ndarray:
    """Smooth colours, as photographs have: uint8 RGB."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image.setflags(write=False)
    return image


@cache
def alpha() -> np.ndarray:
    """Every opacity, clear and opaque included: uint8 [60, 50]."""
    return (np.arange(60 * 50).reshape(60, 50) % 256).astype(np.uint8)


def save(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def encode(mode: str, format: str, **options: Any) -> bytes:
    return save(Image.fromarray(picture()).convert(mode), format, **options)


def with_alpha() -> Image.Image:
    return Image.fromarray(np.dstack([picture(), alpha()]))


def over_white(image: Image.Image) -> np.ndarray:
    """Pillow's own answer to "what does this look like on white paper?"."""
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    return np.asarray(paper.convert("RGB"))


def distance(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max())


def refusal(call: Callable[[], object]) -> str:
    """The message of the ImageError that `call` must raise; it comes with a hint."""
    with pytest.raises(ImageError) as caught:
        call()
    assert caught.value.hint.strip()
    assert str(caught.value).endswith(".")
    return str(caught.value)


# --- arrays ---------------------------------------------------------------------------------------------------------


def check_result(image: np.ndarray) -> np.ndarray:
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags.c_contiguous
    return image


def test_bgr_is_the_default_for_arrays_and_rgb_is_asked_for() -> None:
    rgb = picture()
    assert np.array_equal(check_result(read(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))), rgb)
    assert np.array_equal(check_result(read(rgb, "rgb")), rgb)
    assert not np.array_equal(read(rgb), rgb)


@pytest.mark.parametrize("channels", ["bgr", "rgb"])
def test_gray_arrays_are_repeated(channels: str) -> None:
    gray = picture()[..., 0]
    for array in (gray, gray[..., None]):
        image = check_result(read(array, channels))
        assert all(np.array_equal(image[..., c], gray) for c in range(3))


@pytest.mark.parametrize(("channels", "code"), [("bgr", cv2.COLOR_RGBA2BGRA), ("rgb", None)])
def test_alpha_is_laid_over_white(channels: str, code: int | None) -> None:
    rgba = np.asarray(with_alpha())
    exact = picture() * (alpha() / 255)[..., None] + 255 * (1 - alpha() / 255)[..., None]
    image = check_result(read(rgba if code is None else cv2.cvtColor(rgba, code), channels))
    assert np.array_equal(image, np.rint(exact))
    assert distance(image, over_white(with_alpha())) <= 1  # Pillow rounds in 8 bit on the way


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_16_bit_value_is_rounded_to_8_bit(order: str) -> None:
    values = np.arange(65536, dtype=f"{order}u2").reshape(256, 256)
    assert np.array_equal(read(values)[..., 0], np.rint(np.arange(65536) / 65535 * 255).reshape(256, 256))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1(dtype: type) -> None:
    levels = np.arange(256).reshape(16, 16)
    assert np.array_equal(read((levels / 255).astype(dtype))[..., 0], levels)
    color = (picture() / 255).astype(dtype)
    assert np.array_equal(read(color, "rgb"), picture())


def test_bool_is_black_and_white() -> None:
    mask = picture()[..., 0] > 128
    assert np.array_equal(read(mask)[..., 1], np.where(mask, 255, 0))


def test_views_and_read_only_arrays_are_fine() -> None:
    rgb = picture()
    view = rgb[::-1, ::2][:, ::-1]
    assert np.array_equal(check_result(read(view, "rgb")), view)
    assert np.array_equal(check_result(read(np.asfortranarray(rgb), "rgb")), rgb)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((4, 4, 3), np.int8), "int8"),
        (np.zeros((4, 4), np.uint32), "uint32"),
        (np.zeros((4, 4), complex), "complex128"),
        (np.full((4, 4), None), "object"),
        (np.full((4, 4), "x"), "<U1"),
        (np.zeros((4, 4), "datetime64[s]"), "datetime64"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"(2, 4, 4, 3)"),
        (np.zeros((4,), np.uint8), "(4,)"),
        (np.array(3, np.uint8), "()"),
        (np.zeros((4, 4, 2), np.uint8), "(4, 4, 2)"),
        (np.zeros((3, 64, 64), np.uint8), "(3, 64, 64)"),  # channels first, as torch has it
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.zeros((4, 0), np.uint8), "empty"),
        (np.array([[0.5, np.nan]]), "NaN"),
        (np.array([[0.5, np.inf]], np.float32), "infinite"),
        (np.array([[0.0, 255.0]]), "0 to 255"),
        (np.array([[-0.5, 0.5]], np.float32), "-0.5 to 0.5"),
        (np.broadcast_to(np.uint8(0), (10_001, 10_000)), "10000 x 10001"),
    ],
)
def test_arrays_that_are_no_image(array: np.ndarray, says: str) -> None:
    assert says in refusal(lambda: read(array))


def test_a_wrong_channel_order_is_named() -> None:
    assert "'gbr'" in refusal(lambda: read(picture(), "gbr"))


@pytest.mark.parametrize("source", [None, 3, 2.5, object(), {"image": 1}, iter([])])
def test_things_that_are_no_source(source: object) -> None:
    assert type(source).__name__ in refusal(lambda: read(source))


# --- Pillow ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_pil_modes_without_transparency(mode: str) -> None:
    image = Image.fromarray(picture()).convert(mode)
    assert np.array_equal(check_result(read(image)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa"])
def test_pil_modes_with_transparency(mode: str) -> None:
    image = with_alpha().convert("LA").convert("LA") if mode == "LA" else with_alpha().convert(mode)
    assert distance(check_result(read(image)), over_white(image)) <= 1


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_pil_transparency_by_colour(mode: str) -> None:
    image = Image.fromarray(picture()).convert(mode)
    image.info["transparency"] = image.getpixel((7, 7))
    expected = over_white(image)
    assert not np.array_equal(expected, np.asarray(image.convert("RGB")))  # the colour does occur
    assert np.array_equal(read(image), expected)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_pil_16_bit(mode: str) -> None:
    values = (np.arange(60 * 50).reshape(60, 50) * 21).astype(np.uint16)
    raw = values.astype(">u2" if mode.endswith("B") else "<u2").tobytes()
    image = Image.frombytes(mode, (50, 60), raw)
    assert np.array_equal(read(image)[..., 2], np.rint(values / 65535 * 255))


def test_pil_32_bit_modes_are_not_cut_off_at_255() -> None:
    """`convert("RGB")` would turn all of a 16-bit scan in mode I white, and all of a 0..1 float image black."""
    assert "int32" in refusal(lambda: read(Image.fromarray(np.full((4, 4), 40_000, np.int32))))
    levels = np.arange(256, dtype=np.float32).reshape(16, 16)
    assert np.array_equal(read(Image.fromarray(levels / 255))[..., 0], levels)
    assert "0 to 255" in refusal(lambda: read(Image.fromarray(levels)))


def test_pil_image_of_a_truncated_file() -> None:
    """Pillow reads pixels late: the error comes from our call, as ours."""
    image = Image.open(io.BytesIO(encode("RGB", "JPEG")[:-200]))
    assert "truncated" in refusal(lambda: read(image))


def test_pil_image_too_large_or_empty() -> None:
    assert "20000 x 6000" in refusal(lambda: read(Image.new("1", (20_000, 6000))))
    assert "empty" in refusal(lambda: read(Image.new("RGB", (0, 5))))


# --- encoded images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "BMP"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_lossless_formats_exactly(mode: str, format: str) -> None:
    data = encode(mode, format)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(check_result(decode(data)), expected)


@pytest.mark.parametrize("options", [{"quality": 92}, {"quality": 92, "progressive": True}, {"quality": 75}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg(mode: str, options: dict[str, Any]) -> None:
    data = encode(mode, "JPEG", **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert distance(decode(data), expected) <= 3  # two libjpegs may round differently


def test_jpeg_in_cmyk() -> None:
    """Print shops write these; OpenCV and Pillow convert without a colour profile, each in its own rounding."""
    data = save(Image.fromarray(picture()).convert("CMYK"), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(decode(data).astype(float) - expected).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_is_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode("RGB", "JPEG", exif=exif, quality=95)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert distance(decode(data), upright) <= 3


@pytest.mark.parametrize(
    ("options", "tolerance"), [({"lossless": True}, 0), ({"quality": 80}, 3), ({"quality": 30, "method": 0}, 3)]
)
def test_webp(options: dict[str, Any], tolerance: int) -> None:
    data = encode("RGB", "WEBP", **options)
    assert distance(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))) <= tolerance


@pytest.mark.parametrize("options", [{"lossless": True, "exact": True}, {"quality": 90}])
def test_webp_with_alpha(options: dict[str, Any]) -> None:
    data = save(with_alpha(), "WEBP", **options)
    assert sniff(data).alpha
    assert distance(decode(data), over_white(Image.open(io.BytesIO(data)))) <= 3


def test_animations_show_their_first_frame() -> None:
    frames = [Image.fromarray(np.roll(picture(), 9 * i, axis=0)) for i in range(3)]
    for format, options in (("WEBP", {"lossless": True}), ("PNG", {})):
        data = save(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert np.array_equal(decode(data), picture())


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_png_with_alpha(mode: str) -> None:
    image = with_alpha().convert(mode)
    assert distance(decode(save(image, "PNG")), over_white(image)) <= 1


@pytest.mark.parametrize("mode", ["P", "L", "1", "RGB"])
def test_png_with_one_clear_colour(mode: str) -> None:
    image = Image.fromarray(picture()).convert(mode)
    data = save(image, "PNG", transparency=0 if mode == "1" else image.getpixel((7, 7)))
    expected = over_white(Image.open(io.BytesIO(data)))
    assert not np.array_equal(expected, np.asarray(image.convert("RGB")))  # the colour does occur
    assert np.array_equal(decode(data), expected)


def test_png_palette_with_opacities() -> None:
    image = Image.fromarray(picture()).quantize(16)
    data = save(image, "PNG", transparency=bytes(range(0, 256, 16)))
    assert distance(decode(data), over_white(Image.open(io.BytesIO(data)))) <= 1


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(samples: np.ndarray, depth: int, color: int, *extra: bytes) -> bytes:
    """A PNG written by hand, for what Pillow does not write: samples [H, W] or [H, W, 3], unfiltered."""
    height, width = samples.shape[:2]
    rows = samples.reshape(height, -1)
    if depth == 16:
        lines = [row.astype(">u2").tobytes() for row in rows]
    else:
        bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
        lines = [np.packbits(row).tobytes() for row in bits]
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + line for line in lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_gray_png_of_every_depth_with_a_clear_value(depth: int) -> None:
    top = 2**depth - 1
    samples = np.arange(24 * 20).reshape(24, 20) * 137 % (top + 1)
    clear = int(samples[3, 3])
    data = png(samples, depth, 0, chunk(b"tRNS", struct.pack(">H", clear)))
    expected = np.where(samples == clear, 255, np.rint(samples / top * 255))
    assert np.array_equal(decode(data)[..., 1], expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_colour_png_with_a_clear_value(depth: int) -> None:
    top = 2**depth - 1
    samples = np.arange(8 * 9 * 3).reshape(8, 9, 3) * 1009 % (top + 1)
    clear = samples[2, 4]
    data = png(samples, depth, 2, chunk(b"tRNS", struct.pack(">HHH", *clear.tolist())))
    expected = np.where((samples == clear).all(-1, keepdims=True), 255, np.rint(samples / top * 255))
    assert np.array_equal(decode(data), expected)


def test_16_bit_colour_png() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    assert np.array_equal(decode(cv2.imencode(".png", values[..., ::-1])[1].tobytes()), np.rint(values / 65535 * 255))
    assert np.array_equal(decode(png(values, 16, 2)), np.rint(values / 65535 * 255))


def bmp(image: np.ndarray, top_down: bool = False, size: int | None = None) -> bytes:
    """A 24-bit BMP written by hand: uint8 RGB."""
    height, width = image.shape[:2]
    lines = [row[:, ::-1].tobytes().ljust((3 * width + 3) // 4 * 4, b"\0") for row in image]
    body = b"".join(lines if top_down else lines[::-1])
    header = struct.pack("<IiiHHIIiiII", 40, width, -height if top_down else height, 1, 24, 0, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", size if size is not None else 54 + len(body), 0, 0, 54) + header + body


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("width", [4, 5, 6, 7])
def test_bmp_bottom_up_top_down_and_padded(width: int, top_down: bool) -> None:
    image = picture(6, width)
    data = bmp(image, top_down)
    assert sniff(data) == ("BMP", width, 6, False)
    assert np.array_equal(decode(data), image)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), image)  # the bytes are what we think they are


def test_bmp_with_the_header_of_os2() -> None:
    rows = picture(3, 4)
    body = b"".join(row[:, ::-1].tobytes() for row in rows[::-1])
    header = struct.pack("<IHHHH", 12, 4, 3, 1, 24)
    data = b"BM" + struct.pack("<IHHI", 26 + len(body), 0, 0, 26) + header + body
    assert np.array_equal(decode(data), rows)


@pytest.mark.parametrize(
    ("format", "options", "alpha"),
    [
        ("JPEG", {}, False),
        ("JPEG", {"progressive": True}, False),
        ("PNG", {}, False),
        ("WEBP", {}, False),
        ("WEBP", {"lossless": True}, False),
        ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}, False),  # a VP8X file
        ("BMP", {}, False),
    ],
)
def test_sniff_reads_format_and_size_without_decoding(format: str, options: dict[str, Any], alpha: bool) -> None:
    data = encode("RGB", format, **options)
    name = {"WEBP": "WebP"}.get(format, format)
    assert sniff(data) == (name, 50, 60, alpha)
    half = data[: len(data) // 2 if format != "JPEG" else 400]
    assert sniff(half)[:3] == (name, 50, 60)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".dat"])
def test_paths_and_bytes_of_any_kind(tmp_path: Path, suffix: str) -> None:
    """The content decides, never the name."""
    data = encode("RGB", "PNG")
    file = tmp_path / f"face{suffix}"
    file.write_bytes(data)
    for source in (file, str(file), data, bytearray(data), memoryview(data), memoryview(b"x" + data)[1:]):
        assert np.array_equal(read(source), picture())
    assert np.array_equal(load(file), picture())


def test_opencv_and_we_see_the_same(tmp_path: Path) -> None:
    """`fer(cv2.imread(path))` and `fer(path)` must agree."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "face.jpg"
    file.write_bytes(encode("RGB", "JPEG", exif=exif))
    assert np.array_equal(read(cv2.imread(str(file))), read(file))


# --- encoded images that are none, or not whole ---------------------------------------------------------------------


def test_the_messages_of_the_usual_mistakes(tmp_path: Path) -> None:
    empty, text = tmp_path / "broken.jpg", tmp_path / "notes.jpg"
    empty.touch()
    text.write_text("not an image")
    assert refusal(lambda: read(empty)) == f"{empty} is not an image: 0 bytes."
    assert refusal(lambda: read(text)) == f"{text} is not a JPEG, PNG, WebP or BMP image."
    assert refusal(lambda: read(tmp_path / "no.png")) == f"{tmp_path / 'no.png'} does not exist."
    assert refusal(lambda: read(tmp_path)) == f"{tmp_path} is a folder."
    assert "0 bytes" in refusal(lambda: read(b""))
    assert "not a path" in refusal(lambda: read("\x89PNG\0"))
    assert "cannot be read" in refusal(lambda: read("x" * 5000))


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "film.jpg"
    with file.open("wb") as stream:
        stream.truncate(images.MAX_BYTES + 1)  # a sparse file
    assert "268 MB" in refusal(lambda: read(file))


@pytest.mark.parametrize(
    ("width", "height"), [(60_000, 60_000), (2**32 - 1, 2**32 - 1), (100_000_001, 1), (10_001, 10_000)]
)
def test_a_header_that_claims_too_much_is_refused_before_decoding(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoder(*arguments: object) -> None:
        raise AssertionError("the decoder saw it")

    monkeypatch.setattr(cv2, "imdecode", decoder)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )
    assert f"{width} x {height}" in refusal(lambda: decode(bomb))


def test_large_headers_of_the_other_formats_are_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the decoder saw it"))
    jpeg = encode("RGB", "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    huge = {
        "jpeg": jpeg[:at] + struct.pack(">HH", 60_000, 60_000) + jpeg[at + 4 :],
        "webp": b"RIFF\x16\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0" + b"\x5f\xea\0" + b"\x5f\xea\0",  # 59,999 + 1
        "bmp": bmp(picture())[:18] + struct.pack("<ii", 60_000, -60_000) + bmp(picture())[26:],
    }
    for name, data in huge.items():
        assert "60000 x 60000" in refusal(lambda data=data: decode(data)), name  # type: ignore[misc]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP"])
def test_a_header_of_no_pixels(format: str) -> None:
    data = bytearray(encode("RGB", format))
    at = {"PNG": 16, "JPEG": bytes(data).index(b"\xff\xc0") + 5 if format == "JPEG" else 0, "BMP": 18}[format]
    data[at : at + 4] = bytes(4)
    refusal(lambda: decode(bytes(data)))


SMALL = Image.fromarray(picture()).resize((24, 20))
WHOLE = {
    "jpeg": save(SMALL, "JPEG"),
    "jpeg progressive": save(SMALL, "JPEG", progressive=True),
    "jpeg with a thumbnail": save(SMALL, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + save(SMALL, "JPEG")),
    "png": save(SMALL, "PNG"),
    "png gray": save(SMALL.convert("L"), "PNG"),
    "webp": save(SMALL, "WEBP"),
    "webp lossless": save(SMALL, "WEBP", lossless=True),
    "webp alpha": save(with_alpha().resize((24, 20)), "WEBP", quality=80),
    "bmp": save(SMALL, "BMP"),
    "bmp without a length": bmp(np.asarray(SMALL), size=0),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_cut_at_any_byte(kind: str) -> None:
    """libjpeg paints what is missing gray and reports success: none of these may come back as a picture."""
    data = WHOLE[kind]
    assert decode(data).shape == (20, 24, 3)
    whole = len(data)
    if "png" in kind:
        whole -= 4  # the last four bytes are the end marker's checksum; everything that shows is there
    for cut in range(0, whole, 1 if whole < 2000 else 3):
        refusal(lambda cut=cut: decode(data[:cut]))  # type: ignore[misc]


@pytest.mark.parametrize("kind", [kind for kind in WHOLE if kind != "bmp without a length"])
def test_a_cut_is_noticed_whatever_the_decoder_makes_of_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV before 5 paints the rest of a cut photograph gray and reports success; here every decoder does."""
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: np.full((20, 24, 3), 128, np.uint8))
    data = WHOLE[kind]
    assert decode(data).shape == (20, 24, 3)
    for cut in range(0, len(data) - (4 if "png" in kind else 0), 3):
        refusal(lambda cut=cut: decode(data[:cut]))  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["jpeg", "jpeg progressive", "png", "webp"])
def test_what_follows_the_end_does_not_matter(kind: str) -> None:
    """Phones append films and depth maps; their bytes may look like markers."""
    for tail in (b"\xff\xda\xff\xd8\xff", WHOLE["jpeg"][:200], bytes(500), np.random.default_rng(0).bytes(5000)):
        assert np.array_equal(decode(WHOLE[kind] + tail), decode(WHOLE[kind]))


@pytest.mark.parametrize(
    "magic",
    [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"BM"]
    + [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x05\0\0\0\x05", b"\xff\xd8\xff\xc0\0\x11\x08\0\x05\0\x05"]
    + [b"RIFF\x40\0\0\0WEBP" + kind for kind in (b"", b"VP8 ", b"VP8L", b"VP8X")],
)
@few
@given(noise=st.binary(max_size=120))
def test_noise_behind_a_magic_number(magic: bytes, noise: bytes) -> None:
    refusal(lambda: decode(magic + noise))


@pytest.mark.parametrize("kind", WHOLE)
@few
@given(edit=st.data())
def test_damaged_files_give_a_picture_or_an_image_error(kind: str, edit: st.DataObject) -> None:
    """Some damage cannot be seen (a pixel of a BMP); what must not happen is any other error, or a strange array."""
    data = bytearray(WHOLE[kind])
    for _ in range(edit.draw(st.integers(1, 4))):
        at = edit.draw(st.integers(0, len(data) - 1))
        data[at] = edit.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        check_result(decode(bytes(data)))
