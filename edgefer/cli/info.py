"""`edgefer info`: what an artifact or a checkpoint is, and what the rewrites save."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgefer.artifact import MANIFEST, open_artifact, read_parity
from edgefer.cli.common import Debug, Json, Output
from edgefer.errors import UsageError
from edgefer.optional import require
from edgefer.weights import ARTIFACT, shipped

NAME = "info"
_BYTES = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0, "int4": 0.5}


def command(
    artifact: Annotated[
        Path | None,
        typer.Argument(
            help="Artifact directory, exported .onnx or .mlpackage, or a checkpoint; the shipped one if left out."
        ),
    ] = None,
    size: Annotated[int | None, typer.Option(help="For a checkpoint: input size to specialise for.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Print what an artifact (or a checkpoint) is: precision, parameters and bytes before and after, proof, hashes."""
    artifact = artifact or shipped(ARTIFACT)
    output = Output(json)
    if artifact.suffix in (".pth", ".pt", ".safetensors") and not (artifact / MANIFEST).exists():
        _checkpoint(artifact, size, output)
    elif size is not None:
        raise UsageError("--size is for checkpoints; an artifact has its size.", "leave it out.")
    else:
        _artifact(artifact, output)


def _artifact(path: Path, output: Output) -> None:
    opened = open_artifact(path)
    manifest = opened.manifest
    before, after = manifest.parameters
    width = _BYTES[manifest.precision]
    on_disk = sum(p.stat().st_size for p in _files(opened.model))
    preprocess = manifest.preprocess
    batch = "1..N" if manifest.batch is None else ":".join(map(str, manifest.batch))
    output.line("artifact", f"{path}: {manifest.target}, {manifest.precision}, batch {batch}")
    output.line("network", f"ResEmoteNet {manifest.architecture.get('name', 'with widths of its own')}")
    output.line("parameters", f"{before:,} in the checkpoint, {after:,} in the file")
    output.line("bytes", f"{before * width / 1e6:.1f} MB of weights before, {on_disk / 1e6:.1f} MB on disk")
    gray = "gray, " if preprocess.grayscale else ""
    output.line("input", f"{preprocess.size}x{preprocess.size}, {gray}{preprocess.resize} resize")
    output.line("labels", ", ".join(manifest.labels))
    output.line("proof", _describe_proof(manifest.proof, read_parity(opened)))
    output.line("built with", ", ".join(f"{name} {version}" for name, version in manifest.tools.items()))
    if manifest.device:
        output.line("device", ", ".join(f"{key} {value}" for key, value in manifest.device.items()))
    for where, kinds in manifest.layers.items():
        output.line(where, _describe_types(kinds))
    output.line("checkpoint", f"sha256 {manifest.checkpoint_sha256}")
    output.line("content", f"sha256 {manifest.content_sha256}")
    output.result({"manifest": manifest.to_dict(), "bytes": on_disk, "parity": read_parity(opened)})


def _describe_types(kinds: Mapping[str, Any]) -> str:
    """ "convolution 6 int8, softmax 1 fp32" from a table of layers, "31 fp16, 4 fp32 tensors" from one of tensors."""
    if all(isinstance(count, int) for count in kinds.values()):
        return ", ".join(f"{count} {name}" for name, count in kinds.items()) + " tensors"
    rows = ((kind.lower().replace("_", " "), counts) for kind, counts in kinds.items())
    return ", ".join(f"{kind} {' + '.join(f'{n} {name}' for name, n in counts.items())}" for kind, counts in rows)


def _describe_proof(proof: str, parity: dict[str, Any] | None) -> str:
    if parity is None:
        return f"{proof}; the report is not in the file but beside it in the artifact's directory"
    if proof == "not run":
        return f"not run: {parity.get('reason', '')}"
    runtime = f"; runtime {parity['runtime']}" if "runtime" in parity else ""
    return f"{proof} on {parity['probe']}: max |dp| {parity['max_delta']:.1e}, {parity['engine']}{runtime}"


def _checkpoint(path: Path, size: int | None, output: Output) -> None:
    require(("torch", "safetensors"), "export", "reading a checkpoint")
    from edgefer.model import checkpoint as checkpoints
    from edgefer.model.specialize import MAX_SIZE, MIN_SIZE, savings, specialize

    source = checkpoints.load(path)
    size = size or source.preprocess.size
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"--size {size} cannot be.", f"choose {MIN_SIZE} to {MAX_SIZE} pixels.")
    saved = savings(source.network, specialize(source.network, size))
    before, after = saved.parameters_before, saved.parameters_after
    output.line("checkpoint", f"{path.name}: {source.describe()}")
    output.line("classes", ", ".join(source.classes))
    output.line("parameters", f"{before:,}; at {size}x{size} {after:,} reach the output")
    output.line("bytes", f"fp32 {before * 4 / 1e6:.1f} MB -> {after * 4 / 1e6:.1f} MB")
    for layer, rewrites in saved.applied.items():
        output.line("", f"{layer:22} {', '.join(rewrites)}")
    for key, value in source.training.items():
        output.line("training", f"{key}: {value}")
    output.line("file", f"sha256 {source.sha256}")
    output.result(
        {
            "architecture": source.architecture.to_dict(),
            "classes": list(source.classes),
            "preprocess": source.preprocess.to_dict(),
            "size": size,
            "parameters_before": before,
            "parameters_after": after,
            "rewrites": saved.applied,
            "training": dict(source.training),
            "sha256": source.sha256,
        }
    )


def _files(model: Path) -> list[Path]:
    return [model] if model.is_file() else [p for p in model.rglob("*") if p.is_file()]
