"""Answers that agree, differ within precision, or are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from edgefer.bench.agreement import Agreement, agreement
from edgefer.imageset import ImageSet
from tests.bench.conftest import measured

SURE = np.eye(7)[[0, 3, 6]] * 0.9 + 0.1 / 7


def test_the_same() -> None:
    assert agreement(measured("a", [[1]], outputs=SURE), measured("b", [[1]], outputs=SURE)) == Agreement(
        3, 3, 0.0, False
    )


@pytest.mark.parametrize(
    ("network", "bounds", "broken"),
    [
        ("n", (1e-5, 1e-5), True),
        ("n", (1e-5, 5e-3), False),  # what half precision explains
        ("m", (1e-5, 1e-5), False),  # another network
        (None, (1e-5, 1e-5), False),
        ("n", (1e-5, None), False),  # int8 has no bound
    ],
)
def test_a_difference_in_a_probability(network: str | None, bounds: tuple[float, float | None], broken: bool) -> None:
    other = SURE.copy()
    other[1, :2] += (1e-3, -1e-3)
    first = measured("a", [[1]], outputs=SURE, network="n", bound=bounds[0])
    found = agreement(first, measured("b", [[1]], outputs=other, network=network, bound=bounds[1]))
    assert found is not None
    assert (found.same_label, found.broken) == (3, broken)
    assert found.max_delta == pytest.approx(1e-3)


def test_a_label_may_flip_only_where_it_was_a_tie() -> None:
    tie = SURE.copy()
    tie[0] = (0.4, 0.4 + 1e-6, 0.2, 0, 0, 0, 0)
    flipped = tie.copy()
    flipped[0, :2] = tie[0, 1], tie[0, 0]
    first, other = (measured(n, [[1]], outputs=o, network="n") for n, o in (("a", tie), ("b", flipped)))
    found = agreement(first, other)
    assert found is not None
    assert (found.same_label, found.broken) == (2, False)
    wide = [measured(n, [[1]], outputs=o, network="n", bound=0.4) for n, o in (("a", SURE), ("b", SURE[[1, 1, 2]]))]
    assert agreement(*wide).same_label == 2  # type: ignore[union-attr]


def test_nan_is_an_infinite_difference() -> None:
    other = SURE.copy()
    other[2, 2] = np.nan
    found = agreement(measured("a", [[1]], outputs=SURE, network="n"), measured("b", [[1]], outputs=other, network="n"))
    assert found is not None
    assert found.max_delta == np.inf
    assert found.broken


def test_labels_alone() -> None:
    first = measured("a", [[1]], outputs=SURE, network="n")
    right = measured("b", [[1]], outputs=["anger", "happiness", "surprise"], network="n")
    wrong = measured("b", [[1]], outputs=["anger", "sadness", "surprise"], network="n")
    assert agreement(first, right) == Agreement(3, 3, None, False)
    assert agreement(first, wrong) == Agreement(3, 2, None, True)
    assert agreement(right, wrong) == Agreement(3, 2, None, True)


def test_other_images_are_not_compared() -> None:
    first = measured("a", [[1]], outputs=SURE)
    assert agreement(first, measured("b", [[1]], outputs=SURE, pool=ImageSet([("a.png", b"")], "one"))) is None
    assert agreement(first, measured("b", [[1]], outputs=SURE[:2])) is None
