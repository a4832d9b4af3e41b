"""The builder against the real bindings of three TensorRT versions; refusals; the timing cache."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgefer.errors import EdgeferError, UnavailableError
from edgefer.export import targets
from edgefer.export.trt import timing
from edgefer.export.trt.network import make_network
from edgefer.runtime.cuda import Gpu
from edgefer.runtime.engines.trt.checks import read_header, this_platform
from edgefer.runtime.engines.trt.flavor import RTX, TENSORRT, load_module, parse_version
from edgefer.runtime.engines.trt.inspect import contradiction, product_types, read_types
from tests.export import tensorrt_double

ROOT = Path(__file__).parent.parent.parent
STRONGLY_TYPED = {"10": 2, "11": 1}  # bit 1 in version 10, bit 0 in 11


@pytest.mark.parametrize(
    ("version", "precision"),
    [("10.3.0", "fp16"), ("10.16.1.11", "fp32"), ("11.4.0.106", "fp16")],
)
def test_a_whole_export_on_the_real_bindings(version: str, precision: str, tmp_path: Path) -> None:
    """Every name, argument, enum member and type is the real one, and the graph that was parsed proves itself."""
    reason = tensorrt_double.why_not(version)
    if reason:
        pytest.skip(reason)
    bindings = tensorrt_double.prepare(version, tmp_path / version)
    out = tmp_path / "fer"
    done = subprocess.run(
        [sys.executable, "-m", "tests.export.tensorrt_checks", bindings, out, precision],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["version"] == version
    assert found["flags"] == [[STRONGLY_TYPED[version.split(".")[0]]]] * 2
    assert found["cleared"] == ["TF32"] * 2
    assert found["set"] == ["VERSION_COMPATIBLE"] * 2  # nothing about precision: that is in the graph
    assert found["pool"] == [["WORKSPACE", 64 << 20]] * 2
    assert found["level"] == [[4]] * 2
    assert found["hardware"] == ["AMPERE_PLUS"] * 2
    assert found["verbosity"] == ["DETAILED"] * 2
    assert found["monitors"] == 2
    assert found["profile"] == [["image", *[[n, 64, 64, 3] for n in (1, 4, 16)]]] * 2
    assert found["host_code"] == [[True]] * 4  # inspected after the build, and run for the proof, twice each
    assert found["caches"] == ["", "measured"]
    place = this_platform().replace(" ", "-").replace("_", "-")
    assert found["cache_files"] == [f"tensorrt-{version}-Fake-RTX-8.9-46-{place}.cache"]
    manifest = found["manifest"]
    assert (manifest["target"], manifest["precision"], manifest["proof"]) == ("tensorrt", precision, "passed")
    assert manifest["batch"] == [1, 4, 16]
    assert manifest["tools"]["tensorrt"] == version
    assert manifest["device"]["compute_capability"] == "8.9"
    assert manifest["device"]["multiprocessors"] == 46
    assert manifest["device"]["version_compatible"]
    assert manifest["layers"] == {"network": {"CONVOLUTION": {precision: 1}}, "engine": {precision: 1}}
    assert f"TensorRT {version}, {precision}, batch 1:4:16" in found["said"][2]
    assert "20 faces: top-1 equal on all" in found["said"][3]


@pytest.mark.parametrize("version", ["11.4.0.106"])
def test_a_network_of_another_precision_is_refused(version: str, tmp_path: Path) -> None:
    """The network's own types decide: here float products, where int8 was asked for, and nothing is written."""
    reason = tensorrt_double.why_not(version)
    if reason:
        pytest.skip(reason)
    bindings = tensorrt_double.prepare(version, tmp_path / version)
    done = subprocess.run(
        [sys.executable, "-m", "tests.export.tensorrt_checks", bindings, tmp_path / "fer", "int8"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert "the network's products compute in fp32, not in int8" in done.stderr
    assert not (tmp_path / "fer").exists()


def test_without_the_module_the_install_command_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != "tensorrt")
    with pytest.raises(UnavailableError, match="needs tensorrt") as caught:
        targets.builder("tensorrt")
    assert caught.value.exit_code == 4
    assert caught.value.hint.startswith('pip install "edgefer[export,tensorrt]" on a machine with an NVIDIA GPU')


@pytest.mark.parametrize("version", ["10.2.0", "12.0.1", "8.6.1", "dev"])
def test_versions_that_we_do_not_know_are_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: True)
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__=version))
    with pytest.raises(UnavailableError, match=f"TensorRT {version} is installed; edgefer works with 10.3 and later"):
        load_module(TENSORRT)


@pytest.mark.parametrize("version", ["10.3.0", "10.16.1.11", "11.4.0.106"])
def test_versions_that_we_know(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: True)
    module = SimpleNamespace(__version__=version)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    assert load_module(TENSORRT) is module


def test_version_numbers() -> None:
    assert parse_version("10.14.1.48.post1") == (10, 14, 1, 48)
    assert parse_version("") == ()


class Parser:
    """A parser that refuses: one error, as TensorRT words it."""

    def __init__(self, code: str, operator: str, count: int = 1) -> None:
        self.num_errors = count
        self._error = SimpleNamespace(
            code=lambda: SimpleNamespace(name=code),
            node_operator=lambda: operator,
            node_name=lambda: "node_7",
            desc=lambda: "no kernel",
        )

    def parse(self, payload: bytes) -> bool:
        return False

    def get_error(self, index: int) -> Any:
        return self._error


