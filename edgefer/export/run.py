"""From a checkpoint to an artifact in its place: build beside, prove, seal, and only then rename."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgefer.artifact import MANIFEST, PARITY, Artifact, Manifest, dump, open_artifact, read_manifest, sha256_path
from edgefer.emotions import EMOTIONS
from edgefer.errors import ArtifactError, ParityError, UnavailableError, UsageError
from edgefer.export.targets import Built, Request, builder, check_options
from edgefer.files import refuse_file, replace_directory
from edgefer.imageset import ImageSet
from edgefer.model.checkpoint import Checkpoint, weights_sha256
from edgefer.model.resemotenet import count_parameters, preset_name
from edgefer.model.specialize import MAX_SIZE, MIN_SIZE, specialize
from edgefer.parity.compare import Comparison, Progress, reference_preprocess
from edgefer.parity.prove import Proof, open_candidates, prove

Say = Callable[[str, str], None]  # step, what came out of it


@dataclass(frozen=True)
class Options:
    """What to export, as `edgefer export` takes it. None means the target's or the checkpoint's own.

    `target_options` are those that `edgefer.export.targets.TARGETS` lists for the target.
    """

    target: str = "onnx"
    precision: str = "fp32"
    size: int | None = None
    batch: tuple[int, ...] | None = None
    specialized: bool = True
    require_run: bool = False
    target_options: Mapping[str, Any] = field(default_factory=dict)


class NotProvenError(ParityError):
    """Parity failed; `comparison` holds the images that differ."""

    def __init__(self, comparison: Comparison, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.comparison = comparison

    def __reduce__(self) -> Any:
        return type(self), (self.comparison, str(self), self.hint)


def export(
    checkpoint: Checkpoint,
    out: Path,
    probe: ImageSet,
    options: Options | None = None,
    say: Say | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """Build, prove and write an artifact directory.

    Args:
        checkpoint: what to export.
        out: directory to write; an artifact that is there is replaced in one step, anything else is refused.
        probe: images to prove on.
        options: target, precision, size, batch.
        say: called with (step, result) after each step.
        progress: called with (done, in all) by a build that takes long, and with images while the reference runs.

    Raises:
        UsageError: the target does not know an option, or `out` is something else than an artifact.
        NotProvenError: the artifact predicts differently; nothing was written.
        UnavailableError: the proof could not run here and `require_run` was asked for; nothing was written.
    """
    options = options or Options()
    say = say or (lambda step, text: None)
    request = replace(_request(checkpoint, options), progress=progress)
    refuse_foreign(out)
    say("checkpoint", f"{checkpoint.name or 'seeded weights'}: {checkpoint.describe()}")
    parameters = _count_parameters(request)
    say("specialise", _describe_savings(request, *parameters))
    with replace_directory(out) as folder:
        built = builder(options.target).build(request, folder)
        say("export", f"{built.summary:50s}  {megabytes(_size(folder / built.model))}")
        for warning in built.warnings:
            say("warning", warning)
        manifest = _manifest(request, options, built, (parameters[0], built.parameters or parameters[1]))
        _write_manifest(folder, built, manifest)
        proof = _prove(checkpoint, folder, probe, options, say, progress)
        (folder / PARITY).write_bytes(dump(proof))
        # Only now the verdict is known; inside the model file it changes the metadata and nothing that is computed.
        _write_manifest(folder, built, replace(manifest, proof=proof["verdict"]))
    return open_artifact(out)


def refuse_foreign(out: Path) -> None:
    """Refuse to replace anything that is not an artifact.

    Raises:
        UsageError: `out` or a folder above it is a file, or `out` is a folder that is neither empty nor an artifact.
    """
    refuse_file(out)
    if out.is_dir() and any(out.iterdir()) and not _is_artifact(out):
        raise UsageError(f"{out} is a folder with other things in it.", "pass a new directory to --out.")


def _is_artifact(folder: Path) -> bool:
    """Whether a folder holds a sealed manifest and nothing that it does not name: many folders have a manifest.json."""
    try:
        manifest = read_manifest(folder)
    except ArtifactError:
        return False
    return {item.name for item in folder.iterdir()} <= {MANIFEST, PARITY, *manifest.files}


def _request(checkpoint: Checkpoint, options: Options) -> Request:
    target = builder(options.target)
    if options.precision not in target.PRECISIONS:
        raise UsageError(
            f"{options.target} has no precision {options.precision}.", f"choose {' or '.join(target.PRECISIONS)}."
        )
    check_options(options.target, options.target_options)
    size = options.size or checkpoint.preprocess.size
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"--size {size} cannot be.", f"choose {MIN_SIZE} to {MAX_SIZE} pixels.")
    preprocess = reference_preprocess(checkpoint, size)
    return Request(
        checkpoint, preprocess, options.precision, options.specialized, options.batch, options.target_options
    )


def _manifest(request: Request, options: Options, built: Built, parameters: tuple[int, int]) -> Manifest:
    checkpoint = request.checkpoint
    name = preset_name(checkpoint.architecture)
    return Manifest(
        target=options.target,
        precision=built.precision,
        labels=EMOTIONS,
        preprocess=request.preprocess,
        architecture={**({"name": name} if name else {}), **checkpoint.architecture.to_dict()},
        specialized=request.specialized,
        parameters=parameters,
        batch=built.batch or request.batch,
        checkpoint_sha256=checkpoint.sha256,
        weights_sha256=weights_sha256(checkpoint.network),
        content_sha256=built.content_sha256,
        tools=built.tools,
        device=built.device,
        files={},
        proof="not run",
        layers=built.layers,
    )


def _write_manifest(folder: Path, built: Built, manifest: Manifest) -> None:
    """Put the manifest inside the model file where the format has a place for it, and beside it with all hashes."""
    if built.seal:
        built.seal(replace(manifest, files={built.model: built.content_sha256}))
    names = [built.model, *([PARITY] if (folder / PARITY).exists() else [])]
    manifest = replace(manifest, files={name: sha256_path(folder / name) for name in names})
    (folder / MANIFEST).write_bytes(dump(manifest.to_dict()))


def _prove(
    checkpoint: Checkpoint, folder: Path, probe: ImageSet, options: Options, say: Say, progress: Progress | None
) -> dict[str, Any]:
    try:
        candidates = open_candidates(open_artifact(folder))
        if options.require_run and candidates.not_run:
            raise candidates.not_run
    except UnavailableError as error:
        if options.require_run:
            raise
        say("parity", f"built, not run: {error}")
        return {"verdict": "not run", "reason": str(error), "hint": error.hint}
    proof = prove(checkpoint, candidates, probe, progress)
    if not proof.comparison.passed:
        hint = "pass --no-specialize to see whether a rewrite is the cause, and report it with the checkpoint."
        if proof.comparison.agreement is not None:
            hint = (
                "prove it on faces like yours (--images DIR), calibrated on them where the target takes --calibration, "
                "or take fp16."
            )
        raise NotProvenError(
            proof.comparison,
            f"the artifact predicts differently: {why(proof.comparison)}; nothing was written.",
            hint,
        )
    tell(proof, say)
    return proof.report(probe)


def tell(proof: Proof, say: Say) -> None:
    """Print a proof: the figures that decide, each way to run it where there are several, and what was not run."""
    say("parity", describe(proof.comparison))
    for way in proof.ways:
        if way.provider:
            devices = "".join(f", {count} operations on {device}" for device, count in way.devices.items())
            say(f"  {way.provider}", f"max |dp| {way.comparison.deltas.max():.1e}{devices}")
    if proof.not_run:
        say("proven", str(proof.proves))
        say("runtime", f"not run: {proof.not_run}")


def why(comparison: Comparison) -> str:
    """`describe`, and the reasons of a failure where the line does not show them."""
    reasons = "" if comparison.agreement is None else f" ({'; '.join(comparison.failures)})"
    return describe(comparison) + reasons


def describe(comparison: Comparison) -> str:
    """One line: "256 faces: top-1 equal on all, max |dp| 1.9e-03 (bound 5e-03), 3 near ties"."""
    figures = comparison.summary()
    count = figures["images"]
    same = "all" if figures["top1_equal"] == count else f"{figures['top1_equal']}"
    ties = figures["near_ties"]
    flipped = f", {figures['near_ties_flipped']} of them flipped" if figures["near_ties_flipped"] else ""
    ties_text = f", {ties} near tie{'s' if ties != 1 else ''}{flipped}" if ties else ""
    bound = f" (bound {figures['bound']:.0e})"
    if comparison.agreement is not None:
        bound = f", {figures['agreement']:.2%} equal without near ties (at least {comparison.agreement:.0%})"
    accuracy = "accuracy {:.2%} -> {:.2%}".format(*comparison.accuracies) if comparison.accuracies else ""
    parts = [
        f"{count} faces: top-1 equal on {same}",
        f"max |dp| {figures['max_delta']:.1e}{bound}{ties_text}",
        accuracy,
    ]
    return ", ".join(part for part in parts if part)


def _count_parameters(request: Request) -> tuple[int, int]:
    network = request.checkpoint.network
    before = count_parameters(network)
    return before, count_parameters(specialize(network, request.preprocess.size)) if request.specialized else before


def _describe_savings(request: Request, before: int, after: int) -> str:
    if not request.specialized:
        return f"off: {before / 1e6:.1f} M parameters stay"
    size = request.preprocess.size
    width = {"fp32": 4, "fp16": 2, "int8": 1}[request.precision]
    return (
        f"{size}x{size}: {after / 1e6:.1f} M parameters stay, {(before - after) / 1e6:.1f} M are not needed   "
        f"{megabytes(before * width)} -> {megabytes(after * width)}"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 10_000_000 else f"{size / 1e6:.1f} MB"


def complete_proof(artifact: Artifact, proof: dict[str, Any]) -> None:
    """Put a proof that was made later, on a machine that can run it, into an artifact directory, in one step."""
    with replace_directory(artifact.path) as folder:
        for item in artifact.path.iterdir():
            (shutil.copytree if item.is_dir() else shutil.copy2)(item, folder / item.name)
        (folder / PARITY).write_bytes(dump(proof))
        files = {**artifact.manifest.files, PARITY: sha256_path(folder / PARITY)}
        manifest = replace(artifact.manifest, files=files, proof=proof["verdict"])
        (folder / MANIFEST).write_bytes(dump(manifest.to_dict()))
