"""Candidates of edgefer's own: artifacts of any target, and a checkpoint in the forms that PyTorch offers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgefer.artifact import open_artifact
from edgefer.bench.candidates import SCRATCH, Candidate
from edgefer.errors import UsageError
from edgefer.parity.bounds import AGREEMENT, BOUNDS
from edgefer.preprocess import Preprocess
from edgefer.weights import ARTIFACT, shipped


def artifacts(paths: Sequence[Path | None], provider: str | None = None) -> list[Candidate]:
    """A candidate for each artifact, named by its folder; by its whole path where two folders have one name.

    Raises:
        UsageError: one is there twice.
        ArtifactError: one is damaged, was edited, or is not ours.
    """
    found = [artifact(path, provider) for path in paths]
    names = [candidate.name for candidate in found]
    found = [
        replace(candidate, name=f"{path.parent}/{candidate.name}")
        if names.count(candidate.name) > 1 and path
        else candidate
        for path, candidate in zip(paths, found, strict=True)
    ]
    for candidate in found:
        if [other.name for other in found].count(candidate.name) > 1:
            raise UsageError(f"{candidate.name} is there twice.", "pass each artifact once.")
    return found


def artifact(path: Path | None = None, provider: str | None = None) -> Candidate:
    """An artifact directory or exported .onnx file, run through the runtime; None for the model that ships.

    Raises:
        ArtifactError: it is damaged, was edited, or is not ours.
    """
    place = path or shipped(ARTIFACT)
    found = open_artifact(place)
    manifest = found.manifest
    label = f"{'shipped' if path is None else place.name}, {manifest.target} {manifest.precision}"
    if provider:
        label += f", {provider}"
    files = [found.model] if found.model.is_file() else [p for p in found.model.rglob("*") if p.is_file()]
    return Candidate(
        label,
        "edgefer.bench.openers:artifact",
        {"path": str(place.resolve()), "provider": provider},
        preprocess=manifest.preprocess,
        bytes=sum(file.stat().st_size for file in files),
        network=_network(manifest.weights_sha256, manifest.preprocess),
        # Where parity asks for labels only, so does the bench: the figures are shown, and nothing is refused.
        bound=None if manifest.precision in AGREEMENT else BOUNDS[manifest.precision],
        details={
            "content_sha256": manifest.content_sha256,
            "weights_sha256": manifest.weights_sha256,
            "architecture": manifest.architecture.get("name"),
            "size": manifest.preprocess.size,
            "parameters": manifest.parameters[1],
        },
    )


def checkpoint(path: Path, device: str = "cpu", forms: Sequence[str] | None = None) -> list[Candidate]:
    """A checkpoint file in PyTorch, in each of `forms` (default: all of `edgefer.bench.pytorch.FORMS`).

    Raises:
        CheckpointError: it is damaged or no ResEmoteNet.
    """
    from edgefer.bench.pytorch import FORMS
    from edgefer.model import checkpoint as checkpoints
    from edgefer.model.checkpoint import weights_sha256
    from edgefer.model.resemotenet import count_parameters, preset_name

    source = checkpoints.load(path)
    weights = weights_sha256(source.network)
    where = f", {device}" if device != "cpu" else ""
    return [
        Candidate(
            FORMS[form] + where,
            "edgefer.bench.pytorch:network",
            {"checkpoint": str(path.resolve()), "form": form, "device": device},
            # Not the user's cache: the first call compiles, the later processes need not do it again.
            environment={"TORCHINDUCTOR_CACHE_DIR": SCRATCH},
            preprocess=source.preprocess,
            bytes=path.stat().st_size,
            network=_network(weights, source.preprocess),
            details={
                "checkpoint_sha256": source.sha256,
                "weights_sha256": weights,
                "architecture": preset_name(source.architecture),
                "size": source.preprocess.size,
                "parameters": count_parameters(source.network),
            },
        )
        for form in forms or FORMS
    ]


def _network(weights: str, preprocess: Preprocess) -> str:
    """Same weights on the same input: then the answers must be the same."""
    return f"{weights} {json.dumps(preprocess.to_dict(), sort_keys=True)}"
