import pytest

from edgefer.data import DATASETS, load
from edgefer.errors import UsageError


def test_all_data_sets_are_registered():
    assert set(DATASETS) == {"fer2013", "rafdb", "affectnet", "expw", "authors", "folder"}


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="'ck' is not a data set") as caught:
        load(tmp_path, "ck")
    assert "fer2013, rafdb" in caught.value.hint


def test_ferplus_goes_with_fer2013_only(tmp_path):
    with pytest.raises(UsageError, match=r"FER\+ labels FER2013 only"):
        load(tmp_path, "rafdb", ferplus=tmp_path / "fer2013new.csv")
