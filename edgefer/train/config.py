"""What to train, on what, where; and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgefer.model.resemotenet import Architecture
from edgefer.train.batches import PackedSet
from edgefer.train.recipe import Recipe

BEST, LAST, STATE = "best.safetensors", "last.safetensors", "state.pt"
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class TrainConfig:
    """What to train, on what, where.

    Attributes:
        packed: the data: its train and val splits are used, test is not looked at.
        out: folder for checkpoints, state, logs and curves.
        recipe: see `edgefer.train.recipe.load`.
        model: a name in `edgefer.model.resemotenet.PRESETS`, or an architecture.
        weights: a checkpoint to start from instead of fresh weights (fine-tuning); `model` must be what it holds.
        seed: of weights, order, augmentation and dropout.
        accelerator: "cpu", "cuda", or "auto" for a GPU where there is one.
        devices: how many a node, or "auto" for all there are.
        nodes: number of machines. With more than one, start the same command on each, under torchrun or SLURM.
        precision: "32-true"; "bf16-mixed" or "16-mixed" (autocast), which pay on a GPU.
        compile: torch.compile the network. On a CPU it needs a C++ compiler, takes a minute, and pays after some ten.
        resume: continue from the state in `out` when there is one.
        threads: of torch on a CPU; None leaves torch its own choice.
        save_seconds: least time between two states within an epoch.
        progress: show it on stderr.
    """

    packed: PackedSet
    out: Path
    recipe: Recipe
    model: str | Architecture = "reference"
    weights: Path | None = None
    seed: int = 0
    accelerator: str = "auto"
    devices: int | str = 1
    nodes: int = 1
    precision: str = "32-true"
    compile: bool = False
    resume: bool = False
    threads: int | None = None
    save_seconds: float = 60.0
    progress: bool = True


@dataclass(frozen=True)
class Result:
    """What came of a training.

    Attributes:
        best: path of the checkpoint with the highest validation accuracy; None before the first epoch has ended.
        best_epoch, best_accuracy: of that checkpoint; epochs count from 1, accuracy is a share.
        history: a mapping an epoch: epoch, learning_rate, loss, accuracy, val_loss, val_accuracy, images_per_second,
            seconds. `accuracy` is that on the augmented images, with dropout.
        finished: false when it was interrupted; `resume` continues it.
        notes: what the user should know, such as an output that could not be written for want of a package.
    """

    best: Path | None
    best_epoch: int
    best_accuracy: float
    history: list[dict[str, Any]] = field(default_factory=list)
    finished: bool = True
    notes: list[str] = field(default_factory=list)
