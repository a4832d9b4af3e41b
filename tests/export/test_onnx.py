"""The ONNX file: contract, determinism, precision, and nothing of the machine in it."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from edgefer.artifact import Artifact
from edgefer.emotions import EMOTIONS, permutation
from edgefer.export import onnx as target
from edgefer.export.precision import onnx_precision
from edgefer.export.targets import Request
from edgefer.model.checkpoint import Checkpoint
from edgefer.preprocess import Preprocess

# Float32 summed in another order moves a probability by a few units in its seventh digit.
TOLERANCE = 5e-6
IMAGES = np.random.default_rng(3).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def expected(checkpoint: Checkpoint, preprocess: Preprocess, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits = checkpoint.network(torch.from_numpy(preprocess.normalize(images)))
    return torch.softmax(logits, 1).numpy()[:, permutation(checkpoint.classes)]


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


def test_contract(tiny_artifact: Artifact) -> None:
    model = onnx.load(tiny_artifact.model)
    onnx.checker.check_model(model, full_check=True)
    (image,), (probabilities,) = model.graph.input, model.graph.output
    assert image.name == "image"
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    dims = image.type.tensor_type.shape.dim
    assert (dims[0].dim_param, [d.dim_value for d in dims[1:]]) == ("N", [64, 64, 3])
    assert probabilities.name == "probabilities"
    assert probabilities.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert probabilities.type.tensor_type.shape.dim[1].dim_value == 7
    assert {e.domain: e.version for e in model.opset_import} == {"": target.OPSET}
    assert not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)


def test_two_engines_agree_with_pytorch(tiny: Checkpoint, tiny_artifact: Artifact) -> None:
    """onnx's own reference evaluator shares no code with ONNX Runtime."""
    model = onnx.load(tiny_artifact.model)
    wanted = expected(tiny, tiny.preprocess, IMAGES)
    np.testing.assert_allclose(run(model, IMAGES), wanted, atol=TOLERANCE)
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"image": IMAGES})[0], wanted, atol=TOLERANCE)
    np.testing.assert_allclose(wanted.sum(1), 1, atol=TOLERANCE)


@pytest.mark.parametrize(("size", "grayscale"), [(48, False), (72, True), (100, False)])
def test_sizes_and_colour(tiny: Checkpoint, grayscale: bool, size: int) -> None:
    preprocess = Preprocess(size=size, grayscale=grayscale, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    images = np.random.default_rng(size).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    model = target.to_onnx(Request(tiny, preprocess))
    np.testing.assert_allclose(run(model, images), expected(tiny, preprocess, images), atol=TOLERANCE)


def test_fp16_is_fp16_with_float_ends(tiny: Checkpoint) -> None:
    model = target.to_onnx(Request(tiny, tiny.preprocess, "fp16"))
    assert onnx_precision(model) == "fp16"
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert kinds["scale"] == kinds["shift"] == onnx.TensorProto.FLOAT
    np.testing.assert_allclose(run(model, IMAGES), expected(tiny, tiny.preprocess, IMAGES), atol=5e-3)


def test_fixed_batch(tiny: Checkpoint) -> None:
    model = target.to_onnx(Request(tiny, tiny.preprocess, batch=(5,)))
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 5
    np.testing.assert_allclose(run(model, IMAGES), expected(tiny, tiny.preprocess, IMAGES), atol=TOLERANCE)


def test_plain_graph_keeps_its_parameters(tiny: Checkpoint) -> None:
    plain = target.to_onnx(Request(tiny, tiny.preprocess, specialized=False))
    special = target.to_onnx(Request(tiny, tiny.preprocess))
    sizes = [sum(math.prod(t.dims) for t in model.graph.initializer) for model in (plain, special)]
    dead = 5 * 24 * 32 + 8 * 32 * 32  # taps of the last block that only meet padding at 64x64
    assert sizes[0] - sizes[1] > 0.9 * dead
    np.testing.assert_allclose(run(plain, IMAGES), expected(tiny, tiny.preprocess, IMAGES), atol=TOLERANCE)


def test_the_class_order_is_in_the_weights(tiny: Checkpoint) -> None:
    """Any order a checkpoint has ends up canonical, without a node in the graph."""
    graphs = []
    for classes in (EMOTIONS, EMOTIONS[::-1]):
        checkpoint = Checkpoint(tiny.network, tiny.preprocess, classes)
        model = target.to_onnx(Request(checkpoint, tiny.preprocess))
        np.testing.assert_allclose(run(model, IMAGES), expected(checkpoint, tiny.preprocess, IMAGES), atol=TOLERANCE)
        graphs.append([node.op_type for node in model.graph.node])
    assert graphs[0] == graphs[1]


_SCRIPT = """
import sys, hashlib
from edgefer.export.onnx import to_onnx
from edgefer.export.targets import Request
from edgefer.model import checkpoint
c = checkpoint.load(sys.argv[1])
print(hashlib.sha256(to_onnx(Request(c, c.preprocess)).SerializeToString(deterministic=True)).hexdigest())
"""


def test_same_bytes_from_another_process_and_folder(tiny_file: Path, tiny_artifact: Artifact, tmp_path: Path) -> None:
    environment = {"PYTHONHASHSEED": "1234", "HOME": str(tmp_path), "PATH": "/usr/bin", "OMP_NUM_THREADS": "1"}
    if sys.platform == "win32":
        import os

        environment = {**os.environ, "PYTHONHASHSEED": "1234"}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tiny_file)],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == tiny_artifact.manifest.content_sha256


def test_nothing_of_the_machine_inside(tiny_artifact: Artifact) -> None:
    data = tiny_artifact.model.read_bytes()
    for trace in (str(Path.cwd()), str(Path.home()), "site-packages", ".py", "torch.nn", "stack_trace"):
        assert trace.encode() not in data
    model = onnx.load(tiny_artifact.model)
    assert [p.key for p in model.metadata_props] == ["edgefer.manifest"]
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_content_hash_is_the_payloads(tiny_artifact: Artifact) -> None:
    model = onnx.load(tiny_artifact.model)
    del model.metadata_props[:]
    payload = model.SerializeToString(deterministic=True)
    assert hashlib.sha256(payload).hexdigest() == tiny_artifact.manifest.content_sha256


def test_precision_is_read_not_believed(tiny: Checkpoint) -> None:
    model = target.to_onnx(Request(tiny, tiny.preprocess, "fp32"))
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
    assert onnx_precision(model) == "fp16"
