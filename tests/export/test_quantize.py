"""int8: the form of the graph, where its scales come from, and what it costs, computed exactly in float."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from edgefer.errors import EdgeferError, ImageError, UnavailableError
from edgefer.export import quantize as room
from edgefer.export.onnx_graph import to_onnx
from edgefer.export.precision import onnx_precision
from edgefer.export.quantize import PRODUCTS, calibration_probe, quantize
from edgefer.export.targets import Request
from edgefer.imageset import ImageSet
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint
from edgefer.parity.compare import AGREEMENT, BOUNDS, Comparison
from edgefer.samples import encoded
from edgefer.weights import CHECKPOINT


@pytest.fixture(scope="module")
def faces(tiny: Checkpoint) -> np.ndarray:
    return ImageSet(encoded(20, 7), "20 faces").faces(tiny.preprocess)


@pytest.fixture(scope="module")
def graphs(tiny: Checkpoint, faces: np.ndarray) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The tiny network in float, and quantised."""
    model = to_onnx(Request(tiny, tiny.preprocess))
    return model, quantize(model, faces)


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """The graph as it is written, with no rewriting: every pair rounds in float, every product is one in float."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": images[i : i + 32]})[0] for i in range(0, len(images), 32)])


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def test_every_product_has_two_int8_operands(graphs: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    model, quantized = graphs
    made, constants = producers(quantized), initializers(quantized)
    products = [node for node in quantized.graph.node if node.op_type in PRODUCTS]
    assert Counter(n.op_type for n in products) == Counter(n.op_type for n in model.graph.node if n.op_type in PRODUCTS)
    for node in products:
        data, weight = (made[name] for name in node.input[:2])
        assert data.op_type == weight.op_type == "DequantizeLinear"
        assert made[data.input[0]].op_type == "QuantizeLinear"
        assert constants[weight.input[0]].dtype == np.int8
    assert onnx_precision(quantized) == "int8"


def test_symmetric_and_per_channel_against_own_arithmetic(graphs: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    model, quantized = graphs
    weights, constants = initializers(model), initializers(quantized)
    pairs = [node for node in quantized.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert all(not constants[node.input[2]].any() and constants[node.input[2]].dtype == np.int8 for node in pairs)
    scales = constants["network.res_block1.conv1.weight_scale"]
    weight = weights["network.res_block1.conv1.weight"]
    wanted = np.abs(weight).reshape(len(weight), -1).max(1) / 127
    np.testing.assert_allclose(scales, wanted, rtol=1e-6)
    rounded = np.clip(np.rint(weight / wanted[:, None, None, None]), -127, 127)
    np.testing.assert_array_equal(constants["network.res_block1.conv1.weight_quantized"], rounded)
    # A product of rows has its channels last.
    name = next(n for n in weights if n.endswith("res_block2.second.weight"))
    assert constants[f"{name}_scale"].shape == (weights[name].shape[1],)
    # What enters conv2 is the first stage's output: its largest value, seldom cut, is 127 steps.
    assert all(constants[node.input[1]].ndim == 0 for node in pairs if node.op_type == "QuantizeLinear")


def test_biases_and_outputs_stay_in_float(graphs: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    """TensorRT knows no int32 dequantisation, and fuses a convolution with its ReLU only if nothing is between."""
    _, quantized = graphs
    constants = initializers(quantized)
    biases = [node.input[2] for node in quantized.graph.node if node.op_type in PRODUCTS and len(node.input) > 2]
    assert biases
    assert all(constants[name].dtype == np.float32 for name in biases)
    products = {name for node in quantized.graph.node if node.op_type in PRODUCTS for name in node.output}
    assert not any(n.input[0] in products for n in quantized.graph.node if n.op_type == "QuantizeLinear")


def test_contract_and_determinism(
    graphs: tuple[onnx.ModelProto, onnx.ModelProto], faces: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    model, quantized = graphs
    onnx.checker.check_model(quantized, full_check=True)
    assert [v.name for v in (*quantized.graph.input, *quantized.graph.output)] == ["image", "probabilities"]
    assert quantized.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert quantized.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    before = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    level = logging.root.manager.disable
    again = quantize(model, faces)
    assert again.SerializeToString(deterministic=True) == quantized.SerializeToString(deterministic=True)
    assert hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest() == before
    assert logging.root.manager.disable == level
    assert capfd.readouterr() == ("", "")
    assert not quantized.metadata_props
    assert b"/tmp" not in quantized.SerializeToString()


def test_a_fixed_batch_and_a_last_batch_that_is_not_full(tiny: Checkpoint, faces: np.ndarray) -> None:
    model = to_onnx(Request(tiny, tiny.preprocess, batch=(3,)))
    quantized = quantize(model, faces[:4])  # the second batch is filled up with what came first
    assert quantized.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 3
    assert run(quantized, faces[:3]).shape == (3, 7)


def test_the_scales_come_from_the_faces_given(tiny: Checkpoint, faces: np.ndarray) -> None:
    model = to_onnx(Request(tiny, tiny.preprocess))
    dark = quantize(model, faces // 4)
    light = quantize(model, faces)
    # (gray / 255 - mean) / std: the darkest value decides for dark faces, the lightest may for light ones.
    assert initializers(dark)["input_scale"] != initializers(light)["input_scale"]


def agreement(model: onnx.ModelProto, quantized: onnx.ModelProto, images: np.ndarray) -> Comparison:
    names = [str(i) for i in range(len(images))]
    return Comparison(names, run(model, images), run(quantized, images), BOUNDS["int8"], AGREEMENT["int8"])


@pytest.fixture(scope="module")
def shipped() -> tuple[Checkpoint, onnx.ModelProto, onnx.ModelProto]:
    """The model that ships, in float and quantised on drawn faces, as an export does it."""
    checkpoint = checkpoints.load(CHECKPOINT)
    model = to_onnx(Request(checkpoint, checkpoint.preprocess))
    return checkpoint, model, quantize(model, calibration_probe(None).faces(checkpoint.preprocess))


@pytest.mark.slow
def test_int8_of_the_model_that_ships_keeps_its_labels(
    shipped: tuple[Checkpoint, onnx.ModelProto, onnx.ModelProto],
    fer2013_mini: tuple[np.ndarray, dict[str, np.ndarray]],
) -> None:
    """Calibrated on drawings, judged on photographs of the validation and test sets, and on other drawings."""
    checkpoint, model, quantized = shipped
    images, meta = fer2013_mini
    chosen = images[meta["usage"] > 0]
    real = np.stack([checkpoint.preprocess(np.repeat(face[..., None], 3, -1)) for face in chosen])
    drawn = ImageSet(encoded(256), "256 faces").faces(checkpoint.preprocess)  # those of an export's own proof
    for faces in (real, drawn):
        comparison = agreement(model, quantized, faces)
        assert comparison.passed, comparison.failures
        assert comparison.agreeing >= 0.995


@pytest.mark.slow
def test_a_scale_that_is_wrong_is_noticed_by_the_verdict(
    shipped: tuple[Checkpoint, onnx.ModelProto, onnx.ModelProto],
) -> None:
    """As if the first layer had been calibrated on pictures eight times darker: all that is lighter is cut off."""
    checkpoint, model, quantized = shipped
    drawn = ImageSet(encoded(64), "64 faces").faces(checkpoint.preprocess)
    wrong = onnx.ModelProto()
    wrong.CopyFrom(quantized)
    scale = next(t for t in wrong.graph.initializer if t.name == "input_scale")
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / np.float32(8), scale.name))
    assert not agreement(model, wrong, drawn).passed


def test_a_product_left_in_float_or_a_zero_point_is_refused(
    graphs: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    model, quantized = graphs
    with pytest.raises(EdgeferError, match="left in float"):
        room._check(model)
    room._check(quantized)
    wrong = onnx.ModelProto()
    wrong.CopyFrom(quantized)
    name = next(node.input[2] for node in wrong.graph.node if node.op_type == "QuantizeLinear")
    zero = next(t for t in wrong.graph.initializer if t.name == name)
    zero.CopyFrom(numpy_helper.from_array(np.array(3, np.int8), name))
    with pytest.raises(EdgeferError, match="not symmetric"):
        room._check(wrong)


def test_calibration_images_are_drawn_or_the_users(tmp_path: Path, face: np.ndarray, tiny: Checkpoint) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), face)
    given = calibration_probe(tmp_path)
    assert given.source == "1 images given with --calibration"
    assert given.faces(tiny.preprocess).shape == (1, 64, 64, 3)
    drawn = calibration_probe(None)
    assert len(drawn.images) == room.FACES
    proof = {data for _, data in encoded(256)}
    assert not proof & {data for _, data in drawn.images}  # never proven on what it was calibrated on
    with pytest.raises(ImageError):
        calibration_probe(tmp_path / "none")


def test_without_onnxruntime(
    graphs: tuple[onnx.ModelProto, onnx.ModelProto], faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != "onnxruntime")
    with pytest.raises(UnavailableError, match="onnxruntime") as caught:
        quantize(graphs[0], faces)
    assert "edgefer[cpu]" in caught.value.hint
