"""Preprocessing against Pillow, OpenCV and PyTorch, each of which does the same in its own way."""

from __future__ import annotations

import json
import math
from typing import Any

import cv2
import numpy as np
import PIL
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from edgefer.preprocess import IMAGENET_MEAN, IMAGENET_STD, LUMA, Preprocess, resize_pillow

BILINEAR = Image.Resampling.BILINEAR
PILLOW = int(PIL.__version__.split(".")[0])


def picture(height: int, width: int, seed: int, channels: int = 3) -> np.ndarray:
    """Noise, or hard black and white edges, which overshoot where weights do not sum to one."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    return noise if seed % 2 else np.where(noise > 127, 255, 0).astype(np.uint8)


sides = st.one_of(st.integers(1, 12), st.integers(1, 420))


@settings(max_examples=250, deadline=None)
@given(height=sides, width=sides, size=st.one_of(st.just(64), st.integers(32, 224)), seed=st.integers(0, 9))
@example(height=1, width=1, size=64, seed=1)
@example(height=400, width=2, size=64, seed=1)
@example(height=2, width=400, size=64, seed=1)
@example(height=48, width=48, size=64, seed=0)
@example(height=3000, width=2000, size=64, seed=0)
def test_pillow_bit_for_bit(height: int, width: int, size: int, seed: int) -> None:
    """Rows first, then columns, each in one call: so Pillow's own choice of the order, new in 12.3, plays no part."""
    image = picture(height, width, seed)
    expected = Image.fromarray(image).resize((size, height), BILINEAR).resize((size, size), BILINEAR)
    assert np.array_equal(resize_pillow(image, size, size), np.asarray(expected))


@pytest.mark.parametrize(
    "shape", [(48, 48), (224, 224), (63, 65), (100, 80), (80, 100), (333, 217), (64, 200), (31, 64)]
)
def test_pillow_in_one_call(shape: tuple[int, int]) -> None:
    """What the authors' training did: `Resize((64, 64))` of face crops of usual proportions."""
    image = picture(*shape, seed=3)
    difference = np.asarray(Image.fromarray(image).resize((64, 64), BILINEAR)).astype(int) - resize_pillow(
        image, 64, 64
    )
    assert np.abs(difference).max() <= (1 if PILLOW >= 13 else 0)  # Pillow 13 takes columns first in tall images


@pytest.mark.parametrize(("width", "height"), [(64, 50), (70, 64), (64, 64), (1, 1), (3, 200)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pillow_with_other_sizes_and_channels(width: int, height: int, channels: int) -> None:
    image = picture(50, 64, 1, channels)
    bands = [Image.fromarray(np.ascontiguousarray(image[..., c])) for c in range(channels)]
    expected = np.stack([np.asarray(band.resize((width, height), BILINEAR)) for band in bands], axis=-1)
    assert np.array_equal(resize_pillow(image, width, height), expected)


@pytest.mark.parametrize("shape", [(37, 51), (300, 200), (64, 128)])
def test_area_and_linear_are_those_of_opencv(shape: tuple[int, int]) -> None:
    image = picture(*shape, seed=1)
    for resize, flag in (("area", cv2.INTER_AREA), ("linear", cv2.INTER_LINEAR)):
        expected = cv2.resize(image, (64, 64), interpolation=flag)
        assert np.array_equal(Preprocess(resize=resize)(image), expected)


def test_area_averages_blocks() -> None:
    image = picture(192, 256, seed=1)
    blocks = image.reshape(64, 3, 64, 4, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(Preprocess(resize="area")(image) - blocks).max() <= 0.51


def test_linear_is_the_plain_bilinear_of_torch() -> None:
    image = picture(90, 110, seed=1)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(x, (64, 64), mode="bilinear", align_corners=False, antialias=False)
    assert np.abs(Preprocess(resize="linear")(image) - expected[0].permute(1, 2, 0).numpy()).max() <= 1


def test_the_three_resizes_differ() -> None:
    """Or a model could be given another one without anybody noticing."""
    image = cv2.GaussianBlur(picture(224, 224, seed=1), (5, 5), 0)
    results = [Preprocess(resize=resize)(image).astype(int) for resize in ("pillow", "area", "linear")]
    for i in range(3):
        assert np.abs(results[i] - results[i - 1]).mean() > 1


@pytest.mark.parametrize("resize", ["pillow", "area", "linear"])
@pytest.mark.parametrize("size", [32, 64, 224])
def test_result_is_uint8_of_the_model_size(resize: str, size: int) -> None:
    for shape in ((1, 1), (size, size), (size, 3), (500, 400)):
        result = Preprocess(size, resize=resize)(picture(*shape, seed=1))
        assert result.shape == (size, size, 3)
        assert result.dtype == np.uint8
    exact = picture(size, size, seed=1)
    assert np.array_equal(Preprocess(size, resize=resize)(exact), exact)


@pytest.mark.parametrize("grayscale", [True, False])
def test_normalize_as_torch_writes_it(grayscale: bool) -> None:
    preprocess = Preprocess(32, grayscale=grayscale, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
    images = np.stack([picture(32, 32, seed) for seed in range(4)])
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    if grayscale:
        red, green, blue = x.unbind(1)
        x = (0.299 * red + 0.587 * green + 0.114 * blue)[:, None].expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25)))
    expected = (x - mean) / std
    found = preprocess.normalize(images)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.abs(found - expected.numpy()).max() < 2e-6


def test_gray_is_pillows_up_to_its_rounding() -> None:
    colors = picture(64, 64, seed=1)
    ours = colors.astype(float) @ LUMA
    assert np.abs(ours - np.asarray(Image.fromarray(colors).convert("L"))).max() <= 0.51


def test_the_defaults_are_the_authors() -> None:
    """`Resize((64, 64)), Grayscale(3), ToTensor(), Normalize(ImageNet)`, whatever the data set."""
    assert Preprocess() == Preprocess(64, True, "pillow", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (Preprocess().mean, Preprocess().std) == (IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize(
    "preprocess",
    [Preprocess(), Preprocess(48, False, "area", (0.1, 0.2, 0.3), (1.0, 2.0, 3.0)), Preprocess(224, True, "linear")],
)
def test_round_trip_through_json(preprocess: Preprocess) -> None:
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess


@pytest.mark.parametrize(
    "values",
    [
        {"size": 0},
        {"size": -64},
        {"size": 5000},
        {"size": 64.0},
        {"size": True},
        {"size": "64"},
        {"grayscale": "yes"},
        {"grayscale": 1},
        {"resize": "cubic"},
        {"resize": None},
        {"mean": (0.5, 0.5)},
        {"mean": 0.5},
        {"mean": ("a", "b", "c")},
        {"mean": (0.5, 0.5, math.nan)},
        {"std": (0.2, 0.2, 0.0)},
        {"std": (0.2, 0.2, -0.2)},
        {"std": (0.2, 0.2, math.inf)},
        {"std": None},
    ],
)
def test_bad_values(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Preprocess(**values)
    written = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    with pytest.raises(ValueError):
        Preprocess.from_dict({**Preprocess().to_dict(), **written})


def test_missing_and_unknown_keys() -> None:
    whole = Preprocess().to_dict()
    for key in whole:
        with pytest.raises(ValueError, match="must have the keys"):
            Preprocess.from_dict({name: value for name, value in whole.items() if name != key})
    with pytest.raises(ValueError, match="must have the keys"):
        Preprocess.from_dict({**whole, "crop": 0.9})
