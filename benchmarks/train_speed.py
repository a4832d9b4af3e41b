"""Images a second in training: a loop in the manner of the paper authors' against ours, on the same network and batch.

    python benchmarks/train_speed.py --models quarter reference --out benchmarks/results

Theirs, as in their released code: images in files, PIL resize and gray, horizontal flip, a DataLoader of batches of
16, the network as written, SGD, loss and accuracy read after every step. Ours: the paper's recipe (the same batch,
optimizer and flip) through the code that `edgefer train` runs, without and with --compile; and the recipe `strong` at
its own batch size, which does more to each image. One process a candidate, all on the same number of threads, in turn
in one run; ratios are medians of the ratios round by round. No face data is needed: smooth random images of 48 x 48
pixels stand in.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from edgefer.bench import environment
from edgefer.bench.measure import interleave
from edgefer.bench.statistics import paired_ratio
from edgefer.files import replace_file

IMAGES = 512
BASE = "in the authors' manner"
CANDIDATES: dict[str, dict[str, Any]] = {
    BASE: {},
    "edgefer": {"recipe": "paper", "compile": False},
    "edgefer --compile": {"recipe": "paper", "compile": True},
    "edgefer --recipe strong --compile": {"recipe": "strong", "compile": True},
}


def faces() -> tuple[np.ndarray, np.ndarray]:
    """Stand-ins for FER2013's faces: uint8 [n, 48, 48] with structure at the scale of eyes, and labels."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (IMAGES, 12, 12), dtype=np.uint8)
    return np.stack([cv2.resize(c, (48, 48), interpolation=cv2.INTER_CUBIC) for c in coarse]), np.arange(IMAGES) % 7


