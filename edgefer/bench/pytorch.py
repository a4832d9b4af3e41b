"""A checkpoint in PyTorch, in the forms that an artifact is compared with. Runs in the worker's process."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from edgefer.emotions import EMOTIONS
from edgefer.errors import UnavailableError, UsageError
from edgefer.export.graph import Deployed
from edgefer.images import decode
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import ResEmoteNet, seeded
from edgefer.model.rewrites.fold_batch_norm import fold_batch_norm

FORMS = {
    "eager": "PyTorch eager",
    "folded": "PyTorch, BN folded, channels last",
    "compiled": "torch.compile, frozen",
}


def network(
    boundary: str,
    threads: int,
    batch: int,
    form: str = "eager",
    checkpoint: str | None = None,
    model: str | None = None,
    device: str = "cpu",
) -> Any:
    """Open a checkpoint file, or with `model` a preset with seeded weights, in one of `FORMS`."""
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise UnavailableError("PyTorch finds no CUDA device here.", "leave --device out to measure on the CPU.")
    # fp32 means fp32: TensorFloat-32 keeps 10 bits of the mantissa.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    source = checkpoints.load(checkpoint) if checkpoint else Checkpoint(seeded(model or "reference"))
    kinds = {"compute": _Compute, "host": _Host, "end_to_end": _EndToEnd}
    return kinds[boundary](source, form, device)


class Network(nn.Module):
    """The plain network with what an artifact's graph has around it: uint8 [N, size, size, 3] -> float32 [N, 7]."""

    def __init__(self, source: Checkpoint, channels_last: bool) -> None:
        super().__init__()
        self.deployed = Deployed(source, source.preprocess, specialized=False, half=False)
        self.channels_last = channels_last

    def forward(self, image: Tensor) -> Tensor:
        graph = self.deployed
        x = image.to(torch.float32)
        x = (x * graph.luma).sum(-1)[:, None] if graph.grayscale else x.permute(0, 3, 1, 2)
        x = x * graph.scale + graph.shift
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return torch.softmax(graph.network(x), dim=1)


def build(source: Checkpoint, form: str) -> Any:
    """The network in one of `FORMS`, for inference.

    Raises:
        UsageError: there is no such form.
        UnavailableError: torch.compile has no compiler to work with.
    """
    if form not in FORMS:
        raise UsageError(f"there is no form {form}.", f"choose one of: {', '.join(FORMS)}.")
    folded = form == "folded"
    module = Network(source, channels_last=folded).eval().requires_grad_(False)
    if folded:
        fold(module.deployed.network)
        nn.utils.convert_conv2d_weight_memory_format(module, torch.channels_last)
    if form != "compiled":
        return module
    if sys.platform != "win32" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise UnavailableError("torch.compile needs a C++ compiler, and there is none.", "install g++ or clang.")
    from torch._inductor import config

    config.freezing = True  # weights become constants, laid out as the kernels want them
    return torch.compile(module)


def fold(plain: Any) -> None:
    """Fold every batch norm of a plain network into the convolution before it, in place."""
    assert isinstance(plain, ResEmoteNet)
    pairs: list[tuple[nn.Module, str, str]] = [(plain, f"conv{i}", f"bn{i}") for i in (1, 2, 3)]
    for name in plain.blocks:
        block = getattr(plain, name)
        pairs += [(block, "conv1", "bn1"), (block, "conv2", "bn2"), (block.shortcut, "0", "1")]
    for parent, conv, norm in pairs:
        setattr(parent, conv, fold_batch_norm(getattr(parent, conv), getattr(parent, norm)))
        setattr(parent, norm, nn.Identity())


class _Host:
    """uint8 faces in numpy -> probabilities in numpy."""

    def __init__(self, source: Checkpoint, form: str, device: str) -> None:
        self.preprocess, self.device = source.preprocess, device
        self.module = build(source, form).to(device)

    @torch.inference_mode()
    def __call__(self, faces: Any) -> Any:
        return self.module(torch.from_numpy(faces).to(self.device)).cpu().numpy()

    def about(self) -> dict[str, Any]:
        where = torch.cuda.get_device_name() if self.device == "cuda" else f"{torch.get_num_threads()} threads"
        return {"engine": f"torch {torch.__version__}, {self.device}, {where}", "precision": "fp32"}

    def device_memory(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.device == "cuda" else None


class _EndToEnd(_Host):
    """Encoded images -> labels; `collect` gives the probabilities behind them."""

    def __call__(self, images: Any) -> Any:
        faces = np.stack([self.preprocess(decode(data)) for data in images])
        probabilities = super().__call__(faces)
        return [EMOTIONS[best] for best in probabilities.argmax(axis=1)], probabilities

    def collect(self, answer: Any) -> Any:
        return answer[1]


class _Compute(_Host):
    """The network alone: the input is a tensor on the device, and so is the output."""

    def __init__(self, source: Checkpoint, form: str, device: str) -> None:
        super().__init__(source, form, device)
        on_cuda = device == "cuda"
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if on_cuda else None

    def prepare(self, faces: np.ndarray) -> Tensor:
        return torch.from_numpy(faces).to(self.device)

    @torch.inference_mode()
    def __call__(self, faces: Any) -> Any:
        if self.events is None:
            return self.module(faces)
        begin, end = self.events
        begin.record()
        probabilities = self.module(faces)
        end.record()
        end.synchronize()
        return probabilities

    def collect(self, probabilities: Tensor) -> np.ndarray:
        return probabilities.cpu().numpy()

    def device_ns(self) -> int | None:
        if self.events is None:
            return None
        return round(self.events[0].elapsed_time(self.events[1]) * 1e6)  # milliseconds
