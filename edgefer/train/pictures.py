"""Confusion matrices and training curves as PNG. matplotlib is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgefer.emotions import EMOTIONS
from edgefer.files import replace_file
from edgefer.optional import require
from edgefer.train.metrics import normalize_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150


def confusion_matrix(counts: np.ndarray, path: Path, title: str = "") -> None:
    """Draw a confusion matrix in the form of the paper's figure 3: rows are true classes and sum to 1, so that the
    diagonal is each class's recall.

    Args:
        counts: int [7, 7], row = true class, column = predicted one, in the order of `EMOTIONS`.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    figure = _figure(6.4, 5.6)
    axes = figure.add_subplot()
    shares = normalize_rows(counts)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    totals = counts.sum(axis=1)
    names = [name.capitalize() for name in EMOTIONS]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), [f"{name} ({n})" for name, n in zip(names, totals, strict=True)])
    axes.set_xlabel("Predicted")
    axes.set_ylabel("True (images)")
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.5 else "black"
        text = f"{share:.2f}" if totals[row] else "-"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
    if title:
        axes.set_title(title, fontsize=11)
    bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.04)
    bar.outline.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    _save(figure, path)


def curves(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss and accuracy over the epochs (see `Result.history`), with the best epoch marked.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    figure = _figure(9.6, 3.8)
    epochs = [row["epoch"] for row in history]
    left, right = figure.subplots(1, 2)
    for axes, key, label, factor in ((left, "loss", "Loss", 1), (right, "accuracy", "Accuracy, %", 100)):
        for name, prefix, color in (("train (augmented)", "", "tab:gray"), ("validation", "val_", "tab:blue")):
            values = [factor * row[prefix + key] for row in history]
            axes.plot(epochs, values, color=color, label=name, marker="o" if len(epochs) == 1 else None)
        axes.set_xlabel("Epoch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    best = max(history, key=lambda row: row["val_accuracy"])
    accuracy = 100 * best["val_accuracy"]
    label = f"best: {accuracy:.2f} % at epoch {best['epoch']}"
    right.plot([best["epoch"]], [accuracy], "o", color="tab:red", label=label)
    left.legend(frameon=False)
    right.legend(frameon=False, loc="lower right")
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    """A figure of its own, without pyplot: no window system, nothing global."""
    require(("matplotlib",), "train", "drawing")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    with replace_file(path) as partial:
        figure.savefig(partial, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
