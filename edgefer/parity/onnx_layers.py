"""The named stages of an ONNX artifact, for `--bisect`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime

from edgefer.artifact import Artifact
from edgefer.errors import UnavailableError
from edgefer.images import decode


def layers(artifact: Artifact, images: Sequence[tuple[str, bytes]], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Make the named tensors outputs again, and run encoded images through ONNX Runtime: each [N, ...].

    Raises:
        UnavailableError: the artifact has no tensor of one of these names.
    """
    model = onnx.load(artifact.model)
    produced = {name for node in model.graph.node for name in node.output}
    missing = [name for name in names if name not in produced]
    if missing:
        raise UnavailableError(f"the artifact has no tensor named {missing[0]}.", "export it with this version.")
    outputs = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    preprocess = artifact.manifest.preprocess
    faces = [preprocess(decode(data, name)) for name, data in images]
    step = artifact.manifest.batch[0] if artifact.manifest.batch else len(faces)
    parts = [session.run(list(names), {"image": np.stack(faces[at : at + step])}) for at in range(0, len(faces), step)]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}
