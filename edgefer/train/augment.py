"""Random changes of a batch of faces, in plain torch on whichever device holds it.

All random numbers are drawn by numpy from a generator that the caller seeds for each step: the same step sees the same
changes on every device, and a resumed training needs no saved generator.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgefer.train.recipe import Recipe

_ERASED_AREA = (0.02, 0.2)  # of the image
_ERASED_ASPECT = (0.5, 2.0)


class Draws(NamedTuple):
    """The random numbers for one batch of n images.

    Attributes:
        affine: float32 [n, 2, 3], from output to input coordinates in -1..1 (as `F.affine_grid` has them), or None.
        mirrored: bool [n], to be flipped where `affine` is None (which holds the flip otherwise).
        brightness: float32 [n], added to values in 0..1.
        contrast: float32 [n], a factor around each image's mean.
        erased: float32 [n, 5]: top, left, bottom, right as shares of the side, and the value painted; or None.
        mix: the weight of each image itself in mixup, 1.0 for none.
        partner: int64 [n], the image it is mixed with.
    """

    affine: np.ndarray | None
    mirrored: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    erased: np.ndarray | None
    mix: float
    partner: np.ndarray


def draw(recipe: Recipe, n: int, rng: np.random.Generator) -> Draws:
    """Draw the changes for a batch of n images."""

    def symmetric(width: float) -> np.ndarray:
        return rng.uniform(-width, width, n).astype(np.float32)

    turn, grow, right, down = (
        symmetric(w) for w in (np.radians(recipe.rotate), recipe.scale, recipe.shift, recipe.shift)
    )
    mirrored = rng.random(n) < recipe.flip
    affine = None
    if recipe.rotate or recipe.scale or recipe.shift:
        mirror = np.where(mirrored, -1, 1).astype(np.float32)
        cos, sin = np.cos(turn) / (1 + grow), np.sin(turn) / (1 + grow)
        # The grid goes from output to input: the inverse of what the face does. A shift of the whole width is 2 there.
        rows = [[cos * mirror, -sin, 2 * right], [sin * mirror, cos, 2 * down]]
        affine = np.asarray(rows, np.float32).transpose(2, 0, 1)
    brightness, contrast = symmetric(recipe.brightness), 1 + symmetric(recipe.contrast)
    erased = _draw_erased(recipe.erase, n, rng) if recipe.erase else None
    mix = float(rng.beta(recipe.mixup, recipe.mixup)) if recipe.mixup else 1.0
    return Draws(affine, mirrored, brightness, contrast, erased, mix, rng.permutation(n))


def _draw_erased(probability: float, n: int, rng: np.random.Generator) -> np.ndarray:
    area = rng.uniform(*_ERASED_AREA, n)
    aspect = np.exp(rng.uniform(np.log(_ERASED_ASPECT[0]), np.log(_ERASED_ASPECT[1]), n))
    height, width = np.sqrt(area * aspect), np.sqrt(area / aspect)
    height = np.where(rng.random(n) < probability, height, 0)  # an empty rectangle erases nothing
    top, left = rng.random(n) * (1 - height), rng.random(n) * (1 - width)
    return np.stack([top, left, top + height, left + width, rng.random(n)], axis=1).astype(np.float32)


def change(images: Tensor, draws: Draws) -> Tensor:
    """Apply geometry, brightness and contrast, and erasing. float [n, C, S, S] in 0..1 -> the same.

    What the geometry brings in from outside is the image mirrored at its edge.
    """
    device, size = images.device, images.shape[-1]
    if draws.affine is not None:
        grid = F.affine_grid(torch.from_numpy(draws.affine).to(device), list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    elif draws.mirrored.any():
        mirrored = torch.from_numpy(draws.mirrored).to(device)[:, None, None, None]
        images = torch.where(mirrored, images.flip(3), images)
    if draws.brightness.any() or (draws.contrast != 1).any():
        mean = images.mean((1, 2, 3), keepdim=True)
        factor, offset = (
            torch.from_numpy(a).to(device)[:, None, None, None] for a in (draws.contrast, draws.brightness)
        )
        images = ((images - mean) * factor + (mean + offset)).clamp(0, 1)
    if draws.erased is not None:
        top, left, bottom, right, value = torch.from_numpy(draws.erased).to(device)[:, :, None, None, None].unbind(1)
        at = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) / size
        rows, columns = at[:, None], at[None, :]
        inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        images = torch.where(inside, value, images)
    return images


def mix(values: Tensor, draws: Draws) -> Tensor:
    """Blend each row with its partner's (mixup). Used on images and on targets alike."""
    if draws.mix == 1.0:
        return values
    return torch.lerp(values[torch.from_numpy(draws.partner).to(values.device)], values, draws.mix)
