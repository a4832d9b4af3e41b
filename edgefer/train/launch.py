"""Start one process a device with Lightning Fabric, and end them all cleanly on Ctrl-C."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from lightning.fabric import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException

from edgefer.errors import EdgeferError, UnavailableError, UsageError
from edgefer.train.config import PRECISIONS, TrainConfig

T = TypeVar("T")


def run(config: TrainConfig, work: Callable[[Fabric, TrainConfig], T]) -> T:
    """Call `work(fabric, config)` in as many processes as there are devices; return what the first one returns.

    On one machine the processes are started here. Under torchrun or SLURM they are there already. On several machines
    without either, Fabric starts the command line again for each device.

    Raises:
        UnavailableError: the accelerator, as many devices, or the compiler is not there.
        UsageError: a precision that does not exist, or not on this accelerator.
    """
    if config.precision not in PRECISIONS:
        raise UsageError(f"{config.precision!r} is not a precision.", f"use one of {', '.join(PRECISIONS)}.")
    if config.accelerator == "mps":
        raise UnavailableError("training on Apple's GPU is not supported.", "use --accelerator cpu or cuda.")
    if config.accelerator == "auto":
        config = replace(config, accelerator="cuda" if torch.cuda.is_available() else "cpu")
    if config.precision == "16-mixed" and not torch.cuda.is_available():
        raise UnavailableError("16-mixed needs an NVIDIA GPU.", "use 32-true, or bf16-mixed.")
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # it tells of every process that joined
    spawning = config.nodes == 1 and not _started_from_outside() and _count(config) > 1
    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            precision=config.precision,  # type: ignore[arg-type]
            strategy="ddp_spawn" if spawning else "auto",
        )
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        wanted = f"accelerator {config.accelerator}, devices {config.devices}, precision {config.precision}"
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UnavailableError(
            f"{wanted}: {reason}.", "edgefer doctor lists what there is; --accelerator cpu is always."
        ) from None
    if config.precision == "16-mixed" and fabric.device.type != "cuda":
        raise UnavailableError("16-mixed needs an NVIDIA GPU.", "use 32-true, or bf16-mixed.")
    if config.compile and fabric.device.type == "cpu" and not _has_compiler():
        raise UnavailableError("compiling for a CPU needs a C++ compiler.", "install g++, or leave --compile out.")
    if not spawning:
        fabric.launch()
        return work(fabric, config)
    with _forwarding_signals():
        outcome: _Outcome = fabric.launch(
            functools.partial(_in_child, work, replace(config, packed=_portable(config.packed)))
        )
    if isinstance(outcome.value, EdgeferError):
        raise outcome.value
    result: T = outcome.value
    return result


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a call of `stop`; the second does what it always does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: Any) -> None:
        stop()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Outcome:
    """What a child hands back: a result, or an error of ours; Lightning cannot carry a bare frozen dataclass."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _in_child(work: Callable[[Fabric, TrainConfig], Any], config: TrainConfig, fabric: Fabric) -> _Outcome:
    opened: Any = config.packed
    try:
        return _Outcome(work(fabric, replace(config, packed=opened() if callable(opened) else opened)))
    except EdgeferError as error:  # all processes meet the same one: none is left waiting
        return _Outcome(error)


def _portable(packed: Any) -> Any:
    """What to send to another process: how to open the file again rather than a copy of a memory map."""
    if hasattr(type(packed), "open") and hasattr(packed, "path"):
        return functools.partial(type(packed).open, packed.path)
    return packed


@contextmanager
def _forwarding_signals() -> Iterator[None]:
    """While the children work, hand them SIGINT and SIGTERM as SIGTERM, and wait: they end by themselves."""

    def forward() -> None:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)

    with interruptible(forward):
        yield


def _started_from_outside() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1


def _count(config: TrainConfig) -> int:
    if isinstance(config.devices, int):
        return config.devices
    if config.devices.isdigit():
        return int(config.devices)
    return torch.cuda.device_count() if config.accelerator in ("cuda", "gpu") else 1


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++", "cl"))
