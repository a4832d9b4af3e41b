from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from edgefer.train.augment import Draws, change, draw, mix
from edgefer.train.recipe import Recipe

SIZE = 24


def still(n: int, **changes: object) -> Draws:
    """Draws that change nothing but what is given."""
    ones, zeros = np.ones(n, np.float32), np.zeros(n, np.float32)
    return Draws(None, np.zeros(n, bool), zeros, ones, None, 1.0, np.arange(n))._replace(**changes)


@pytest.fixture
def images() -> torch.Tensor:
    """Smooth structure with some contrast: float32 [5, 1, 24, 24] in 0..1."""
    rng = np.random.default_rng(3)
    small = rng.random((5, 6, 6)).astype(np.float32)
    large = np.stack([cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for image in small])
    return torch.from_numpy(np.clip(large, 0, 1)[:, None])


def test_a_recipe_without_augmentation_changes_nothing(images: torch.Tensor) -> None:
    draws = draw(Recipe(), 5, np.random.default_rng(0))
    assert torch.equal(change(images, draws), images)
    assert torch.equal(mix(images, draws), images)


def test_flip_is_numpys(images: torch.Tensor) -> None:
    want = images.numpy()[..., ::-1]
    out = change(images, draw(Recipe(flip=1.0), 5, np.random.default_rng(0)))
    np.testing.assert_array_equal(out.numpy(), want)
    with_geometry = change(images, draw(Recipe(flip=1.0, shift=1e-9), 5, np.random.default_rng(0)))
    np.testing.assert_allclose(with_geometry.numpy(), want, atol=1e-5)
    some = draw(Recipe(flip=0.5), 5, np.random.default_rng(1)).mirrored
    assert 0 < some.sum() < 5
    out = change(images, still(5, mirrored=some))
    np.testing.assert_array_equal(out.numpy(), np.where(some[:, None, None, None], want, images.numpy()))


def test_geometry_is_opencvs(images: torch.Tensor) -> None:
    """Turning, scaling, shifting and flipping by the drawn amounts gives what cv2.warpAffine gives."""
    recipe = Recipe(flip=0.5, rotate=20.0, scale=0.2, shift=0.1)
    draws = draw(recipe, 5, np.random.default_rng(1))
    assert draws.affine is not None
    out = change(images, draws).numpy()
    half = SIZE / 2
    to_unit = np.array([[1 / half, 0, 0.5 / half - 1], [0, 1 / half, 0.5 / half - 1], [0, 0, 1]])  # pixel -> -1..1
    for i, image in enumerate(images.numpy()[:, 0]):
        matrix = np.linalg.inv(to_unit) @ np.vstack([draws.affine[i], [0, 0, 1]]) @ to_unit
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        want = cv2.warpAffine(image, matrix[:2], (SIZE, SIZE), flags=flags, borderMode=cv2.BORDER_REFLECT)
        np.testing.assert_allclose(out[i, 0], want, atol=0.03)  # OpenCV interpolates in steps of 1/32 pixel


def test_draws_stay_within_the_recipe() -> None:
    recipe = Recipe(flip=0.5, rotate=12.0, scale=0.15, shift=0.08, brightness=0.1, contrast=0.2, erase=0.5, mixup=0.2)
    draws = draw(recipe, 4000, np.random.default_rng(0))
    assert draws.affine is not None
    assert draws.erased is not None
    linear = draws.affine[:, :, :2]
    mirrored = np.linalg.det(linear) < 0
    assert abs(mirrored.mean() - 0.5) < 0.03
    scale = 1 / np.sqrt(np.abs(np.linalg.det(linear)))
    angle = np.degrees(np.arctan2(-linear[:, 0, 1], linear[:, 1, 1]))
    shift = draws.affine[:, :, 2] / 2
    for values, low, high in (
        (scale, 0.85, 1.15),
        (angle, -12, 12),
        (shift, -0.08, 0.08),
        (draws.brightness, -0.1, 0.1),
        (draws.contrast, 0.8, 1.2),
    ):
        assert low - 1e-5 <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high + 1e-5
    top, left, bottom, right, value = draws.erased.T
    area = ((bottom - top) * (right - left))[bottom > top]
    assert abs((bottom > top).mean() - 0.5) < 0.03
    assert area.min() >= 0.02 - 1e-6
    assert area.max() <= 0.2 + 1e-6
    assert min(top.min(), left.min(), value.min()) >= 0
    assert max(bottom.max(), right.max(), value.max()) <= 1 + 1e-6


def test_the_same_seed_draws_the_same() -> None:
    recipe = Recipe(flip=0.5, rotate=5.0, erase=0.3, mixup=0.4)
    one, two, other = (draw(recipe, 8, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert one.affine is not None
    assert other.affine is not None
    np.testing.assert_array_equal(one.affine, two.affine)
    assert one.mix == two.mix
    assert not np.array_equal(one.affine, other.affine)


def test_brightness_and_contrast(images: torch.Tensor) -> None:
    gentle = images * 0.5 + 0.25
    brightness, contrast = np.full(5, 0.05, np.float32), np.full(5, 1.2, np.float32)
    out = change(gentle, still(5, brightness=brightness, contrast=contrast))
    torch.testing.assert_close(out.mean((1, 2, 3)), gentle.mean((1, 2, 3)) + 0.05)
    torch.testing.assert_close(out.std((1, 2, 3)), gentle.std((1, 2, 3)) * 1.2)
    assert change(images, still(5, brightness=np.full(5, 0.9, np.float32))).max() == 1


def test_erasing_paints_the_rectangle(images: torch.Tensor) -> None:
    erased = np.tile(np.array([0.25, 0.5, 0.5, 1.0, 0.7], np.float32), (5, 1))
    out = change(images, still(5, erased=erased)).numpy()
    want = images.numpy().copy()
    want[:, :, 6:12, 12:24] = 0.7
    np.testing.assert_array_equal(out, want)


def test_mixup_is_zhangs(images: torch.Tensor) -> None:
    partner = np.array([1, 2, 3, 4, 0])
    out = mix(images, still(5, mix=0.3, partner=partner))
    torch.testing.assert_close(out, 0.3 * images + 0.7 * images[[1, 2, 3, 4, 0]])
