from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from edgefer.errors import DataError
from edgefer.preprocess import Preprocess
from edgefer.train import augment
from edgefer.train.batches import Faces, epoch_order, plain_batches, step_generator, training_batch
from edgefer.train.recipe import Recipe

CPU = torch.device("cpu")


def faces(packed: Any, split: str = "train", preprocess: Preprocess | None = None) -> Faces:
    return Faces(packed, split, preprocess or Preprocess(packed.images.shape[1]), CPU)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("grayscale", [True, False])
def test_plain_batches_are_what_the_preprocessing_says(
    packed_of: Callable[..., Any], channels: int, grayscale: bool
) -> None:
    """`Preprocess.normalize`, which artifacts are compared with, is the oracle."""
    packed = packed_of(channels=channels)
    if channels == 3:
        packed.images[..., 1] //= 2
    preprocess = Preprocess(16, grayscale=grayscale, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    images, labels = next(plain_batches(faces(packed, "val", preprocess), 256))
    val = packed.splits == 1
    rgb = np.repeat(packed.images[val], 3, axis=3) if channels == 1 else packed.images[val]
    np.testing.assert_allclose(images.numpy(), preprocess.normalize(rgb), atol=2e-6)
    np.testing.assert_array_equal(labels.numpy(), packed.labels[val])
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_plain_batches_share_a_split_between_processes(packed: Any) -> None:
    val = faces(packed, "val")
    alone = torch.cat([labels for _, labels in plain_batches(val, 6)])
    shared = [torch.cat([labels for _, labels in plain_batches(val, 6, rank, 3)]) for rank in range(3)]
    assert sorted(torch.cat(shared).tolist()) == sorted(alone.tolist())
    assert len(alone) == len(val)


def test_a_split_that_is_not_there(packed: Any) -> None:
    packed.splits[:] = 0
    with pytest.raises(DataError, match="no val split"):
        faces(packed, "val")


def test_targets_blend_labels_and_votes(packed: Any) -> None:
    """Votes that are the same for two labels mean the labels' shares among the images that got them."""
    mixed = packed.labels <= 2
    packed.votes[mixed] = [0.3, 0.6, 0, 0, 0, 0, 0]
    packed.votes[0] = 0
    train = faces(packed)
    at = np.array([0, 1, 8])
    hard, soft = train.targets(at, 0.0).numpy(), train.targets(at, 0.3).numpy()
    np.testing.assert_array_equal(hard, np.eye(7)[[0, 1, 1]])
    counts = np.bincount(packed.labels[(packed.splits == 0) & mixed & (packed.votes.sum(1) > 0)], minlength=7)
    np.testing.assert_allclose(soft[1], 0.7 * np.eye(7)[1] + 0.3 * counts / counts.sum(), atol=2e-3)
    np.testing.assert_array_equal(soft[0], np.eye(7)[0])  # nobody voted for one of the seven
    packed.votes = None
    np.testing.assert_array_equal(faces(packed).targets(at, 0.3).numpy(), hard)


def test_a_training_batch_is_the_augmentation_of_its_images(packed: Any) -> None:
    recipe = Recipe(flip=0.5, rotate=8.0, erase=0.5, mixup=1.0, votes=0.5)
    train, at = faces(packed), np.array([3, 1, 4, 15])
    images, targets, labels = training_batch(train, at, recipe, step_generator(0, 7, 0))
    draws = augment.draw(recipe, 4, step_generator(0, 7, 0))
    raw = torch.from_numpy(packed.images[packed.splits == 0][at]).permute(0, 3, 1, 2).float() / 255
    mixed = augment.mix(augment.change(raw, draws), draws)
    mean, std = (torch.tensor(v)[:, None, None] for v in (train.preprocess.mean, train.preprocess.std))
    torch.testing.assert_close(images, (mixed - mean) / std, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
    heavier = at if draws.mix >= 0.5 else at[draws.partner]
    np.testing.assert_array_equal(labels.numpy(), packed.labels[packed.splits == 0][heavier])


def test_order_and_draws_are_functions_of_their_arguments() -> None:
    order = epoch_order(50, seed=3, epoch=2)
    assert sorted(order.tolist()) == list(range(50))
    np.testing.assert_array_equal(order, epoch_order(50, seed=3, epoch=2))
    for other in (epoch_order(50, 3, 3), epoch_order(50, 4, 2)):
        assert not np.array_equal(order, other)
    draws = {step_generator(*key).random() for key in ((0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 1, 0))}
    assert len(draws) == 4
    assert step_generator(0, 1, 0).random() in draws
