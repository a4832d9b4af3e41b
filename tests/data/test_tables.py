from edgefer.data.tables import COUNTS, differences
from edgefer.emotions import EMOTIONS

# By name and in other words than in the module: official FER2013, and the papers of the data sets.
TOTALS = {
    ("fer2013", "train"): 28709,
    ("fer2013", "val"): 3589,
    ("fer2013", "test"): 3589,
    ("rafdb", "train"): 12271,
    ("rafdb", "test"): 3068,
    ("affectnet", "train"): 283901,
    ("affectnet", "test"): 3500,
}


def table(name):
    return {split: dict(zip(EMOTIONS, row, strict=True)) for split, row in COUNTS[name].items()}


def test_the_columns_sum_to_the_published_totals():
    for (name, split), total in TOTALS.items():
        assert sum(COUNTS[name][split]) == total


def test_counts_stand_under_the_right_class():
    assert table("fer2013")["test"] == {
        "anger": 491, "disgust": 55, "fear": 528, "happiness": 879, "sadness": 594, "surprise": 416, "neutral": 626,
    }  # fmt: skip
    assert table("rafdb")["train"]["neutral"] == 2524
    assert table("affectnet")["train"]["surprise"] == 14090
    assert table("expw")["test"]["sadness"] == 1046


def test_equal_counts_have_no_differences_but_fer2013_is_told_about_the_permuted_column():
    assert differences("rafdb", table("rafdb")) == []
    (only,) = differences("fer2013", table("fer2013"))
    assert "private-test counts under the wrong classes" in only


def test_differences_are_told_in_words():
    counts = table("rafdb")
    counts["train"]["fear"] -= 1
    counts["test"] = dict.fromkeys(EMOTIONS, 0)
    assert differences("rafdb", counts) == [
        "train: 12,270 images, the table has 12,271: fear 280 (table 281).",
        "test: no images; the table has 3,068.",
    ]


def test_a_data_set_without_a_table_differs_from_nothing():
    assert differences("folder", table("rafdb")) == []
