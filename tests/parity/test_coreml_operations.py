"""Operations whose parameters could be read in two ways, against numpy. The whole program is tested with the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgefer.errors import ArtifactError
from edgefer.parity.coreml_operations import OPERATIONS

X = torch.arange(1, 25, dtype=torch.float32).reshape(1, 1, 4, 6)


def test_padding_begins_with_the_rows() -> None:
    """pad = [top, bottom, left, right] in MIL; torch's own order is the reverse."""
    inputs = {"x": X, "weight": torch.ones(1, 1, 1, 1), "pad_type": "custom", "pad": [1, 2, 0, 3]}
    found = OPERATIONS["conv"]({**inputs, "strides": [1, 1]})[0, 0].numpy()
    np.testing.assert_array_equal(found, np.pad(X[0, 0].numpy(), ((1, 2), (0, 3))))


def test_max_pool_never_takes_the_padding() -> None:
    inputs = {"x": -X, "kernel_sizes": [2, 2], "strides": [2, 2], "pad_type": "custom", "pad": [1, 1, 0, 0]}
    found = OPERATIONS["max_pool"](inputs)[0, 0].numpy()
    np.testing.assert_array_equal(found[0], [-1, -3, -5])
    np.testing.assert_array_equal(found[2], [-19, -21, -23])


def test_expand_dims_counts_axes_in_the_result() -> None:
    assert OPERATIONS["expand_dims"]({"x": torch.zeros(2, 3), "axes": [3, 0]}).shape == (1, 2, 3, 1)


def test_classify() -> None:
    inputs = {"probabilities": torch.tensor([[0.2, 0.7, 0.1]]), "classes": ["a", "b", "c"]}
    label, scores = OPERATIONS["classify"](inputs)
    assert label == "b"
    assert scores == pytest.approx({"a": 0.2, "b": 0.7, "c": 0.1})


@pytest.mark.parametrize(
    ("kind", "inputs", "message"),
    [
        ("conv", {"x": X, "weight": torch.ones(1, 1, 1, 1), "pad_type": "same_lower"}, "pads by same_lower"),
        ("cast", {"x": X, "dtype": "int8"}, "casts to int8"),
    ],
)
def test_what_we_cannot_evaluate_is_named(kind: str, inputs: dict[str, object], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        OPERATIONS[kind](inputs)
