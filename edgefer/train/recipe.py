"""A recipe: everything that decides what a training learns, as data.

The two that ship are TOML files in `recipes/`: `paper` is what the paper describes, `strong` is what we measured to
give the highest honest accuracy. Flags of the command line override single values; the recipe that was used is stored
in the checkpoint.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from edgefer.errors import DataError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_CHOICES = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("constant", "plateau", "cosine"),
    "class_weights": ("none", "balanced"),
    "init": ("torch", "kaiming"),
}
_SHARES = (
    "stem_dropout",
    "head_dropout",
    "momentum",
    "label_smoothing",
    "votes",
    "flip",
    "erase",
    "shift",
    "scale",
    "brightness",
    "contrast",
    "ema",
)
_FOLDER = resources.files("edgefer.train") / "recipes"


@dataclass(frozen=True)
class Recipe:
    """What a training does.

    Attributes:
        name: for reports.
        epochs: passes over the training split.
        batch_size: images a step, over all devices together.
        optimizer: "sgd" (Nesterov with `nesterov`) or "adamw".
        learning_rate: the highest one; `schedule` goes from there.
        momentum: of SGD.
        nesterov: Nesterov's momentum, for SGD.
        weight_decay: L2 of SGD, decoupled for AdamW; biases and batch norms are left out with `decay_norms` false.
        decay_norms: whether biases and batch-norm weights decay too (what plain PyTorch optimizers do).
        schedule: "constant"; "plateau" (x0.1 after `patience` epochs without a better validation loss); or "cosine"
            (half a cosine to zero, a value a step).
        warmup_epochs: linear rise from zero at the start; not for "plateau".
        patience: epochs without progress before "plateau" lowers the rate.
        class_weights: "none", or "balanced": n / (classes * n_c), n_c images of class c.
        label_smoothing: share of the target spread evenly over all classes.
        votes: share of the target that comes from the taggers' votes (FER+), where the data has them: the
            probability of each label given the votes, fitted on the training split.
        init: "torch" (PyTorch's defaults) or "kaiming" (He et al. 2015, normal).
        stem_dropout, head_dropout: rates after the first two stem convolutions, and in the classifier. The paper's are
            0.2 and 0.5; dropout ends with training, so they are the recipe's and not the network's.
        flip: probability of a horizontal flip.
        rotate: degrees, drawn from -rotate to rotate.
        scale: relative size, drawn from 1 - scale to 1 + scale.
        shift: in image widths, drawn from -shift to shift, both axes.
        brightness: added, in 0..1 of the value range, drawn from -brightness to brightness.
        contrast: factor around the image's mean, drawn from 1 - contrast to 1 + contrast.
        erase: probability that a rectangle of 2 to 20 % of the area is painted over (Zhong et al. 2017).
        mixup: alpha of the Beta distribution (Zhang et al. 2018), 0 for none.
        ema: decay a step of the exponential moving average of the weights that is validated and kept, 0 for none.
    """

    name: str = "custom"
    epochs: int = 80
    batch_size: int = 16
    optimizer: str = "sgd"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_norms: bool = True
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    patience: int = 5
    class_weights: str = "none"
    label_smoothing: float = 0.0
    votes: float = 0.0
    init: str = "torch"
    stem_dropout: float = 0.2
    head_dropout: float = 0.5
    flip: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    ema: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if kind is float and type(value) is int:
                object.__setattr__(self, field.name, float(value))
            elif type(value) is not kind:
                raise ValueError(f"{field.name} must be {_KINDS[kind]}, not {value!r}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, not {getattr(self, name)}")
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.scale >= 1:
            raise ValueError(f"scale must lie below 1, not {self.scale}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        for name in ("weight_decay", "warmup_epochs", "rotate", "mixup"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Rebuild from `to_dict`, or from a TOML file's content; what is missing keeps its default.

        Raises:
            ValueError: an unknown key, or a value of the wrong type or out of range.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"{unknown[0]} is not part of a recipe")
        return cls(**values)


_KINDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def names() -> tuple[str, ...]:
    """Return the names of the recipes that ship."""
    return tuple(
        sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir() if entry.name.endswith(".toml"))
    )


def load(name: str, **overrides: Any) -> Recipe:
    """Return a recipe that ships, by name, or one of the user's, by the path of a TOML file.

    Args:
        overrides: values that replace the file's; None leaves the file's.

    Raises:
        UsageError: an unknown name, or an override that makes no sense.
        DataError: the file is missing, is not TOML, or does not hold a recipe.
    """
    if name in names():
        text = (_FOLDER / f"{name}.toml").read_text()
    elif name.endswith(".toml"):
        try:
            text = Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{name} cannot be read: {error}.", "pass the path of a recipe's TOML file.") from None
    else:
        raise UsageError(f"{name!r} is not a recipe.", f"use {', '.join(names())}, or the path of a TOML file.")
    try:
        recipe = Recipe.from_dict({"name": Path(name).stem, **tomllib.loads(text)})
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise DataError(f"{name} is not a recipe: {error}.", "see edgefer/train/recipes for two that are.") from None
    chosen = {key: value for key, value in overrides.items() if value is not None}
    try:
        return replace(recipe, **chosen)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the recipe {recipe.name} cannot take that: {error}.", "see edgefer train --help.") from None
