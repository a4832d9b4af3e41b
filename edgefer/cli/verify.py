"""`edgefer verify`: prove an artifact again, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgefer.cli.common import Debug, Images, Json, Output, ProofFailedError, Provider, Threads, differing_table, probe
from edgefer.optional import require
from edgefer.weights import ARTIFACT, CHECKPOINT, shipped

NAME = "verify"


def command(
    artifact: Annotated[
        Path | None, typer.Argument(help="Artifact directory, or an exported .onnx file; the shipped one if left out.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The checkpoint it was made from; the shipped one if left out.", metavar="FILE")
    ] = None,
    images: Images = None,
    bisect: Annotated[bool, typer.Option("--bisect", help="Name the first layer whose output departs.")] = False,
    provider: Provider = None,
    threads: Threads = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Prove that an artifact predicts as its checkpoint does. Exit code 5 if it does not."""
    require(("torch", "safetensors"), "export", "verifying")
    import edgefer
    from edgefer.export.run import complete_proof, describe, why
    from edgefer.model import checkpoint as checkpoints
    from edgefer.parity.compare import compare, report

    artifact, checkpoint = artifact or shipped(ARTIFACT), checkpoint or shipped(CHECKPOINT)
    output = Output(json)
    with output.working("loading"):
        recognizer = edgefer.load(artifact, provider=provider, threads=threads)
        source = checkpoints.load(checkpoint)
        faces = probe(images)
    manifest = recognizer.artifact.manifest
    output.line("artifact", f"{artifact}: {manifest.target}, {manifest.precision}, {recognizer.engine.name}")
    output.line("checkpoint", f"{checkpoint.name}: {source.describe()}")
    with output.bar("parity") as bar:
        comparison = compare(source, recognizer, faces, bar)
    output.line("parity", describe(comparison))
    proof = report(comparison, faces, recognizer.engine.name)
    stages = []
    if bisect:
        from edgefer.parity.bisect import bisect as find

        with output.working("comparing layers"):
            stages = find(source, recognizer.artifact, faces)
        output.table(
            ["layer", "error", ""],
            [[stage.name, f"{stage.error:.1e}", "departs" if stage.departs else ""] for stage in stages],
        )
        first = next((stage.name for stage in stages if stage.departs), None)
        output.line("bisect", f"{first} is the first layer that departs" if first else "no layer departs")
    if comparison.passed and manifest.proof == "not run" and not recognizer.artifact.alone:
        complete_proof(recognizer.artifact, proof)
        output.line("written", f"{artifact}/parity.json: the proof is complete now")
    layers = [{"layer": s.name, "error": s.error, "departs": s.departs} for s in stages]
    figures = {**proof, **({"layers": layers} if bisect else {})}
    if not comparison.passed:
        if not json:
            differing_table(output, comparison.rows())
        same = source.sha256 == manifest.checkpoint_sha256
        raise ProofFailedError(
            f"{artifact} predicts differently from {checkpoint.name}: {why(comparison)}.",
            "export it again." if same else "it was made from another checkpoint file; pass that one.",
            figures,
        )
    output.result(figures)
