"""Packed faces -> augmented, normalised batches with their targets, on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError
from edgefer.preprocess import LUMA, Preprocess
from edgefer.train import augment
from edgefer.train.recipe import Recipe
from edgefer.train.votes import to_label_probabilities

SPLITS = ("train", "val", "test")
_DEVICE_SHARE = 0.5  # of the free device memory that the packed set may take


class PackedSet(Protocol):
    """What training and evaluation need of a packed data set; `edgefer.data.Packed` is one."""

    @property
    def images(self) -> np.ndarray:
        """uint8 [N, S, S, C], C = 1 (gray) or 3 (RGB)."""

    @property
    def labels(self) -> np.ndarray:
        """int64 [N], index into `EMOTIONS`."""

    @property
    def splits(self) -> np.ndarray:
        """uint8 [N], index into `SPLITS`."""

    @property
    def votes(self) -> np.ndarray | None:
        """float32 [N, 7], share of the taggers for each class; rows of zeros where nobody chose one of them."""

    @property
    def clean(self) -> np.ndarray | None:
        """bool [N], test images without a copy in training."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """Among others `dataset`, `source_sha256` and `preprocess`."""


class Faces:
    """One split of a packed set, on the device when it fits there.

    Args:
        device: where batches are wanted.
        split: "train", "val" or "test".

    Raises:
        DataError: the split is empty.
    """

    def __init__(self, packed: PackedSet, split: str, preprocess: Preprocess, device: torch.device) -> None:
        rows = np.flatnonzero(packed.splits == SPLITS.index(split))
        if not len(rows):
            raise DataError(f"the data set has no {split} split.", "pack one that has train, val and test images.")
        self.device, self.preprocess = device, preprocess
        self.rows, self._stored = rows, packed.images
        self.labels = torch.from_numpy(packed.labels[rows])
        self._votes = packed.votes
        self.size, channels = packed.images.shape[1], packed.images.shape[3]
        self.on_device = device.type != "cpu" and len(rows) * self.size**2 * channels < _DEVICE_SHARE * _free(device)
        self._images = torch.from_numpy(packed.images[rows]).to(device) if self.on_device else None

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, at: np.ndarray) -> Tensor:
        """Return float32 [n, C, S, S] in 0..1 on the device; C is 1 where the network looks at gray."""
        if self._images is not None:
            raw = self._images[torch.from_numpy(at).to(self.device)]
        else:
            raw = torch.from_numpy(self._stored[self.rows[at]])
            raw = raw.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else raw
        values = raw.to(torch.float32).div_(255)
        if self.preprocess.grayscale and values.shape[3] == 3:
            values = (values @ values.new_tensor(LUMA))[..., None]
        return values.permute(0, 3, 1, 2)

    def normalize(self, images: Tensor) -> Tensor:
        """Do what the graph of an artifact does after gray: [n, C, S, S] in 0..1 -> normalised [n, 3, S, S]."""
        mean, std = (images.new_tensor(v)[:, None, None] for v in (self.preprocess.mean, self.preprocess.std))
        return ((images - mean) / std).contiguous(memory_format=torch.channels_last)

    def targets(self, at: np.ndarray, votes_share: float) -> Tensor:
        """Return float32 [n, 7]: one-hot labels, blended with what the votes say where there are any."""
        index = torch.from_numpy(at)
        hard = torch.nn.functional.one_hot(self.labels[index], len(EMOTIONS)).float()
        if votes_share and self._soft_labels is not None:
            hard = torch.lerp(hard, self._soft_labels[index], votes_share)
        return hard.to(self.device)

    @cached_property
    def _soft_labels(self) -> Tensor | None:
        """float32 [len(self), 7]: the label as the votes tell it, one-hot where nobody voted for one of the seven."""
        if self._votes is None:
            return None
        soft = torch.nn.functional.one_hot(self.labels, len(EMOTIONS)).float()
        given = torch.from_numpy(self._votes[self.rows])
        voted = given.sum(1) > 0
        if voted.any():
            soft[voted] = to_label_probabilities(given[voted], self.labels[voted], len(EMOTIONS))
        return soft


def training_batch(
    faces: Faces, at: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return augmented images [n, 3, S, S], targets float32 [n, 7], and the labels int64 [n] that count as right."""
    draws = augment.draw(recipe, len(at), rng)
    images = augment.mix(augment.change(faces.images(at), draws), draws)
    targets = augment.mix(faces.targets(at, recipe.votes), draws)
    labels = faces.labels[torch.from_numpy(at)].to(faces.device)
    if draws.mix < 0.5:
        labels = labels[torch.from_numpy(draws.partner).to(faces.device)]
    return faces.normalize(images), targets, labels


def plain_batches(faces: Faces, size: int, rank: int = 0, world: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this rank's share of the split, unchanged: normalised images and labels."""
    mine = np.arange(rank, len(faces), world)
    for start in range(0, len(mine), size):
        at = mine[start : start + size]
        yield faces.normalize(faces.images(at)), faces.labels[torch.from_numpy(at)].to(faces.device)


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return int64 [n], the order of one epoch: a function of seed and epoch alone."""
    return np.random.default_rng((seed, 1, epoch)).permutation(n)


def step_generator(seed: int, step: int, rank: int) -> np.random.Generator:
    """Return the generator of one step on one device: a function of its arguments alone."""
    return np.random.default_rng((seed, 2, step, rank))


def _free(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
