"""PyTorch on the network as a researcher writes it: eager, or compiled and frozen."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from imagenet import normalised

sys.path.insert(0, str(Path(__file__).parents[1]))
from authors import Probabilities


class PyTorch:
    """Call: float tensor [N, 3, 64, 64] -> probabilities in numpy. Preprocessing happens in `prepare`, untimed."""

    def __init__(self, weights: str, threads: int, cache: str | None) -> None:
        torch.set_num_threads(threads)
        self.module: Any = Probabilities(weights)
        if cache is not None:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # read when Inductor is imported
            from torch._inductor import config

            config.freezing = True  # weights become constants, laid out as the kernels want them
            self.module = torch.compile(self.module)

    def prepare(self, faces: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(normalised(faces))

    @torch.inference_mode()
    def __call__(self, inputs: torch.Tensor) -> np.ndarray:
        return self.module(inputs).numpy()

    def about(self) -> dict[str, str]:
        return {"engine": f"torch {torch.__version__}"}


def open(boundary: str, threads: int, batch: int, weights: str, cache: str | None = None) -> PyTorch:
    """Open the state dict `weights`; inputs are in place when the clock starts.

    With `cache`, a folder, compiled: a setting's first process fills its part of it, the later ones compile faster.
    """
    return PyTorch(weights, threads, f"{cache}/{batch}-{threads}" if cache else None)
