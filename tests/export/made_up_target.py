"""A target that exists in the tests alone: the network as TorchScript, run by torch. Both halves of the contract."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from edgefer.artifact import Artifact
from edgefer.export.graph import Deployed
from edgefer.export.targets import Built, Request

PRECISIONS = ("fp32",)
calls: list[int] = []


def build(request: Request, folder: Path) -> Built:
    module = Deployed(request.checkpoint, request.preprocess, request.specialized, half=False).eval()
    size = request.preprocess.size
    traced = torch.jit.trace(module, torch.zeros((2, size, size, 3), dtype=torch.uint8))
    traced.save(str(folder / "model.ts"))
    content = hashlib.sha256((folder / "model.ts").read_bytes()).hexdigest()
    return Built("model.ts", "fp32", content, "TorchScript", {"torch": str(torch.__version__)})


class Engine:
    name = "torch.jit"

    def __init__(self, path: Path) -> None:
        self._module = torch.jit.load(str(path))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        with torch.no_grad():
            return self._module(torch.from_numpy(images))[0].numpy()


def open_engine(artifact: Artifact, provider: str | None, threads: int | None) -> Engine:
    return Engine(artifact.model)
