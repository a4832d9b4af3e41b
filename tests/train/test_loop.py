from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.nn import functional as F

from edgefer.data.dataset import ArrayImage, Dataset, Face
from edgefer.data.pack import pack
from edgefer.emotions import EMOTIONS, permutation
from edgefer.errors import DataError, EdgeferError, UsageError
from edgefer.model import checkpoint as checkpoints
from edgefer.model.resemotenet import ResEmoteNet, seeded
from edgefer.preprocess import Preprocess
from edgefer.train import batches, loop
from edgefer.train.config import BEST, LAST, STATE, TrainConfig
from edgefer.train.evaluate import evaluate, predictor
from edgefer.train.fast import TrainingForward
from edgefer.train.recipe import Recipe, load

FORK = multiprocessing.get_context("fork") if os.name == "posix" else None
needs_fork = pytest.mark.skipif(FORK is None, reason="the killed process is a fork of this one")


def weights(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(path)


def leaves(value: Any) -> Any:
    """A nested state with tensors as (shape, bytes), so that == compares bits."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: leaves(item) for key, item in value.items()}
    return [leaves(item) for item in value] if isinstance(value, (list, tuple)) else value


def assert_same_training(one: TrainConfig, two: TrainConfig) -> None:
    """Bit for bit: weights of both checkpoints, optimizer, average, and all figures but the times."""
    for name in (BEST, LAST):
        a, b = weights(one.out / name), weights(two.out / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), name
    a, b = (torch.load(c.out / STATE, weights_only=True)["values"] for c in (one, two))
    for part in ("network", "optimizer", "average", "plateau", "totals"):
        assert leaves(a[part]) == leaves(b[part]), part
    times = ("seconds", "images_per_second")
    rows = [[{k: v for k, v in row.items() if k not in times} for row in values["history"]] for values in (a, b)]
    assert rows[0] == rows[1]


def test_it_learns_and_writes_what_it_says(config: TrainConfig, packed_of: Callable[..., Any]) -> None:
    config = replace(config, packed=packed_of(n=350))
    recipe = Recipe("easy", 8, 10, "adamw", 1e-2, schedule="cosine", ema=0.8, stem_dropout=0.0, head_dropout=0.0)
    result = loop.train(replace(config, recipe=recipe))
    assert result.finished
    assert result.best == config.out / BEST
    assert result.best_accuracy > 0.7  # chance is 0.14
    assert result.best_accuracy == max(row["val_accuracy"] for row in result.history)
    assert result.history[result.best_epoch - 1]["val_accuracy"] == result.best_accuracy
    assert [row["epoch"] for row in result.history] == list(range(1, 9))
    stored = checkpoints.load(result.best)
    assert stored.classes == EMOTIONS
    assert stored.preprocess == Preprocess(16)
    assert stored.training["recipe"] == recipe.to_dict()
    assert stored.training["seed"] == 0
    assert stored.training["data"] == {"dataset": "stripes", "source_sha256": "ab" * 32}
    assert stored.training["versions"]["torch"] == str(torch.__version__)
    report = evaluate(predictor(stored), config.packed, "val")
    assert report.official.accuracy == pytest.approx(result.best_accuracy)
    assert evaluate(predictor(stored), config.packed).official.accuracy > 0.7
    assert json.loads((config.out / "history.json").read_text()) == result.history
    assert (config.out / LAST).is_file()
    assert (config.out / "curves.png").is_file()


@pytest.mark.usefixtures("no_curves")
def test_the_same_seed_gives_the_same_bits_and_another_does_not(config: TrainConfig, tmp_path: Path) -> None:
    again, other = replace(config, out=tmp_path / "again"), replace(config, out=tmp_path / "other", seed=1)
    torch.manual_seed(77)
    before = torch.get_rng_state()
    loop.train(config)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    loop.train(again)
    assert_same_training(config, again)
    loop.train(other)
    one, two = weights(config.out / LAST), weights(other.out / LAST)
    assert not torch.equal(one["fc1.weight"], two["fc1.weight"])


def killed(config: TrainConfig, arm: Callable[[], None]) -> None:
    """Train in a fork of this process until what `arm` prepared kills it with SIGKILL."""

    def child() -> None:
        arm()
        loop.train(config)

    assert FORK is not None
    process = FORK.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(module: Any, name: str, call: int, half: Callable[..., None] | None = None) -> Callable[[], None]:
    """Replace a function so that its `call`-th call kills the process, after `half` has done part of its work."""

    def arm() -> None:
        original, calls = getattr(module, name), 0

        def deadly(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                if half:
                    half(*args, **kwargs)
                die()
            return original(*args, **kwargs)

        setattr(module, name, deadly)

    return arm


def half_a_file(_: Any, path: Path) -> None:
    Path(path).write_bytes(b"PK\x03\x04 half")


@needs_fork
@pytest.mark.usefixtures("no_curves")
def test_killed_at_any_moment_and_resumed_it_is_the_same_training(config: TrainConfig, tmp_path: Path) -> None:
    """Killed in a row: between steps, while a state is half written, between checkpoint and state, and at the start."""
    loop.train(config)
    often = replace(config, out=tmp_path / "killed", save_seconds=0.0, resume=True)
    killed(often, at_call(batches, "training_batch", 3))
    assert torch.load(often.out / STATE, weights_only=True)["values"]["step"] == 2
    killed(often, at_call(torch, "save", 2, half_a_file))
    killed(often, at_call(loop.Logs, "write", 1))
    assert (often.out / BEST).is_file()
    assert torch.load(often.out / STATE, weights_only=True)["values"]["epoch"] == 0
    killed(often, at_call(loop, "read_state", 1))
    killed(replace(often, save_seconds=60.0), at_call(batches, "training_batch", 9))
    loop.train(often)
    assert_same_training(config, often)


@pytest.mark.usefixtures("no_curves")
def test_interrupted_it_ends_after_the_step_and_goes_on(config: TrainConfig, tmp_path: Path) -> None:
    loop.train(config)
    stopped = replace(config, out=tmp_path / "stopped")
    original, calls = batches.training_batch, 0

    def interrupting(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "training_batch", interrupting)
        result = loop.train(stopped)
    assert not result.finished
    assert calls == 9
    assert (result.best_epoch, len(result.history)) == (1, 1)
    state = torch.load(stopped.out / STATE, weights_only=True)["values"]
    assert (state["epoch"], state["step"]) == (1, 3)
    with pytest.raises(UsageError, match="holds a training already") as caught:
        loop.train(stopped)
    assert "--resume" in caught.value.hint
    with pytest.raises(UsageError, match=r"recipe\.flip 0\.0, not 0\.25"):
        loop.train(replace(stopped, resume=True, recipe=replace(config.recipe, flip=0.25)))
    assert loop.train(replace(stopped, resume=True)).finished
    assert_same_training(config, stopped)


@pytest.mark.usefixtures("no_curves")
def test_resuming_what_is_finished_changes_nothing(config: TrainConfig) -> None:
    done = loop.train(config)
    before = (config.out / LAST).read_bytes()
    assert loop.train(replace(config, resume=True)) == done
    assert (config.out / LAST).read_bytes() == before


@pytest.mark.usefixtures("no_curves")
def test_a_step_is_the_plain_one(config: TrainConfig) -> None:
    """One epoch of SGD against a loop written out with torch's own parts: plain network, optimizer and loss."""
    recipe = Recipe(epochs=1, batch_size=10, learning_rate=0.05, class_weights="balanced", flip=0.5)
    loop.train(replace(config, recipe=recipe))
    torch.manual_seed(config.seed)
    network = ResEmoteNet(config.model).train()
    noise = TrainingForward(network).noise
    network.dropout1 = masks = _Masks()
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, foreach=False)
    faces = batches.Faces(config.packed, "train", Preprocess(16), torch.device("cpu"))
    order = batches.epoch_order(100, config.seed, 0)
    for step in range(10):
        rng = batches.step_generator(config.seed, step, 0)
        images, _, labels = batches.training_batch(faces, order[10 * step : 10 * step + 10], recipe, rng)
        torch.manual_seed(int(rng.integers(2**62)))
        masks.list = [(n.float() + 32768 >= 13107) / (1 - 13107 / 65536) for n in noise(10, 16, images.device)]
        counts = torch.bincount(faces.labels, minlength=7)
        loss = F.cross_entropy(network(images), labels, weight=100 / (7 * counts))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = weights(config.out / LAST)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(trained[key], value, rtol=1e-3, atol=1e-4, msg=key)


