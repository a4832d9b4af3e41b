from __future__ import annotations

from pathlib import Path

import pytest

from edgefer.errors import DataError, UsageError
from edgefer.train.recipe import Recipe, load, names


def test_the_paper_recipe_is_the_papers() -> None:
    """Section III-B of the paper: 80 epochs, batch 16, SGD 1e-3 with momentum 0.9, flip, class weights, x0.1."""
    recipe = load("paper")
    assert (recipe.epochs, recipe.batch_size, recipe.optimizer) == (80, 16, "sgd")
    assert (recipe.learning_rate, recipe.momentum, recipe.nesterov) == (1e-3, 0.9, False)
    assert (recipe.class_weights, recipe.schedule, recipe.flip) == ("balanced", "plateau", 0.5)
    assert (recipe.stem_dropout, recipe.head_dropout) == (0.2, 0.5)
    assert (recipe.mixup, recipe.erase, recipe.ema, recipe.rotate, recipe.votes) == (0, 0, 0, 0, 0)


def test_both_recipes_ship_and_survive_a_round_trip() -> None:
    assert set(names()) >= {"paper", "strong"}
    for name in names():
        recipe = load(name)
        assert recipe.name == name
        assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_overrides_replace_and_none_does_not() -> None:
    recipe = load("strong", epochs=3, batch_size=None, learning_rate=1)
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (3, load("strong").batch_size, 1.0)
    assert isinstance(recipe.learning_rate, float)


def test_a_file_of_the_users(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('epochs = 5\nschedule = "cosine"\n')
    assert load(str(path)) == Recipe(name="mine", epochs=5, schedule="cosine")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epochs = ", "not a recipe"),
        ("epoch = 3", "epoch is not part of a recipe"),
        ("epochs = 2.5", "epochs must be a whole number"),
        ("epochs = true", "epochs must be a whole number"),
        ("flip = 1.5", "flip must lie in 0..1"),
        ("head_dropout = 1.1", "head_dropout must lie in 0..1"),
        ("ema = 2", "ema must lie in 0..1"),
        ('optimizer = "lion"', "optimizer must be one of sgd, adamw"),
        ("batch_size = 0", "batch_size must be at least 1"),
        ("learning_rate = 0", "learning_rate must be above 0"),
        ("learning_rate = nan", "learning_rate must be above 0"),
        ("mixup = -1", "mixup must be 0 or more"),
        ("scale = 1", "scale must lie below 1"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        load(str(path))
    assert str(path) in str(caught.value)


def test_names_and_overrides_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="'strongest' is not a recipe") as caught:
        load("strongest")
    assert "paper, strong" in caught.value.hint
    with pytest.raises(UsageError, match="epochs must be at least 1"):
        load("paper", epochs=0)
    with pytest.raises(UsageError, match="cannot take that"):
        load("paper", epoch=3)
    with pytest.raises(DataError, match=r"nowhere\.toml cannot be read"):
        load("nowhere.toml")
