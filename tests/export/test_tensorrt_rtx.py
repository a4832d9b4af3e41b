"""Real engines of TensorRT-RTX, built here without a GPU, and every way in which one can be wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from edgefer.artifact import MANIFEST, PARITY, Artifact, dump, open_artifact, sha256_path
from edgefer.errors import ArtifactError, EdgeferError, UnavailableError, UsageError
from edgefer.export.onnx_graph import to_onnx
from edgefer.export.run import Options, export
from edgefer.export.targets import Request
from edgefer.export.trt import builder, graph
from edgefer.export.trt.network import make_network, network_types
from edgefer.imageset import ImageSet
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import seeded
from edgefer.runtime.cuda import Gpu
from edgefer.runtime.engines import open_engine
from edgefer.runtime.engines.trt.checks import check_file, check_machine, read_header
from edgefer.runtime.engines.trt.flavor import RTX, make_log
from edgefer.samples import encoded
from edgefer.weights import CHECKPOINT

trt = pytest.importorskip("tensorrt_rtx", reason='TensorRT-RTX is not installed: pip install "edgefer[tensorrt-rtx]"')

Call = Callable[..., tuple[int, str, str]]
CAPABILITIES = "8.6,8.9,12.0"
SOME = ImageSet(encoded(4), "4 faces")


@pytest.fixture(scope="module")
def engines(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """The tiny network as an engine in each precision."""
    folder = tmp_path_factory.mktemp("rtx")
    found = {}
    for precision in ("fp32", "fp16", "int8"):
        options = Options("tensorrt-rtx", precision, target_options={"compute_capability": CAPABILITIES})
        found[precision] = export(tiny, folder / precision, SOME, options)
    return found


@pytest.fixture
def copy(engines: dict[str, Artifact], tmp_path: Path) -> Callable[[str], Path]:
    def call(precision: str) -> Path:
        return Path(shutil.copytree(engines[precision].path, tmp_path / precision))

    return call


def reseal(folder: Path, **changes: object) -> Artifact:
    """Make hashes and seal fit again, as a careful forger would."""
    manifest = open_manifest(folder)
    files = {name: sha256_path(folder / name) for name in manifest.files}
    (folder / MANIFEST).write_bytes(dump(replace(manifest, **{"files": files, **changes}).to_dict()))  # type: ignore[arg-type]
    return open_artifact(folder)


def open_manifest(folder: Path):  # type: ignore[no-untyped-def]
    from edgefer.artifact import read_manifest

    return read_manifest(folder)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_built_and_read_back(engines: dict[str, Artifact], precision: str) -> None:
    manifest = engines[precision].manifest
    assert (manifest.target, manifest.precision, manifest.batch) == ("tensorrt-rtx", precision, (1, 8, 32))
    assert manifest.device == {"compute_capability": CAPABILITIES}
    assert manifest.tools["tensorrt_rtx"] == trt.__version__
    network = manifest.layers["network"]
    assert set(network["CONVOLUTION"]) == set(network["MATRIX_MULTIPLY"]) == {precision}
    assert network["CONVOLUTION"][precision] == 6  # the stem, and block 1 with its shortcut
    assert network["MATRIX_MULTIPLY"][precision] == 2 + 4 + 4  # squeeze-excitation, blocks 2 and 3, the classifier
    assert network["SOFTMAX"] == {"fp32": 1}
    assert set(network["REDUCE"]) == {"fp32"}  # gray and the mean, whatever the network computes in
    header = read_header(engines[precision].model.read_bytes())
    assert header is not None
    assert ".".join(map(str, header.version)) == trt.__version__
    assert header.size == engines[precision].model.stat().st_size


def test_it_is_said_that_it_was_not_run(engines: dict[str, Artifact]) -> None:
    if builder.cuda.find_gpu():
        pytest.skip("this machine has a GPU")
    assert engines["fp16"].manifest.proof == "not run"
    report = json.loads((engines["fp16"].path / PARITY).read_text())
    assert report["verdict"] == "not run"
    assert report["reason"]
    assert report["hint"]


def test_int8_says_what_it_was_calibrated_on(engines: dict[str, Artifact]) -> None:
    assert engines["int8"].manifest.tools["calibration"] == "256 rendered faces, seed 1000"
    assert "calibration" not in engines["fp16"].manifest.tools


def test_the_content_is_the_graph_and_the_same_every_time(tiny: Checkpoint, engines: dict[str, Artifact]) -> None:
    """Two builds differ byte by byte; what they were built from does not."""
    model, _ = graph.make_graph(Request(tiny, tiny.preprocess, "fp16"), (1, 8, 32), None)
    digest = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    assert engines["fp16"].manifest.content_sha256 == digest
    contents = {artifact.manifest.content_sha256 for artifact in engines.values()}
    assert len(contents) == 3


def test_a_fixed_batch(tiny: Checkpoint, tmp_path: Path) -> None:
    options = Options(
        "tensorrt-rtx", "fp16", batch=(4,), target_options={"compute_capability": "8.9", "workspace": 256}
    )
    artifact = export(tiny, tmp_path / "a", SOME, options)
    assert artifact.manifest.batch == (4,)
    assert artifact.manifest.device == {"compute_capability": "8.9"}


def test_progress_is_told_and_ctrl_c_stops_the_build(tiny: Checkpoint, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    options = Options("tensorrt-rtx", "fp16", target_options={"compute_capability": "8.9"})
    export(tiny, tmp_path / "a", SOME, options, progress=lambda *n: seen.append(n))
    assert seen
    assert all(done <= total for done, total in seen)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(tiny, tmp_path / "b", SOME, options, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("given", "precision", "words"),
    [
        ({"compute_capability": "9.0"}, "fp16", "does not build for compute capability 9.0"),
        ({"compute_capability": "8.6,,"}, "fp16", r"compute capability \(none\)"),
        ({"compute_capability": "ampere"}, "fp16", "compute capability ampere"),
        ({"compute_capability": "7.5"}, "fp32", "no fp32 matrix products for compute capability 7.5"),
        ({"compute_capability": "8.9", "workspace": 0}, "fp16", "--workspace 0"),
        ({"compute_capability": "8.9", "calibration": "faces"}, "fp16", "--calibration is for int8"),
        ({"optimization_level": 3}, "fp16", "takes no option optimization_level"),
    ],
)
def test_options_that_cannot_be(
    tiny: Checkpoint, tmp_path: Path, given: dict[str, object], precision: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        export(tiny, tmp_path / "a", SOME, Options("tensorrt-rtx", precision, target_options=given))
    assert not list(tmp_path.iterdir())


def test_without_a_gpu_it_must_be_said_what_for(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder.cuda, "find_gpu", lambda: None)
    with pytest.raises(UsageError, match="no GPU here to build for") as caught:
        export(tiny, tmp_path / "a", SOME, Options("tensorrt-rtx", "fp16"))
    assert "--compute-capability" in caught.value.hint


def test_what_tensorrt_refuses_is_said_in_its_words(tiny: Checkpoint, tmp_path: Path) -> None:
    options = Options("tensorrt-rtx", "fp32", target_options={"compute_capability": "8.9", "workspace": 1})
    network = Checkpoint(seeded("quarter"))  # its weights alone are more than a megabyte
    with pytest.raises(EdgeferError, match=r"could not build the engine: .*OutOfMemory") as caught:
        export(network, tmp_path / "a", SOME, options)
    assert "--workspace" in caught.value.hint


def network_of(payload: bytes) -> object:
    log = make_log(trt)
    maker = trt.Builder(log)
    network, _parser = make_network(trt, RTX, maker, log, payload)
    return network_types(network)


def test_the_parsers_own_errors() -> None:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [2, 2]), ("y", []))
    ]
    node = helper.make_node("Det", ["x"], ["y"], name="strange")
    odd = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 20)]
    )
    with pytest.raises(EdgeferError, match="refuses Det 'strange'") as caught:
        network_of(odd.SerializeToString())
    assert "upgrade" in caught.value.hint
    with pytest.raises(EdgeferError, match=r"refuses the file: .*Failed to parse"):
        network_of(b"rubbish")


# Planted faults.


def test_an_int8_engine_called_fp16_is_refused_when_built(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def int8(request: Request, *rest: object) -> object:
        return graph.make_graph(replace(request, precision="int8"), (1, 8, 32), None)

    monkeypatch.setattr(builder, "make_graph", int8)
    options = Options("tensorrt-rtx", "fp16", target_options={"compute_capability": "8.9"})
    with pytest.raises(EdgeferError, match="products compute in int8, not in fp16"):
        export(tiny, tmp_path / "a", SOME, options)
    assert not (tmp_path / "a").exists()


def test_an_int8_engine_called_fp16_is_refused_when_loaded(copy: Callable[[str], Path]) -> None:
    artifact = reseal(copy("int8"), precision="fp16")
    with pytest.raises(ArtifactError, match="is called fp16, but was built from int8"):
        check_file(RTX, artifact, artifact.model.read_bytes())
    if builder.cuda.installed("cuda.bindings"):
        with pytest.raises(ArtifactError, match="is called fp16"):
            open_engine(artifact)


def test_a_precision_edited_by_hand_breaks_the_seal(copy: Callable[[str], Path]) -> None:
    folder = copy("int8")
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"precision": "int8"', '"precision": "fp16"'))
    with pytest.raises(ArtifactError, match="seal does not match"):
        open_artifact(folder)


def test_a_layer_left_in_float_is_noticed(tiny: Checkpoint) -> None:
    """One product without its pairs, and the network is no int8 network any more."""
    model, _ = graph.make_graph(Request(tiny, tiny.preprocess, "int8"), (1, 8, 32), None)
    assert network_of(model.SerializeToString())["CONVOLUTION"] == {"int8": 6}  # type: ignore[index]
    made = {name: node for node in model.graph.node for name in node.output}
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    conv.input[0] = made[made[conv.input[0]].input[0]].input[0]
    assert network_of(model.SerializeToString())["CONVOLUTION"] == {"fp32": 1, "int8": 5}  # type: ignore[index]


@pytest.mark.parametrize("kept", [0, 10, 27, 1000, -1])
def test_a_truncated_engine(copy: Callable[[str], Path], kept: int) -> None:
    folder = copy("fp16")
    data = (folder / "model.engine").read_bytes()
    (folder / "model.engine").write_bytes(data[:kept])
    with pytest.raises(ArtifactError, match="its hash differs"):
        open_artifact(folder)
    artifact = reseal(folder)  # and if somebody makes the hashes fit, its own header tells
    with pytest.raises(ArtifactError, match="is cut off") as caught:
        check_file(RTX, artifact, artifact.model.read_bytes())
    assert "edgefer export CHECKPOINT --target tensorrt-rtx --precision fp16" in caught.value.hint


@pytest.mark.parametrize("where", [0.0, 0.3, 0.999])
def test_one_flipped_bit(copy: Callable[[str], Path], where: float) -> None:
    folder = copy("fp16")
    data = bytearray((folder / "model.engine").read_bytes())
    data[int(where * len(data))] ^= 4
    (folder / "model.engine").write_bytes(data)
    with pytest.raises(ArtifactError, match="its hash differs"):
        open_artifact(folder)


def test_an_engine_of_another_version(copy: Callable[[str], Path]) -> None:
    folder = copy("fp16")
    data = bytearray((folder / "model.engine").read_bytes())
    data[25] += 1  # the minor version
    (folder / "model.engine").write_bytes(data)
    artifact = reseal(folder)
    with pytest.raises(ArtifactError, match=r"says that TensorRT-RTX 1\.8\..* built it, its manifest says 1\.7\."):
        check_file(RTX, artifact, bytes(data))
    # The manifest edited with it: nothing contradicts itself any more, but this is not that version.
    tools = {**artifact.manifest.tools, "tensorrt_rtx": "1.8" + trt.__version__[3:]}
    artifact = reseal(folder, tools=tools)
    check_file(RTX, artifact, bytes(data))
    with pytest.raises(UnavailableError, match=r"with TensorRT-RTX 1\.8\..*; this is .* with TensorRT-RTX 1\.7\."):
        check_machine(RTX, artifact, trt.__version__, Gpu(0, "Fake RTX", "8.9", 46, 1, "13.0"))


def test_an_engine_of_full_tensorrt(copy: Callable[[str], Path]) -> None:
    folder = copy("fp16")
    data = b"ftrt" + (folder / "model.engine").read_bytes()[4:]
    (folder / "model.engine").write_bytes(data)
    with pytest.raises(ArtifactError, match="an engine of TensorRT, not of TensorRT-RTX"):
        check_file(RTX, reseal(folder), data)


def test_a_manifest_of_another_engine(copy: Callable[[str], Path]) -> None:
    one, other = copy("fp16"), copy("fp32")
    shutil.copy(other / MANIFEST, one / MANIFEST)
    with pytest.raises(ArtifactError, match="its hash differs"):
        open_artifact(one)


@pytest.mark.parametrize("capability", ["7.5", "9.0", "10.0", "12.1"])
def test_another_kind_of_gpu(engines: dict[str, Artifact], capability: str) -> None:
    with pytest.raises(UnavailableError, match=r"was built for compute capability 8\.6,8\.9,12\.0") as caught:
        check_machine(RTX, engines["fp16"], trt.__version__, Gpu(0, "Fake", capability, 46, 1, "13.0"))
    assert f"--compute-capability {capability}" in caught.value.hint


@pytest.mark.parametrize("capability", ["8.6", "8.9", "12.0"])
def test_the_kinds_of_gpu_it_is_for(engines: dict[str, Artifact], capability: str) -> None:
    check_machine(RTX, engines["fp16"], trt.__version__, Gpu(0, "Fake", capability, 46, 1, "13.0"))


# fp16: means in float32.


def test_a_mean_that_half_cannot_sum(tiny: Checkpoint) -> None:
    """ONNX's own evaluator sums halves in half: 28 * 28 values of 100 overflow, unless the mean is computed wider."""
    from onnx.reference import ReferenceEvaluator

    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 3, 28, 28]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1, 3, 1, 1]),
    ]
    axes = onnx.numpy_helper.from_array(np.array([2, 3]), "axes")
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("ReduceMean", ["r", "axes"], ["y"], "mean", keepdims=1),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:], [axes]), opset_imports=[helper.make_opsetid("", 20)]
    )
    x = np.full((1, 3, 28, 28), 100, np.float16)
    graph.float_means(model)
    assert [node.op_type for node in model.graph.node] == ["Relu", "Cast", "ReduceMean", "Cast"]
    found = ReferenceEvaluator(model).run(None, {"x": x})[0]
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, 100)


