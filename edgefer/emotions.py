"""The seven classes, their one canonical order, and the order of every data set.

Outside `edgefer.data` a class index always means a position in `EMOTIONS`. Weights carry the order they were trained
in, and exports permute it into the canonical one.
"""

from __future__ import annotations

from collections.abc import Sequence

EMOTIONS: tuple[str, ...] = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")

# Label order of each source; position = the integer found in its files. RAF-DB counts from 1 (position 0 is class 1).
FER2013 = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
RAFDB = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
EXPW = FER2013
# The order of the paper authors' csv files, and so of their checkpoints.
AUTHORS = ("happiness", "surprise", "sadness", "anger", "disgust", "fear", "neutral")

_SPELLINGS = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}


def canonical(name: str) -> str | None:
    """Return the canonical class for a usual spelling ("Angry", "happy", "sadness"), or None when it is none."""
    key = name.strip().lower()
    key = _SPELLINGS.get(key, key)
    return key if key in EMOTIONS else None


def permutation(order: Sequence[str]) -> list[int]:
    """Return `p` such that `scores[p]` is in canonical order when `scores` is in `order`.

    Raises:
        ValueError: `order` is not a permutation of `EMOTIONS`.
    """
    if sorted(order) != sorted(EMOTIONS):
        raise ValueError(f"a class order must hold {', '.join(EMOTIONS)} once each, not {', '.join(order)}")
    return [list(order).index(name) for name in EMOTIONS]