class _Masks(torch.nn.Module):
    list: list[torch.Tensor]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.list.pop(0)


def test_dropout_is_the_recipes(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, float]] = []

    def look(self: Any, *_: Any) -> None:
        seen.append((self.network.dropout1.p, self.network.dropout2.p))
        self.step = self.steps

    monkeypatch.setattr(loop.Trainer, "train_step", look)
    monkeypatch.setattr(loop.Trainer, "_end_epoch", lambda self, *_: self.interrupt())
    loop.train(replace(config, recipe=Recipe(stem_dropout=0.1, head_dropout=0.3)))
    loop.train(replace(config, recipe=load("paper")))
    assert seen == [(0.1, 0.3), (0.2, 0.5)]


@pytest.mark.usefixtures("no_curves")
def test_plateau_lowers_the_rate(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(epochs=4, batch_size=50, schedule="plateau", patience=1)
    monkeypatch.setattr(loop.Trainer, "_validate", lambda self: (1.0, 0.5))
    result = loop.train(replace(config, recipe=recipe))
    assert [row["learning_rate"] for row in result.history] == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])
    assert result.best_epoch == 1


def test_what_cannot_be_trained(config: TrainConfig, packed_of: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="'resnet' is not a model"):
        loop.train(replace(config, model="resnet"))
    config.packed.splits[config.packed.splits == 1] = 0
    with pytest.raises(DataError, match="no val split"):
        loop.train(config)
    with pytest.raises(EdgeferError, match="the loss became nan in epoch 1") as caught:
        loop.train(replace(config, packed=packed_of(), recipe=Recipe(epochs=1, learning_rate=1e30)))
    assert "learning rate" in caught.value.hint
    assert not (config.out / BEST).exists()