def their_steps(folder: Path, model: str, accelerator: str, workers: int) -> tuple[Callable[[], None], int]:
    """The authors' loop: returns a function that takes one step, and the images of a step."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from edgefer.model.resemotenet import ResEmoteNet
    from edgefer.preprocess import IMAGENET_MEAN, IMAGENET_STD

    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))

    class Files(Dataset):
        def __len__(self) -> int:
            return IMAGES

        def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
            image: Any = Image.open(folder / f"{row}.png").convert("RGB")
            image = image.resize((64, 64), Image.Resampling.BILINEAR).convert("L").convert("RGB")
            if torch.rand(1) < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
            return (pixels - mean) / std, row % 7

    device = torch.device("cuda" if accelerator == "cuda" else "cpu")
    network = ResEmoteNet(model).to(device).train()
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(Files(), batch_size=16, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    batches = iter(loader)
    totals = [0.0, 0, 0]

    def step() -> None:
        nonlocal batches
        try:
            inputs, labels = next(batches)
        except StopIteration:
            batches = iter(loader)
            inputs, labels = next(batches)
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = network(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        totals[0] += loss.item()
        totals[1] += labels.size(0)
        totals[2] += (outputs.argmax(1) == labels).sum().item()

    return step, 16


def our_steps(
    folder: Path, model: str, accelerator: str, recipe: str, compile: bool, threads: int
) -> tuple[Callable[[], None], int]:
    """Our loop, the same: a function that takes one step, and the images of a step."""
    import torch
    from lightning.fabric import Fabric

    from edgefer.preprocess import Preprocess
    from edgefer.train.batches import epoch_order
    from edgefer.train.config import TrainConfig
    from edgefer.train.loop import Trainer
    from edgefer.train.recipe import load

    images, labels = faces()
    preprocess = Preprocess()
    resized = np.stack([preprocess(np.repeat(image[..., None], 3, axis=2))[..., :1] for image in images])
    splits = np.zeros(IMAGES, np.uint8)
    splits[:7] = 1
    meta = {"dataset": "stand-ins", "source_sha256": "", "preprocess": preprocess.to_dict()}
    packed = SimpleNamespace(images=resized, labels=labels, splits=splits, votes=None, clean=None, meta=meta)
    config = TrainConfig(
        packed,
        folder / "out",
        load(recipe),
        model,
        accelerator=accelerator,
        compile=compile,
        threads=threads,
        progress=False,
    )
    fabric = Fabric(accelerator=accelerator, devices=1)
    fabric.launch()
    trainer = Trainer(fabric, config)
    trainer.model.train()

    def step() -> None:
        if trainer.step == trainer.steps:
            trainer.epoch, trainer.step = trainer.epoch + 1, 0
        trainer.train_step(epoch_order(len(trainer.faces), 0, trainer.epoch))
        if accelerator == "cuda":
            torch.cuda.synchronize()

    return step, trainer.global_batch


def worker(pipe: Connection, folder: Path, model: str, settings: dict[str, Any], machine: dict[str, Any]) -> None:
    """A candidate in its own process: says how many images a step has, then takes as many steps as it is told to."""
    import torch

    torch.set_num_threads(machine["threads"])
    torch.manual_seed(0)
    if settings:
        step, images = our_steps(folder, model, machine["accelerator"], threads=machine["threads"], **settings)
    else:
        step, images = their_steps(folder, model, machine["accelerator"], machine["workers"])
    pipe.send(images)
    while (count := pipe.recv()) is not None:
        for _ in range(count):
            step()
        pipe.send(True)


def measure(
    folder: Path, model: str, names: list[str], machine: dict[str, Any], seconds: float
) -> list[dict[str, Any]]:
    """Run the candidates in turn for about `seconds` and return a row for each."""
    context = multiprocessing.get_context("spawn")
    pipes, processes, images = {}, [], {}
    for name in names:
        pipes[name], theirs = context.Pipe()
        process = context.Process(target=worker, args=(theirs, folder, model, CANDIDATES[name], machine), daemon=True)
        process.start()
        processes.append(process)
        images[name] = pipes[name].recv()  # one after the other: starting is not measured
    longest = max(images.values())
    steps = {name: max(1, longest // images[name]) for name in names}  # about as many images a round for each

    def call(name: str) -> None:
        pipes[name].send(steps[name])
        pipes[name].recv()

    calls: dict[str, Callable[[], object]] = {name: partial(call, name) for name in names}
    trial = interleave(calls, rounds=1, warmup=2)
    rounds = max(5, int(seconds / sum(float(s[0]) for s in trial.values())))
    samples = interleave(calls, rounds, warmup=0)
    for name, process in zip(names, processes, strict=True):
        pipes[name].send(None)
        process.join(30)
    each = {name: samples[name] / (steps[name] * images[name]) for name in names}
    rows = []
    for name in names:
        ratio, low, high = paired_ratio(each[BASE], each[name])
        rate = 1 / float(np.median(each[name]))
        row = {"model": model, "candidate": name, "batch": images[name], "images_per_second": rate, "ratio": ratio}
        rows.append({**row, "low": low, "high": high, "rounds": rounds, "seconds_per_image": each[name].tolist()})
        print(
            f"{model:10} {name:34} batch {images[name]:>3} {rate:8.1f} images/s  {ratio:5.2f} [{low:.2f}, {high:.2f}]"
        )
    return rows


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["quarter", "reference"])
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES))
    parser.add_argument(
        "--accelerator", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"]
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, default=0, help="of the authors' DataLoader; theirs has none")
    parser.add_argument("--seconds", type=float, default=60, help="for each model")
    parser.add_argument("--out", type=Path, default=None, help="folder for the JSON")
    parser.add_argument("--machine", help="name for the result file (default: made from the processor's)")
    a = parser.parse_args()
    names = [BASE, *(name for name in a.candidates if name != BASE)]
    settings = {"threads": a.threads, "accelerator": a.accelerator, "workers": a.workers}
    about = environment.record()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for row, image in enumerate(faces()[0]):
            cv2.imwrite(str(Path(folder) / f"{row}.png"), image)
        for model in a.models:
            rows += measure(Path(folder), model, names, settings, a.seconds)
    date = about["time_utc"][:10]
    values = {
        "date": date,
        "command": shlex.join(["python", "benchmarks/train_speed.py", *sys.argv[1:]]),
        "machine": environment.describe(about),
        "settings": settings,
        "results": rows,
    }
    if a.out is not None:
        path = a.out / f"{date}-{a.machine or environment.machine_name(about)}-train-speed.json"
        with replace_file(path) as partial:
            partial.write_text(json.dumps(values, indent=1) + "\n", "utf-8")
        print(f"written    {path}")


if __name__ == "__main__":
    main()
