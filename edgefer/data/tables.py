"""The class counts of the paper's tables I and II, and a comparison in words.

Source: Roy et al., "ResEmoteNet: Bridging Accuracy and Loss Reduction in Facial Emotion Recognition"
(arXiv 2409.10545). For FER2013 the counts are those of the official file: the paper's table II lists the right numbers
of its private-test split under the wrong classes.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgefer.emotions import EMOTIONS

# Columns in the order of EMOTIONS: anger, disgust, fear, happiness, neutral, sadness, surprise.
COUNTS: dict[str, dict[str, tuple[int, ...]]] = {
    "fer2013": {
        "train": (3995, 436, 4097, 7215, 4965, 4830, 3171),
        "val": (467, 56, 496, 895, 607, 653, 415),
        "test": (491, 55, 528, 879, 626, 594, 416),
    },
    "rafdb": {
        "train": (705, 717, 281, 4772, 2524, 1982, 1290),
        "test": (162, 160, 74, 1185, 680, 478, 329),
    },
    "affectnet": {
        "train": (24882, 3803, 6378, 134415, 74874, 25459, 14090),
        "test": (500, 500, 500, 500, 500, 500, 500),
    },
    "expw": {
        "train": (2569, 2796, 761, 21375, 24418, 7391, 4943),
        "test": (364, 396, 108, 3024, 3454, 1046, 699),
    },
}

PERMUTED = (
    "The paper's table II lists FER2013's private-test counts under the wrong classes (its column is permuted); "
    "compared here with the true counts."
)


def differences(name: str, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Compare counts {split: {class: n}} with the tables; return sentences, empty where everything agrees.

    For FER2013 the first sentence is always the one about the paper's permuted column: whoever compares by hand will
    stumble over it. Data sets without a table ("folder", "authors") have nothing to differ from.
    """
    expected = COUNTS.get(name)
    if expected is None:
        return []
    sentences = [PERMUTED] if name == "fer2013" else []
    for split, row in expected.items():
        found = [counts.get(split, {}).get(emotion, 0) for emotion in EMOTIONS]
        if not any(found):
            sentences.append(f"{split}: no images; the table has {sum(row):,}.")
            continue
        wrong = [
            f"{emotion} {n:,} (table {table:,})"
            for emotion, n, table in zip(EMOTIONS, found, row, strict=True)
            if n != table
        ]
        if wrong:
            sentences.append(f"{split}: {sum(found):,} images, the table has {sum(row):,}: {', '.join(wrong)}.")
    return sentences