@pytest.mark.usefixtures("no_curves")
def test_bf16_trains(config: TrainConfig) -> None:
    result = loop.train(replace(config, precision="bf16-mixed", recipe=replace(config.recipe, epochs=1)))
    assert np.isfinite(result.history[0]["loss"])
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights(config.out / LAST).values())


def test_two_processes_average_their_gradients(config: TrainConfig, tmp_path: Path) -> None:
    """Two processes over gloo against one that plays both parts: two half batches, and the mean of their gradients."""
    source = config.packed
    names = ("train", "val", "test")
    faces_ = [
        Face(ArrayImage(source.images[..., 0], i, ("made", i)), int(label), names[split], str(i))
        for i, (label, split) in enumerate(zip(source.labels, source.splits, strict=True))
    ]
    packed = pack(Dataset("stripes", faces_, gray=True), Preprocess(16), tmp_path / "packed.safetensors")
    recipe = Recipe(epochs=1, batch_size=50, learning_rate=0.05, flip=0.5, schedule="plateau")
    result = loop.train(replace(config, packed=packed, devices=2, recipe=recipe))
    assert result.finished
    assert 0 <= result.best_accuracy <= 1
    torch.manual_seed(config.seed)
    network = TrainingForward(ResEmoteNet(config.model)).train()
    other = TrainingForward(ResEmoteNet(config.model)).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    faces = batches.Faces(packed, "train", Preprocess(16), torch.device("cpu"))
    order = batches.epoch_order(100, config.seed, 0)
    for step in range(2):
        other.load_state_dict(network.state_dict())
        for rank, net in enumerate((network, other)):
            rng = batches.step_generator(config.seed, step, rank)
            at = order[50 * step : 50 * step + 50][rank::2]
            images, targets, _ = batches.training_batch(faces, at, recipe, rng)
            torch.manual_seed(int(rng.integers(2**62)))
            net.zero_grad()
            F.cross_entropy(net(images, net.noise(25, 16, images.device)), targets).backward()
        for p, q in zip(network.parameters(), other.parameters(), strict=True):
            assert p.grad is not None
            assert q.grad is not None
            p.grad.add_(q.grad).div_(2)
        optimizer.step()
    trained = weights(config.out / LAST)
    for key, value in network.network.state_dict().items():
        torch.testing.assert_close(trained[key], value, rtol=1e-3, atol=1e-4, msg=key)
    state = torch.load(config.out / STATE, weights_only=True)
    assert json.loads(state["identity"])["devices"] == 2


def authors_file(config: TrainConfig, folder: Path) -> Path:
    """A checkpoint of the same widths as the authors save them: tensors only, in their class order."""
    path = folder / "theirs.pth"
    torch.save(seeded(config.model, seed=5).state_dict(), path)
    return path


@pytest.mark.usefixtures("no_curves")
def test_fine_tuning_starts_from_the_checkpoint_in_canonical_order(config: TrainConfig, tmp_path: Path) -> None:
    """With a learning rate of next to nothing the trained network still says what the given one said."""
    start = authors_file(config, tmp_path)
    recipe = Recipe(epochs=1, batch_size=16, learning_rate=1e-12, stem_dropout=0.0, head_dropout=0.0)
    result = loop.train(replace(config, weights=start, recipe=recipe))
    assert result.best is not None
    trained, given = checkpoints.load(result.best), checkpoints.load(start)
    assert trained.classes == EMOTIONS
    assert trained.training["weights"] == given.sha256
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for network in (trained.network, given.network):  # batch statistics: the running ones have moved
        network.train()
        network.dropout1.p = network.dropout2.p = 0.0
    with torch.no_grad():
        expected = given.network(x)[:, permutation(given.classes)]
        torch.testing.assert_close(trained.network(x), expected, rtol=1e-4, atol=1e-4)


def test_fine_tuning_refuses_another_network_and_other_images(config: TrainConfig, tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    torch.save(seeded(replace(config.model, head=(8, 8, 8)), seed=1).state_dict(), other)  # type: ignore[type-var]
    with pytest.raises(UsageError, match="holds another network"):
        loop.train(replace(config, weights=other))
    ours = checkpoints.Checkpoint(seeded(config.model), Preprocess(grayscale=False), EMOTIONS)
    checkpoints.save(ours, tmp_path / "ours.safetensors")
    with pytest.raises(UsageError, match="was trained on"):
        loop.train(replace(config, weights=tmp_path / "ours.safetensors"))


@pytest.mark.usefixtures("no_curves")
def test_a_fine_tuning_is_not_resumed_from_other_weights(config: TrainConfig, tmp_path: Path) -> None:
    start = authors_file(config, tmp_path)
    recipe = replace(config.recipe, epochs=1)
    loop.train(replace(config, weights=start, recipe=recipe))
    with pytest.raises(UsageError, match="trained with weights"):
        loop.train(replace(config, recipe=recipe, resume=True))
