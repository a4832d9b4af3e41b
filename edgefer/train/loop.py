"""The training loop, on Lightning Fabric: one process or many, CPU or GPU, resumable at any step.

The order of an epoch is a function of (seed, epoch); augmentation and dropout of a step are functions of (seed, step,
rank). No generator's state runs through the training, so one that was killed and resumed takes the same steps as one
that was not, and on a CPU ends with the same bits.
"""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn import functional as F

import edgefer
from edgefer.emotions import EMOTIONS, permutation
from edgefer.errors import EdgeferError, UsageError
from edgefer.model import checkpoint as checkpoints
from edgefer.model.resemotenet import PRESETS, Architecture, ResEmoteNet, preset_name
from edgefer.preprocess import Preprocess
from edgefer.train import batches, launch, optimize
from edgefer.train.config import BEST, LAST, STATE, Result, TrainConfig
from edgefer.train.fast import TrainingForward
from edgefer.train.logs import Logs
from edgefer.train.machine import keep_freed_memory
from edgefer.train.progress import Progress
from edgefer.train.state import read_state, write_state

__all__ = ["Result", "TrainConfig", "train"]

_EVALUATE_BATCH = 256
_AGREE_EVERY = 20  # steps between asking the other processes whether one of them was interrupted


def train(config: TrainConfig) -> Result:
    """Train a network; write `best.safetensors`, `last.safetensors`, state, logs and curves to `config.out`.

    Ctrl-C (or SIGTERM) ends it after the step under way, with its state written; a second one ends it at once.

    Raises:
        UsageError: the model, precision or batch size cannot be; `out` holds a training and `resume` was not asked
            for; or what it holds is another training.
        UnavailableError: the accelerator, as many devices, or a compiler is not there.
        DataError: the train or val split is empty.
        EdgeferError: the loss became infinite.
    """
    check(config.model, config.out, config.resume)
    return launch.run(config, _work)


def check(model: str | Architecture, out: Path, resume: bool) -> None:
    """Refuse what can be refused before any data is read.

    Raises:
        UsageError: the model is unknown; `out` holds a training and `resume` was not asked for.
    """
    if isinstance(model, str) and model not in PRESETS:
        raise UsageError(f"{model!r} is not a model.", f"use one of {', '.join(PRESETS)}.")
    if (out / STATE).exists() and not resume:
        raise UsageError(f"{out} holds a training already.", "continue it with --resume, or choose another --out.")


def _work(fabric: Fabric, config: TrainConfig) -> Result:
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        return Trainer(fabric, config).run()


