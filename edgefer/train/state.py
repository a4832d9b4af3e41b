"""The state of a training on disk: all it takes to go on as if nothing had happened. Tensors and plain values only."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch

from edgefer.errors import CheckpointError, UsageError
from edgefer.files import replace_file

SCHEMA = 1


def write_state(path: Path, identity: dict[str, Any], values: dict[str, Any]) -> None:
    """Write a state so that `path` always holds a whole one, the old or the new.

    Args:
        identity: plain values that a training must agree on to continue from it.
        values: tensors, plain values, and lists and dicts of them.
    """
    with replace_file(path) as partial:
        torch.save({"schema": SCHEMA, "identity": json.dumps(identity, sort_keys=True), "values": values}, partial)


def read_state(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Read what `write_state` wrote, without running code from the file.

    Raises:
        CheckpointError: the file is damaged or has another schema.
        UsageError: it belongs to another training; the first difference is named.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        schema, theirs = stored["schema"], json.loads(stored["identity"])
        values: dict[str, Any] = stored["values"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{path} is not a whole training state.", "train from the start in another --out."
        ) from None
    if schema != SCHEMA:
        raise CheckpointError(f"{path} has schema {schema}; this version reads {SCHEMA}.", "train from the start.")
    ours = json.loads(json.dumps(identity))
    for key, value in _flat(ours).items():
        found = _flat(theirs).get(key)
        if found != value:
            raise UsageError(
                f"{path} was trained with {key} {found}, not {value}.",
                "resume with the same settings, or another --out.",
            )
    return values


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat
