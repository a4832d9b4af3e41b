"""`edgefer verify`: prove an artifact again, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgefer.artifact import open_artifact
from edgefer.cli.common import Debug, Images, Json, Output, ProofFailedError, Provider, Threads, differing_table, probe
from edgefer.optional import require
from edgefer.weights import ARTIFACT, CHECKPOINT, shipped

NAME = "verify"


def command(
    artifact: Annotated[
        Path | None,
        typer.Argument(help="Artifact directory, exported .onnx or .mlpackage; the shipped one if left out."),
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
    from edgefer.export.run import complete_proof, tell, why
    from edgefer.model import checkpoint as checkpoints
    from edgefer.parity.prove import open_candidates, prove

    artifact, checkpoint = artifact or shipped(ARTIFACT), checkpoint or shipped(CHECKPOINT)
    output = Output(json)
    with output.working("loading"):
        opened = open_artifact(artifact)
        candidates = open_candidates(opened, provider, threads)
        source = checkpoints.load(checkpoint)
        faces = probe(images)
    manifest = opened.manifest
    output.line("artifact", f"{artifact}: {manifest.target}, {manifest.precision}, {candidates.name}")
    output.line("checkpoint", f"{checkpoint.name}: {source.describe()}")
    with output.bar("parity") as bar:
        proof = prove(source, candidates, faces, bar)
    tell(proof, output.line)
    stages = []
    if bisect:
        from edgefer.parity.bisect import bisect as find

        with output.working("comparing layers"):
            stages = find(source, opened, faces)
        output.table(
            ["layer", "error", ""],
            [[stage.name, f"{stage.error:.1e}", "departs" if stage.departs else ""] for stage in stages],
        )
        first = next((stage.name for stage in stages if stage.departs), None)
        output.line("bisect", f"{first} is the first layer that departs" if first else "no layer departs")
    report = proof.report(faces)
    # Not the other way round: an artifact that ran somewhere stays proven where it can only be evaluated.
    if proof.verdict == "passed" and manifest.proof != "passed" and not opened.alone:
        complete_proof(opened, report)
        output.line("written", f"{artifact}/parity.json: the proof is complete now")
    layers = [{"layer": s.name, "error": s.error, "departs": s.departs} for s in stages]
    figures = {**report, **({"layers": layers} if bisect else {})}
    if not proof.comparison.passed:
        if not json:
            differing_table(output, proof.comparison.rows())
        same = source.sha256 == manifest.checkpoint_sha256
        raise ProofFailedError(
            f"{artifact} predicts differently from {checkpoint.name}: {why(proof.comparison)}.",
            "export it again." if same else "it was made from another checkpoint file; pass that one.",
            figures,
        )
    output.result(figures)
