"""What is done to a converted Core ML spec, and how a package is written so that two builds are the same bytes."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from edgefer.embedded import MLMODEL
from edgefer.export.targets import Request
from edgefer.model.checkpoint import weights_sha256
from edgefer.model.resemotenet import preset_name
from edgefer.parity.coreml_program import WEIGHTS, main_block

AUTHOR = "edgefer; network: Roy et al., ResEmoteNet, IEEE Signal Processing Letters 2024"
LICENCE = "Weights: the licence of the checkpoint. Everything else: Apache-2.0."
_FP16 = "_cast_fp16"  # what the converter adds to a name when it turns an operation into float16
_PREVIEW = "com.apple.coreml.model.preview.type"  # coremltools guide, "Xcode Model Preview Types"


def name_stages(spec: Any, stages: list[str]) -> None:
    """Give the stages of the network, and the outputs, their names in the program."""
    renamed = {stage + _FP16: stage for stage in stages}
    renamed["label_probs"] = "probabilities"

    def new(name: str) -> str:
        return renamed.get(name, name)

    block = main_block(spec)
    for operation in block.operations:
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.WhichOneof("binding") == "name":
                    binding.name = new(binding.name)
        for output in operation.outputs:
            output.name = new(output.name)
    block.outputs[:] = [new(name) for name in block.outputs]
    for output in spec.description.output:
        output.name = new(output.name)
    if spec.description.predictedProbabilitiesName:
        spec.description.predictedProbabilitiesName = new(spec.description.predictedProbabilitiesName)


def describe(spec: Any, request: Request) -> None:
    """Fill in what Xcode shows, in place of what the converter wrote: that holds dates and the machine's versions."""
    size = request.preprocess.size
    network = preset_name(request.checkpoint.architecture) or "of its own widths"
    description = spec.description
    description.ClearField("metadata")
    metadata = description.metadata
    metadata.shortDescription = (
        f"Facial expression of one face: anger, disgust, fear, happiness, neutral, sadness or surprise. "
        f"ResEmoteNet {network} for {size}x{size} face crops."
    )
    metadata.author, metadata.license = AUTHOR, LICENCE
    metadata.versionString = weights_sha256(request.checkpoint.network)[:12]
    texts = {
        "image": f"A face that fills the picture, {size}x{size}, RGB.",
        "probabilities": "The probability of each expression; they sum to 1.",
        "label": "The most probable expression.",
    }
    if request.batch is None:
        metadata.userDefined[_PREVIEW] = "imageClassifier"
    else:
        texts["image"] = f"Faces that fill their pictures: [N, 3, {size}, {size}], RGB planes, 0 to 255."
        texts["probabilities"] = "[N, 7]: anger, disgust, fear, happiness, neutral, sadness, surprise."
    for feature in (*description.input, *description.output):
        feature.shortDescription = texts[feature.name]


def write_package(package: Path, spec: Any, weights: Path) -> None:
    """Write an .mlpackage folder. Its identifiers are those of the names in it, where others draw them at random."""
    write_spec(package, spec)
    (package / WEIGHTS).parent.mkdir()
    shutil.copyfile(weights, package / WEIGHTS)
    entries = {}
    for path, what in ((MLMODEL, "CoreML Model Specification"), (WEIGHTS.parent, "CoreML Model Weights")):
        inside = path.relative_to("Data").as_posix()
        identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, inside)).upper()
        entries[identifier] = {"author": "com.apple.CoreML", "description": what, "name": path.name, "path": inside}
    manifest = {"fileFormatVersion": "1.0.0", "itemInfoEntries": entries, "rootModelIdentifier": next(iter(entries))}
    # Sorted and indented as Apple's library does it: coremltools writes this file anew whenever it opens a package,
    # and that must not change its hash.
    text = json.dumps(manifest, indent=4, sort_keys=True) + "\n"
    (package / "Manifest.json").write_bytes(text.encode())


def write_spec(package: Path, spec: Any) -> None:
    """Write, or write again, a package's model.mlmodel."""
    (package / MLMODEL).parent.mkdir(parents=True, exist_ok=True)
    (package / MLMODEL).write_bytes(spec.SerializeToString(deterministic=True))