@pytest.mark.parametrize(
    ("parser", "words", "hint"),
    [
        (
            Parser("UNSUPPORTED_NODE", "Det"),
            r"refuses Det 'node_7': no kernel \(UNSUPPORTED_NODE\)",
            "upgrade TensorRT",
        ),
        (Parser("INVALID_NODE", "Conv"), r"refuses Conv 'node_7'", "report this"),
        (Parser("MODEL_DESERIALIZE_FAILED", ""), r"refuses the file: no kernel", "report this"),
        (Parser("", "", 0), r"gives no reason", "report this"),
    ],
)
def test_parser_errors_name_operator_node_and_reason(parser: Parser, words: str, hint: str) -> None:
    trt = SimpleNamespace(
        __version__="10.3.0",
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        OnnxParser=lambda network, log: parser,
    )
    builder = SimpleNamespace(create_network=lambda flags: object())
    with pytest.raises(EdgeferError, match=words) as caught:
        make_network(trt, TENSORRT, builder, SimpleNamespace(cause=""), b"")
    assert hint in caught.value.hint


class Config:
    """Takes the cache content `good` and the empty one, as TensorRT takes what this device measured."""

    def __init__(self, good: bytes) -> None:
        self.good, self.tried, self.taken = good, list[bytes](), b""

    def create_timing_cache(self, content: bytes) -> Any:
        self.tried.append(content)
        return SimpleNamespace(content=content) if content != b"damaged" else None

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.taken = cache.content
        return cache.content in (self.good, b"")

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: memoryview(self.taken + b"+"))


@pytest.mark.parametrize(
    ("content", "tried"),
    [(None, [b""]), (b"ours", [b"ours"]), (b"damaged", [b"damaged", b""]), (b"another GPU's", [b"another GPU's", b""])],
)
def test_the_timing_cache_is_used_again_or_begun_anew(
    content: bytes | None, tried: list[bytes], tmp_path: Path
) -> None:
    path, config = tmp_path / "deep" / "a.cache", Config(b"ours")
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    timing.attach(config, path)
    assert config.tried == (
        tried
        if content is not None
        else [
            b"",
        ][:1]
    )
    timing.save(config, path)
    assert path.read_bytes() == (b"ours+" if content == b"ours" else b"+")
    assert [p.name for p in path.parent.iterdir()] == ["a.cache"]


def test_timing_caches_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFER_CACHE", str(tmp_path))
    orin = Gpu(0, "Orin", "8.7", 16, 1, "12.2")
    nano = Gpu(0, "Orin", "8.7", 8, 1, "12.2")
    paths = {timing.default_path(module, version, gpu) for module, version, gpu in (
        ("tensorrt", "10.3.0", orin), ("tensorrt", "10.3.0", nano), ("tensorrt", "10.4.0", orin),
    )}  # fmt: skip
    assert len(paths) == 3
    assert all(path.parent == tmp_path / "timing" for path in paths)


def test_headers() -> None:
    plan = b"ftrt" + bytes(20) + bytes([10, 3, 0, 26]) + bytes(100)
    header = read_header(plan)
    assert header is not None
    assert (header.flavor, header.version, header.size) == (TENSORRT, (10, 3, 0, 26), 0)
    rtx = b"vtrt" + bytes(12) + (128).to_bytes(8, "little") + bytes([1, 7, 1, 116]) + bytes(100)
    header = read_header(rtx)
    assert header is not None
    assert (header.flavor, header.version, header.size) == (RTX, (1, 7, 1, 116), 128)
    assert read_header(b"PK\3\4" + bytes(60)) is None
    assert read_header(b"ftrt") is None
    assert read_header(b"ftrt\1" + bytes(60)) is None  # another serialisation number: we do not know its form


def test_types_from_the_inspectors_two_ways_of_writing() -> None:
    short = {"Layers": [{"Inputs": [{"Format/Datatype": "Half"}, {"Format/Datatype": "Int32"}], "Outputs": []}]}
    long = {
        "Layers": [
            {
                "Inputs": [{"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}],
                "Outputs": [{"Format/Datatype": "Row major linear FP32"}],
            }
        ]
    }
    assert read_types(json.dumps(short)) == {"fp16": 1}
    assert read_types(json.dumps(long)) == {"fp16": 1, "fp32": 1}
    assert read_types(json.dumps({"Layers": ["conv1", "conv2"]})) == {}
    assert read_types("{}") == {}


@pytest.mark.parametrize(
    ("precision", "types", "wrong"),
    [
        ("fp32", {"fp32": 9}, None),
        ("fp32", {"fp32": 9, "fp16": 2}, "2 of its tensors are fp16"),
        ("fp16", {"fp16": 9, "fp32": 2}, None),
        ("fp16", {"fp32": 9}, "it holds no fp16 tensor"),
        ("fp16", {"fp16": 9, "int8": 3}, "3 of its tensors are int8"),
        ("int8", {"int8": 9, "fp32": 3}, None),
        ("int8", {"fp16": 9}, "it holds no int8 tensor"),
        ("int8", {}, None),
    ],
)
def test_contradictions(precision: str, types: dict[str, int], wrong: str | None) -> None:
    assert contradiction(precision, types) == wrong


def test_products_alone_make_the_precision() -> None:
    network = {"CONVOLUTION": {"int8": 6}, "MATRIX_MULTIPLY": {"int8": 9, "fp32": 1}, "SOFTMAX": {"fp16": 1}}
    assert product_types(network) == {"int8", "fp32"}


Call = Callable[..., tuple[int, str, str]]


def test_options_of_another_target_are_refused(run_cli: Call, tiny_file: Path, tmp_path: Path) -> None:
    code, _, err = run_cli("export", tiny_file, "--workspace", "64", "--out", tmp_path / "fer")
    assert code == 2
    assert "tensorrt, tensorrt-rtx" in err
