"""Optimizer, learning-rate schedule, weight initialisation and moving average."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from edgefer.train.recipe import Recipe

_PLATEAU_FACTOR = 0.1
_PLATEAU_MARGIN = 1e-4  # relative, as in torch's ReduceLROnPlateau


def initialise(network: nn.Module, how: str) -> None:
    """Draw fresh weights from torch's global generator: "torch" leaves the defaults, "kaiming" is He et al. 2015."""
    if how == "torch":
        return
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out" if isinstance(module, nn.Conv2d) else "fan_in")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, module in network.named_modules():
        if name == "fc4" and isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)  # start from even probabilities


def build_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the recipe's optimizer over the network's parameters."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    fused = parameters[0].device.type in ("cpu", "cuda")  # one pass over the weights instead of one an operation
    groups: list[dict[str, Any]] = [{"params": parameters, "weight_decay": recipe.weight_decay}]
    if not recipe.decay_norms:
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused
        )
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=fused)


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return the rate of a step (counted from 0); for "plateau", before its reductions."""
    if recipe.schedule == "plateau":
        return recipe.learning_rate
    warmup = recipe.warmup_epochs * steps_per_epoch
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return recipe.learning_rate
    total = recipe.epochs * steps_per_epoch
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


class Plateau:
    """x0.1 after `patience` epochs in a row without a lower validation loss (the rule of torch's ReduceLROnPlateau)."""

    def __init__(self, patience: int) -> None:
        self.patience, self.best, self.stale, self.factor = patience, float("inf"), 0, 1.0

    def update(self, loss: float) -> None:
        """Take an epoch's validation loss into account."""
        if loss < self.best * (1 - _PLATEAU_MARGIN):
            self.best, self.stale = loss, 0
        else:
            self.stale += 1
        if self.stale > self.patience:
            self.factor, self.stale = self.factor * _PLATEAU_FACTOR, 0

    def state(self) -> dict[str, Any]:
        """Return plain values for a state file."""
        return {"best": self.best, "stale": self.stale, "factor": self.factor}

    def restore(self, state: dict[str, Any]) -> None:
        """Take the values of `state`."""
        self.best, self.stale, self.factor = state["best"], state["stale"], state["factor"]


class Average:
    """Exponential moving average of a network's weights and batch-norm statistics.

    The decay rises as min(decay, (1 + n) / (10 + n)) over the updates n, so that the start is forgotten early.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._to, self._from = _tensors(self.network), _tensors(network)

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the network's present weights."""
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._to, self._from, weight)
        self.updates += 1


def _tensors(network: nn.Module) -> list[Tensor]:
    return [t.detach() for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
