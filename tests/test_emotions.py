"""The canonical order and the orders of the data sets, against what their own documentation says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefer import emotions
from edgefer.emotions import EMOTIONS, canonical, permutation


def test_the_canonical_order_is_the_alphabetical_one_of_the_contract() -> None:
    assert EMOTIONS == ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    assert list(EMOTIONS) == sorted(EMOTIONS)


@pytest.mark.parametrize(
    ("order", "documented"),
    [
        (emotions.FER2013, "Angry Disgust Fear Happy Sad Surprise Neutral"),  # Kaggle's data page, 0 to 6
        (emotions.EXPW, "Angry Disgust Fear Happy Sad Surprise Neutral"),  # readme.txt of ExpW, 0 to 6
        (emotions.RAFDB, "Surprise Fear Disgust Happiness Sadness Anger Neutral"),  # its readme, 1 to 7
        (emotions.AFFECTNET, "Neutral Happiness Sadness Surprise Fear Disgust Anger"),  # its paper, 0 to 6
        (emotions.AUTHORS, "happy surprise sad anger disgust fear neutral"),  # ResEmoteNet's README, 0 to 6
    ],
)
def test_orders_are_those_of_the_sources(order: tuple[str, ...], documented: str) -> None:
    assert [canonical(name) for name in documented.split()] == list(order)
    assert sorted(order) == sorted(EMOTIONS)


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("Angry", "anger"),
        (" HAPPY ", "happiness"),
        ("disgusted", "disgust"),
        ("fearful", "fear"),
        ("sad", "sadness"),
        ("Surprised", "surprise"),
        ("neutral", "neutral"),
        ("contempt", None),
        ("", None),
        ("hap", None),
    ],
)
def test_usual_spellings(spelling: str, expected: str | None) -> None:
    assert canonical(spelling) == expected


@given(st.permutations(EMOTIONS))
def test_permutation_puts_scores_into_canonical_order(order: list[str]) -> None:
    """Whatever the order of the weights, position i of the result is the score of EMOTIONS[i]."""
    scores = {name: float(len(name) * 10 + ord(name[1])) for name in order}
    permuted = np.array([scores[name] for name in order])[permutation(order)]
    assert permuted.tolist() == [scores[name] for name in EMOTIONS]


@pytest.mark.parametrize(
    "order", [EMOTIONS[:6], (*EMOTIONS, "contempt"), (*EMOTIONS[:6], "joy"), (*EMOTIONS[:6], "anger"), ()]
)
def test_an_order_that_is_no_permutation_is_refused(order: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="once each"):
        permutation(order)