class Trainer:
    """One process of a training. `epoch` counts epochs done, `step` the steps done of the one under way."""

    def __init__(self, fabric: Fabric, config: TrainConfig) -> None:
        self.fabric, self.config, self.recipe = fabric, config, config.recipe
        if config.threads:
            torch.set_num_threads(config.threads)
        keep_freed_memory()
        stored = config.packed.meta["preprocess"]
        self.preprocess = Preprocess.from_dict(json.loads(stored) if isinstance(stored, str) else stored)
        self.faces = batches.Faces(config.packed, "train", self.preprocess, fabric.device)
        self.val = batches.Faces(config.packed, "val", self.preprocess, fabric.device)
        self.local_batch = self._local_batch()
        self.global_batch = self.local_batch * fabric.world_size
        self.steps = len(self.faces) // self.global_batch  # the rest of an epoch's order is left out
        torch.manual_seed(config.seed)
        self.network = ResEmoteNet(config.model)
        self.network.dropout1.p = self.recipe.stem_dropout
        self.network.dropout2.p = self.recipe.head_dropout
        optimize.initialise(self.network, self.recipe.init)
        self.start = self._start_from(config.weights) if config.weights else None
        self.network.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        forward = TrainingForward(self.network)
        self.draw_noise = forward.noise
        compiled: Any = torch.compile(forward) if config.compile else forward
        optimizer = optimize.build_optimizer(self.network, self.recipe)
        self.model, self.optimizer = fabric.setup(compiled, optimizer)
        self.average = optimize.Average(self.network, self.recipe.ema) if self.recipe.ema else None
        self.plateau = optimize.Plateau(self.recipe.patience)
        self.class_weights = self._class_weights()
        self.epoch = self.step = 0
        self.totals = torch.zeros(3, dtype=torch.float64, device=fabric.device)  # loss, right, images
        self.seconds = 0.0  # spent in the epoch under way
        self.history: list[dict[str, Any]] = []
        self.interrupted = False

    def run(self) -> Result:
        """Train from the state there is to the end, or to an interruption."""
        config = self.config
        if config.resume and (config.out / STATE).exists():
            self._restore(read_state(config.out / STATE, self._identity()))
        logs = Logs(config.out)
        shown = Progress(
            config.progress and self.fabric.is_global_zero, self.recipe.epochs, self.steps, self.global_batch
        )
        for note in logs.notes:
            shown.note(note)
        with launch.interruptible(self.interrupt), shown:
            while self.epoch < self.recipe.epochs and not self.interrupted:
                self._epoch(shown, logs)
        logs.close()
        best = self._best()
        finished = self.epoch >= self.recipe.epochs
        if best is None:
            return Result(None, 0, 0.0, [], finished, logs.notes)
        return Result(config.out / BEST, best["epoch"], best["val_accuracy"], self.history, finished, logs.notes)

    def interrupt(self) -> None:
        """Ask for the end after the step under way."""
        self.interrupted = True

    def _epoch(self, shown: Progress, logs: Logs) -> None:
        order = batches.epoch_order(len(self.faces), self.config.seed, self.epoch)
        self.model.train()
        mark = saved = time.monotonic()
        while self.step < self.steps:
            self.train_step(order)
            now = time.monotonic()
            self.seconds, mark = self.seconds + now - mark, now
            shown.step(self.epoch, self.step, self._figures)
            stop, save = self._decide(now - saved > self.config.save_seconds)
            if stop or save:
                self._save()
                mark = saved = time.monotonic()
            if stop:
                return
        self._end_epoch(shown, logs)

    def train_step(self, order: np.ndarray) -> None:
        """Take the step that is due; `order` is the epoch's, int64 [images]."""
        rank, world, n = self.fabric.global_rank, self.fabric.world_size, self.local_batch
        count = self.epoch * self.steps + self.step
        at = order[self.step * n * world : (self.step + 1) * n * world][rank::world]
        rng = batches.step_generator(self.config.seed, count, rank)
        images, targets, labels = batches.training_batch(self.faces, at, self.recipe, rng)
        torch.manual_seed(int(rng.integers(2**62)))  # dropout
        rate = optimize.learning_rate(self.recipe, count, self.steps) * self.plateau.factor
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        logits = self.model(images, self.draw_noise(n, self.faces.size, images.device))
        loss = self._loss(logits, targets)
        self.fabric.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average:
            self.average.update()
        right = (logits.detach().argmax(1) == labels).sum()
        self.totals += torch.stack([loss.detach().double() * n, right.double(), right.new_tensor(n).double()])
        self.step += 1

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self.recipe.label_smoothing
        if self.class_weights is None:
            return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
        total = F.cross_entropy(logits.float(), targets, self.class_weights, reduction="sum", label_smoothing=smoothing)
        return total / (targets * self.class_weights).sum()  # the weighted mean, as torch has it for hard labels

    def _end_epoch(self, shown: Progress, logs: Logs) -> None:
        loss, right, images = self._sum(self.totals)
        if not math.isfinite(loss):
            raise EdgeferError(f"the loss became {loss} in epoch {self.epoch + 1}.", "lower the learning rate.")
        val_loss, val_accuracy = self._validate()
        self.epoch, self.step = self.epoch + 1, 0
        row = {
            "epoch": self.epoch,
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
            "loss": loss / images,
            "accuracy": right / images,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "images_per_second": images / self.seconds,
            "seconds": self.seconds,
        }
        self.history.append(row)
        self.totals.zero_()
        self.seconds = 0.0
        if self.recipe.schedule == "plateau":
            self.plateau.update(val_loss)
        best = self._best() is row
        if self.fabric.is_global_zero:
            if best:
                checkpoints.save(self._checkpoint(row), self.config.out / BEST)
            if self.epoch == self.recipe.epochs:
                checkpoints.save(self._checkpoint(row), self.config.out / LAST)
            logs.write(self.history)
        self._save()  # last: what a kill before this undoes is done again, with the same result
        shown.epoch(row, best)

    def _validate(self) -> tuple[float, float]:
        """Mean loss and accuracy of what would be kept, on the validation split, over all processes."""
        network = (self.average.network if self.average else self.network).eval()
        self._agree_on_statistics(network)
        totals = torch.zeros_like(self.totals)
        rank, world = self.fabric.global_rank, self.fabric.world_size
        with torch.inference_mode():
            for images, labels in batches.plain_batches(self.val, _EVALUATE_BATCH, rank, world):
                logits = network(images).float()
                total = F.cross_entropy(logits, labels, reduction="sum").double()
                right = (logits.argmax(1) == labels).sum().double()
                totals += torch.stack([total, right, total.new_tensor(len(labels))])
        self.network.train()
        sums = self._sum(totals)
        return sums[0] / sums[2], sums[1] / sums[2]

    def _agree_on_statistics(self, network: torch.nn.Module) -> None:
        """Give every process the first one's batch-norm statistics: each has seen other images."""
        if self.fabric.world_size > 1:
            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def _checkpoint(self, row: dict[str, Any]) -> checkpoints.Checkpoint:
        network = self.average.network if self.average else self.network
        state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
        meta, config = self.config.packed.meta, self.config
        training = {
            "recipe": self.recipe.to_dict(),
            "seed": config.seed,
            "data": {"dataset": meta["dataset"], "source_sha256": meta["source_sha256"]},
            "weights": self.start,
            "epoch": row["epoch"],
            "val_accuracy": row["val_accuracy"],
            "devices": self.fabric.world_size,
            "accelerator": self.fabric.device.type,
            "precision": config.precision,
            "compile": config.compile,
            "versions": {
                "edgefer": edgefer.__version__,
                "torch": str(torch.__version__),
                "python": platform.python_version(),
            },
        }
        network = checkpoints.build(state, "the trained network")
        return checkpoints.Checkpoint(network, self.preprocess, EMOTIONS, origin="edgefer", training=training)

    def _identity(self) -> dict[str, Any]:
        """What a state must agree on for its training to be this one."""
        return {
            "recipe": self.recipe.to_dict(),
            "model": preset_name(self.network.architecture) or self.network.architecture.to_dict(),
            "weights": self.start,
            "seed": self.config.seed,
            "data": self.config.packed.meta["source_sha256"],
            "devices": self.fabric.world_size,
        }

    def _save(self) -> None:
        totals = self.totals.new_tensor(self._sum(self.totals))
        if not self.fabric.is_global_zero:
            return
        values = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.network.state_dict() if self.average else {},
            "updates": self.average.updates if self.average else 0,
            "precision": self.fabric.strategy.precision.state_dict(),
            "plateau": self.plateau.state(),
            "epoch": self.epoch,
            "step": self.step,
            "totals": totals.cpu(),
            "history": self.history,
            "seconds": self.seconds,
        }
        write_state(self.config.out / STATE, self._identity(), values)

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.network.load_state_dict(state["average"])
            self.average.updates = state["updates"]
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.plateau.restore(state["plateau"])
        self.epoch, self.step, self.history = state["epoch"], state["step"], state["history"]
        self.seconds = state["seconds"]
        if self.fabric.is_global_zero:  # the sum over all processes: the others start from nothing
            self.totals.copy_(state["totals"])

    def _decide(self, save: bool) -> tuple[bool, bool]:
        """Whether to end here, and whether to save; several processes agree on it now and then."""
        if self.fabric.world_size > 1:
            if self.step % _AGREE_EVERY and self.step < self.steps:
                return False, False
            votes = self._sum(self.totals.new_tensor([self.interrupted, save]))
            self.interrupted, save = votes[0] > 0, votes[1] > 0
        return self.interrupted, save

    def _sum(self, values: Tensor) -> list[float]:
        """Add up a tensor over all processes."""
        total: Any = self.fabric.all_reduce(values.clone(), reduce_op="sum")
        return [float(value) for value in total.tolist()]

    def _figures(self) -> tuple[float, float]:
        loss, right, images = self.totals.tolist()
        return loss / images, right / images

    def _best(self) -> dict[str, Any] | None:
        """The first epoch with the highest validation accuracy."""
        return max(self.history, key=lambda row: row["val_accuracy"], default=None)

    def _start_from(self, path: Path) -> str:
        """Take over a checkpoint's weights, its classes brought into the canonical order; return the file's SHA-256."""
        start = checkpoints.load(path)
        if start.architecture != self.network.architecture:
            raise UsageError(f"{path} holds another network: {start.describe()}.", "leave --model out.")
        if replace(start.preprocess, size=self.preprocess.size) != self.preprocess:  # it adapts to another size
            raise UsageError(
                f"{path} was trained on {start.preprocess}, the data are packed as {self.preprocess}.",
                "start from a checkpoint that was trained on images prepared in the same way.",
            )
        state = start.network.state_dict()
        order = permutation(start.classes)
        for name in ("fc4.weight", "fc4.bias"):
            state[name] = state[name][order]
        self.network.load_state_dict(state)
        return start.sha256

    def _local_batch(self) -> int:
        wanted, world = self.recipe.batch_size, self.fabric.world_size
        if wanted % world:
            raise UsageError(f"a batch of {wanted} does not divide over {world} devices.", "choose a multiple.")
        if len(self.faces) < max(2, world):
            raise UsageError(
                f"{len(self.faces)} training images are too few.", "batch norm needs two or more a device."
            )
        return min(wanted, len(self.faces)) // world

    def _class_weights(self) -> Tensor | None:
        """n / (classes * n_c): "balanced" as scikit-learn has it; a class without images gets that of one image."""
        if self.recipe.class_weights == "none":
            return None
        counts = torch.bincount(self.faces.labels, minlength=len(EMOTIONS)).clamp(min=1)
        return (len(self.faces) / (len(EMOTIONS) * counts)).float().to(self.fabric.device)
