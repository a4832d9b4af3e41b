"""Read and write checkpoints: our safetensors, and the paper authors' `.pth` files.

Ours carry architecture, preprocessing, class order and the story of the training in the file's metadata. The authors'
carry tensors only: the architecture is recognised from the shapes, class order and preprocessing are those of their
training script. Nothing is ever unpickled but plain tensors.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from edgefer.emotions import AUTHORS, EMOTIONS
from edgefer.errors import CheckpointError
from edgefer.files import replace_file, sha256_file
from edgefer.model.resemotenet import Architecture, ResEmoteNet, count_parameters, preset_name
from edgefer.preprocess import Preprocess

SCHEMA = 1
_WRAPPERS = ("model_state_dict", "state_dict")
_PREFIXES = ("module.", "_orig_mod.")  # DataParallel and torch.compile put these before every name
_HINT = "pass a ResEmoteNet checkpoint: our .safetensors, or the authors' .pth."


@dataclass(frozen=True)
class Checkpoint:
    """A network with all that is needed to use it.

    Attributes:
        network: in eval mode, float32, on the CPU; logits come out in the order of `classes`.
        preprocess: how it wants its input.
        classes: the names of its outputs, in its own order.
        name: the file's name, for messages and manifests (never its path).
        sha256: of the file; empty for a network that never was one.
        origin: "edgefer", "authors" (tensors only), or "seeded" (untrained).
        training: what the trainer recorded, if anything.
    """

    network: ResEmoteNet
    preprocess: Preprocess = field(default_factory=Preprocess)
    classes: tuple[str, ...] = AUTHORS
    name: str = ""
    sha256: str = ""
    origin: str = "authors"
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> Architecture:
        """The network's widths."""
        return self.network.architecture

    def describe(self) -> str:
        """One line: "ResEmoteNet quarter, 5.0 M parameters, 7 classes (authors' order)"."""
        order = "canonical order" if self.classes == EMOTIONS else "authors' order"
        order = order if self.classes in (EMOTIONS, AUTHORS) else "its own order"
        name = preset_name(self.architecture) or "with widths of its own"
        millions = count_parameters(self.network) / 1e6
        return f"ResEmoteNet {name}, {millions:.1f} M parameters, {len(self.classes)} classes ({order})"


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint of either kind.

    Raises:
        CheckpointError: the file is missing, truncated or not plain tensors; a tensor is missing, unexpected or has
            the wrong shape (the first is named), or holds NaN or infinite values; the class count is not 7.
    """
    file = Path(path)
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise CheckpointError(f"{file} {what}.", _HINT)
    if file.stat().st_size == 0:
        raise CheckpointError(f"{file} is empty: 0 bytes.", "copy or download the file again.")
    ours: dict[str, Any] = {}
    if file.suffix == ".safetensors":
        state, ours = _read_safetensors(file)
    else:
        state = _unwrap(_read_torch(file), file)
    network = build(state, str(file))
    preprocess, classes, training = _parse_metadata(ours, file)
    return Checkpoint(
        network, preprocess, classes, file.name, sha256_file(file), "edgefer" if ours else "authors", training
    )


def save(checkpoint: Checkpoint, path: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
    """Write our format: safetensors with the metadata inside. Beside the target first, then renamed.

    `dtype` is torch.float32 or torch.float16 (half the size; loading gives the rounded weights back as float32).
    """
    state = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in checkpoint.network.state_dict().items()
    }
    ours = {
        "schema": SCHEMA,
        "architecture": checkpoint.architecture.to_dict(),
        "preprocess": checkpoint.preprocess.to_dict(),
        "classes": list(checkpoint.classes),
        "training": dict(checkpoint.training),
    }
    metadata = {"format": "pt", "edgefer": json.dumps(ours, sort_keys=True)}
    with replace_file(Path(path)) as partial:
        safetensors.torch.save_file(state, partial, metadata=metadata)


def weights_sha256(network: ResEmoteNet) -> str:
    """Hash of names, shapes and float32 values of all weights, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if tensor.is_floating_point():
            digest.update(f"{name} {list(tensor.shape)}\n".encode())
            digest.update(tensor.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def build(state: Mapping[str, Tensor], name: str) -> ResEmoteNet:
    """Return the network, in eval mode, whose weights are `state` (names of the authors' checkpoints).

    Raises:
        CheckpointError: see `load`; `name` stands for the file in messages.
    """
    architecture = recognise(state, name)
    with torch.device("meta"):
        network = ResEmoteNet(architecture)
    expected = network.state_dict()
    # Counters of batch norm play no part in predictions; files without them (or with) are the same network.
    optional = {key for key in expected if key.endswith("num_batches_tracked")}
    for key in expected:
        if key not in state and key not in optional:
            raise CheckpointError(f"{name}: the tensor {key} is missing.", _HINT)
    for key in state:
        if key not in expected:
            raise CheckpointError(f"{name}: the tensor {key} is not part of a ResEmoteNet.", _HINT)
        if state[key].shape != expected[key].shape:
            raise CheckpointError(
                f"{name}: the tensor {key} has shape {list(state[key].shape)}, not {list(expected[key].shape)}.", _HINT
            )
    weights = {key: torch.zeros((), dtype=torch.int64) for key in optional}
    for key, tensor in state.items():
        if key in optional:
            weights[key] = tensor.to(torch.int64)
            continue
        weights[key] = tensor.to(torch.float32)
        if not torch.isfinite(weights[key]).all():
            raise CheckpointError(
                f"{name}: the tensor {key} holds NaN or infinite values.", "the training diverged; use an earlier one."
            )
    for key, tensor in weights.items():
        if key.endswith("running_var") and bool((tensor < 0).any()):
            raise CheckpointError(f"{name}: the tensor {key} holds negative variances.", "the file is damaged.")
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def recognise(state: Mapping[str, Tensor], name: str) -> Architecture:
    """Read the widths off the shapes.

    Raises:
        CheckpointError: a tensor that the widths are read from is missing or has the wrong rank, the input has other
            than 3 channels, or there are other than 7 classes.
    """

    def shape(key: str, rank: int) -> list[int]:
        if key not in state:
            raise CheckpointError(f"{name}: the tensor {key} is missing.", _HINT)
        if state[key].ndim != rank:
            raise CheckpointError(f"{name}: the tensor {key} has shape {list(state[key].shape)}.", _HINT)
        return list(state[key].shape)

    def width(key: str, rank: int) -> int:
        return shape(key, rank)[0]

    channels = shape("conv1.weight", 4)[1]
    if channels != 3:
        raise CheckpointError(f"{name} takes {channels} input channels, not 3.", "train it with gray repeated to RGB.")
    classes = width("fc4.weight", 2)
    if classes != len(EMOTIONS):
        raise CheckpointError(
            f"{name} has {classes} classes, not {len(EMOTIONS)}.", f"edgefer's classes are {', '.join(EMOTIONS)}."
        )

    def stage(i: int) -> int:
        present = any(key.startswith(f"res_block{i}.") for key in state)
        return width(f"res_block{i}.conv1.weight", 4) if present else 0

    return Architecture(
        stem=(width("conv1.weight", 4), width("conv2.weight", 4), width("conv3.weight", 4)),
        se=any(key.startswith("se.") for key in state),
        stages=(stage(1), stage(2), stage(3)),
        head=(width("fc1.weight", 2), width("fc2.weight", 2), width("fc3.weight", 2)),
    )


def _read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safetensors.safe_open(file, framework="pt") as stored:
            state = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
            metadata = stored.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is not a whole safetensors file: {error}.", "copy it again.") from None
    try:
        ours = json.loads(metadata.get("edgefer", "{}"))
    except json.JSONDecodeError:
        raise CheckpointError(f"{file}: its edgefer metadata is not JSON.", "the file is damaged.") from None
    return state, ours


def _read_torch(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{file} is a pickle that holds more than plain tensors, and loading it could run code.",
            "save the state dict alone: torch.save(model.state_dict(), path).",
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError):
        raise CheckpointError(
            f"{file} is not a whole PyTorch checkpoint.", "copy or download the file again."
        ) from None


def _unwrap(content: Any, file: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for key in _WRAPPERS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{file} holds a {type(content).__name__}, not a state dict.", _HINT)
    state: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{file}: {key} is a {type(value).__name__}, not a tensor.", _HINT)
        for prefix in _PREFIXES:
            key = key.removeprefix(prefix)
        state[key] = value
    return state


def _parse_metadata(ours: dict[str, Any], file: Path) -> tuple[Preprocess, tuple[str, ...], dict[str, Any]]:
    if not ours:
        return Preprocess(), AUTHORS, {}
    try:
        if ours["schema"] != SCHEMA:
            raise CheckpointError(
                f"{file} has checkpoint schema {ours['schema']}; this version reads {SCHEMA}.", "upgrade edgefer."
            )
        classes = tuple(ours["classes"])
        if sorted(classes) != sorted(EMOTIONS):
            raise ValueError(f"classes are {', '.join(map(str, classes))}")
        return Preprocess.from_dict(ours["preprocess"]), classes, dict(ours["training"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file}: its edgefer metadata is incomplete: {error}.", "the file is damaged.") from None