def test_float32_graphs_are_left_as_they_are(tiny: Checkpoint) -> None:
    model = to_onnx(Request(tiny, tiny.preprocess))
    before = model.SerializeToString(deterministic=True)
    graph.float_means(model)
    assert model.SerializeToString(deterministic=True) == before


# The whole command, on the weights that ship, and on the full widths.


def test_the_command(run_cli: Call, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.cli.common.RENDERED", 4)
    if builder.cuda.find_gpu():
        pytest.skip("this machine has a GPU")
    arguments = (
        "export",
        tiny_file,
        "--target",
        "tensorrt-rtx",
        "--precision",
        "fp16",
        "--compute-capability",
        "8.6,8.9",
    )
    code, out, _ = run_cli(*arguments, "--out", tmp_path / "a")
    assert code == 0
    assert "built, not run: " in out
    assert "edgefer verify" in out
    code, out, _ = run_cli("info", tmp_path / "a")
    assert code == 0
    assert "proof        not run: " in out
    assert "convolution 6 fp16" in out
    code, _, err = run_cli(*arguments, "--require-run", "--out", tmp_path / "b")
    assert code == 4
    assert len(err.splitlines()) == 2
    assert not (tmp_path / "b").exists()
    assert run_cli("verify", tmp_path / "a", "--checkpoint", tiny_file)[0] == 4
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "face.png")
    assert run_cli("predict", tmp_path / "a", tmp_path / "face.png")[0] == 4


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_weights_that_ship(precision: str, tmp_path: Path) -> None:
    options = Options("tensorrt-rtx", precision, target_options={"compute_capability": CAPABILITIES})
    artifact = export(checkpoints.load(CHECKPOINT), tmp_path / "a", SOME, options)
    assert artifact.manifest.precision == precision
    assert set(artifact.manifest.layers["network"]["CONVOLUTION"]) == {precision}


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "megabytes"), [("fp32", 145), ("fp16", 73), ("int8", 37)])
def test_reference_widths(precision: str, megabytes: int, tmp_path: Path) -> None:
    """The engine holds the weights that reach the output, in the type asked for, and little else."""
    options = Options("tensorrt-rtx", precision, target_options={"compute_capability": "8.9"})
    artifact = export(Checkpoint(seeded("reference")), tmp_path / "a", SOME, options)
    size = artifact.model.stat().st_size / 1e6
    assert megabytes <= size <= megabytes + 12
