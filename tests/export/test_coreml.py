"""The Core ML package: contract, precision, reproducibility, and planted faults that parity must refuse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgefer.artifact import MANIFEST, Artifact, dump, embedded_manifest, open_artifact, sha256_path
from edgefer.embedded import METADATA_KEY, MLMODEL, split_mlpackage
from edgefer.emotions import EMOTIONS, permutation
from edgefer.errors import ArtifactError, UnavailableError, UsageError
from edgefer.export.run import NotProvenError, Options, export
from edgefer.export.targets import TARGETS, Request
from edgefer.imageset import ImageSet
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import Architecture, seeded
from edgefer.parity import compare
from edgefer.parity.bisect import bisect
from edgefer.parity.prove import open_candidates, prove
from edgefer.preprocess import Preprocess

ct = pytest.importorskip("coremltools")

from edgefer.export import coreml, mlpackage  # noqa: E402 (needs coremltools)
from edgefer.parity.coreml_program import WEIGHTS, Evaluator, Program, main_block, read_spec  # noqa: E402

EXPORT = Path(__file__).parent.parent.parent / "export"
WIDE = Architecture(stem=(8, 16, 32), stages=(32, 32, 64), head=(32, 32, 32))  # wide enough for blocks of 32
IMAGES = np.random.default_rng(3).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def no_core_ml(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Linux, on every machine: the workflow on macOS runs the real thing through the command line."""
    monkeypatch.setattr("edgefer.runtime.engines.platform.system", lambda: "Linux")


@pytest.fixture(scope="session")
def package(tiny_file: Path, probe: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The tiny network exported to Core ML fp32. Read only: copy it before changing anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgefer.runtime.engines.platform.system", lambda: "Linux")
        out = tmp_path_factory.mktemp("coreml") / "tiny"
        return export(checkpoints.load(tiny_file), out, probe, Options(target="coreml"))


def expected(checkpoint: Checkpoint, preprocess: Preprocess, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits = checkpoint.network(torch.from_numpy(preprocess.normalize(images)))
    return torch.softmax(logits, 1).numpy()[:, permutation(checkpoint.classes)]


def evaluated(checkpoint: Checkpoint, folder: Path, images: np.ndarray = IMAGES, **request: Any) -> np.ndarray:
    """Build and evaluate, without the parity check around it."""
    preprocess = request.pop("preprocess", checkpoint.preprocess)
    built = coreml.build(Request(checkpoint, preprocess, **request), folder)
    return Evaluator(_artifact(folder / built.model))(images)


def _artifact(model: Path) -> Any:
    return type("Made", (), {"model": model})()


def test_contract(package: Artifact) -> None:
    """Read with coremltools, as Xcode would."""
    spec = ct.utils.load_spec(str(package.model))
    assert spec.specificationVersion == ct.target.iOS15
    (image,), outputs = spec.description.input, {output.name: output for output in spec.description.output}
    assert image.name == "image"
    assert (image.type.imageType.width, image.type.imageType.height) == (64, 64)
    assert image.type.imageType.colorSpace == image.type.imageType.RGB
    assert set(outputs) == {"label", "probabilities"}
    assert outputs["label"].type.WhichOneof("Type") == "stringType"
    assert outputs["probabilities"].type.dictionaryType.WhichOneof("KeyType") == "stringKeyType"
    assert spec.description.predictedFeatureName == "label"
    assert spec.description.predictedProbabilitiesName == "probabilities"
    metadata = spec.description.metadata
    assert all((metadata.author, metadata.license, metadata.shortDescription, metadata.versionString))
    assert all(feature.shortDescription for feature in (image, *outputs.values()))
    assert metadata.userDefined["com.apple.coreml.model.preview.type"] == "imageClassifier"
    inside = json.loads(metadata.userDefined[METADATA_KEY])
    assert inside["proof"] == package.manifest.proof == "evaluated"


def test_the_verdict_says_what_was_proven_and_what_was_not(package: Artifact) -> None:
    parity = json.loads((package.path / "parity.json").read_text())
    assert (parity["verdict"], parity["passed"]) == ("evaluated", True)
    assert parity["max_delta"] <= parity["bound"] == 1e-5
    assert "not run" in parity["runtime"]
    assert "macOS" in parity["runtime"]
    assert "Not Apple's kernels" in parity["proves"]
    assert "evaluated by edgefer" in parity["engine"]


def test_require_run_is_not_satisfied_by_an_evaluation(tiny: Checkpoint, probe: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="macOS") as caught:
        export(tiny, tmp_path / "a", probe, Options(target="coreml", require_run=True))
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "precision", "stored", "worst"),
    [
        ({}, "fp16", "FLOAT16", 5e-3),
        ({"compress": "int8"}, "fp16", "INT8", 5e-2),
        ({"compress": "int8", "deployment_target": "iOS18"}, "fp32", "INT8", 5e-2),
        ({"compress": "int4"}, "fp16", "INT4", 3e-1),
    ],
)
def test_precisions(tmp_path: Path, options: dict[str, str], precision: str, stored: str, worst: float) -> None:
    checkpoint = Checkpoint(seeded(WIDE, 1))
    found = evaluated(checkpoint, tmp_path, precision=precision, options=options)
    delta = np.abs(found - expected(checkpoint, checkpoint.preprocess, IMAGES)).max()
    assert 0 < delta < worst
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    program = Program(tmp_path / coreml.MODEL)
    assert program.stored.most_common(1)[0][0] == stored


def test_weights_are_decoded_as_coremltools_decodes_them(tmp_path: Path) -> None:
    """Our reading of blobs, int4 halves and blocks against the library's decompression of the same package."""
    checkpoint = Checkpoint(seeded(WIDE, 1))
    for options in ({"compress": "int4"}, {"compress": "int8"}):
        shutil.rmtree(tmp_path / coreml.MODEL, ignore_errors=True)
        built = coreml.build(Request(checkpoint, checkpoint.preprocess, "fp32", options=options), tmp_path)
        package = tmp_path / built.model
        ours = Program(package)
        model = ct.models.MLModel(str(package), skip_model_load=True)
        plain = ct.optimize.coreml.decompress_weights(model)
        shutil.rmtree(tmp_path / "plain", ignore_errors=True)
        mlpackage.write_package(tmp_path / "plain", plain.get_spec(), Path(plain.weights_dir) / "weight.bin")
        theirs = Program(tmp_path / "plain")
        assert theirs.stored.most_common(1)[0][0] == "FLOAT32"
        image = IMAGES[:1].astype(np.float32).transpose(0, 3, 1, 2)
        assert ours(image)["probabilities"] == pytest.approx(theirs(image)["probabilities"], abs=1e-6)


@pytest.mark.parametrize("batch", [(3,), (1, 2, 4)])
def test_arrays_of_images(tiny: Checkpoint, tmp_path: Path, batch: tuple[int, ...]) -> None:
    options = {"deployment_target": "iOS16"}
    found = evaluated(tiny, tmp_path, precision="fp16", batch=batch, options=options)
    np.testing.assert_allclose(found, expected(tiny, tiny.preprocess, IMAGES), atol=5e-3)
    description = read_spec(tmp_path / coreml.MODEL).description
    array = description.input[0].type.multiArrayType
    assert array.dataType == array.FLOAT32
    assert {int(s.shape[0]) for s in array.enumeratedShapes.shapes} == (set(batch) if len(batch) > 1 else set())
    assert [o.name for o in description.output] == ["probabilities"]
    assert description.output[0].type.multiArrayType.dataType == array.FLOAT32
    assert not description.predictedFeatureName  # a classifier with a flexible batch loads nowhere


@pytest.mark.parametrize(("size", "grayscale", "specialized"), [(48, False, True), (72, True, True), (64, True, False)])
def test_sizes_colour_and_the_plain_graph(
    tiny: Checkpoint, tmp_path: Path, size: int, grayscale: bool, specialized: bool
) -> None:
    preprocess = Preprocess(size=size, grayscale=grayscale, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    images = np.random.default_rng(size).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    found = evaluated(tiny, tmp_path, images, preprocess=preprocess, specialized=specialized)
    np.testing.assert_allclose(found, expected(tiny, preprocess, images), atol=1e-5)


def test_an_old_system_cannot_read_new_weights(tiny: Checkpoint, tmp_path: Path) -> None:
    options = {"compress": "int4", "deployment_target": "iOS16"}
    with pytest.raises(UsageError, match="iOS16 cannot read int4") as caught:
        coreml.build(Request(tiny, tiny.preprocess, options=options), tmp_path)
    assert "iOS18" in caught.value.hint


def test_the_registry_offers_what_coremltools_has() -> None:
    """The registry is read where coremltools is missing, so it repeats the names."""
    choices = {option.name: option.choices for option in TARGETS["coreml"].options}
    names = [t for t in ct.target.__members__ if t.startswith("iOS") and ct.target[t] >= ct.target.iOS15]
    assert choices["deployment_target"] == tuple(names) == tuple(coreml.TARGETS)
    assert all(ct.target[mac] == ct.target[ios] for ios, mac in coreml.TARGETS.items())
    assert set(choices["compute_units"] or ()) == set(ct.ComputeUnit.__members__)
    assert set(choices["compress"] or ()) == set(coreml.OLDEST)


_SCRIPT = """
import sys, pathlib
from edgefer.export import coreml
from edgefer.export.targets import Request
from edgefer.model import checkpoint
c = checkpoint.load(sys.argv[1])
print(coreml.build(Request(c, c.preprocess), pathlib.Path(sys.argv[2])).content_sha256)
"""


def test_same_content_from_another_process_and_folder(tiny_file: Path, package: Artifact, tmp_path: Path) -> None:
    environment = {"PYTHONHASHSEED": "1234", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", _SCRIPT, str(tiny_file), str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert done.stdout.strip() == package.manifest.content_sha256
    # Nothing on the terminal, though the converter has remarks and progress bars.
    assert done.stderr == ""


def test_nothing_of_the_machine_inside(package: Artifact) -> None:
    for file in (package.model / MLMODEL, package.model / "Manifest.json"):
        for trace in (str(Path.cwd()), str(Path.home()), "site-packages", "conversion_date", ".py"):
            assert trace.encode() not in file.read_bytes()


def test_opening_it_with_coremltools_changes_nothing(package: Artifact, tmp_path: Path) -> None:
    """coremltools writes Manifest.json anew each time; the hash of it must stay what it was."""
    alone = Path(shutil.copytree(package.model, tmp_path / "x.mlpackage"))
    ct.models.MLModel(str(alone), skip_model_load=True)
    ct.utils.load_spec(str(alone))
    open_artifact(alone)


def test_the_content_hash_leaves_the_manifest_out(package: Artifact, tmp_path: Path) -> None:
    """coremltools is the oracle: the same package without that entry has the same hash."""
    alone = Path(shutil.copytree(package.model, tmp_path / "x.mlpackage"))
    opened = open_artifact(alone)
    assert opened.alone
    assert opened.model == alone
    assert opened.manifest.content_sha256 == package.manifest.content_sha256
    spec = read_spec(alone)
    del spec.description.metadata.userDefined[METADATA_KEY]
    mlpackage.write_spec(alone, spec)
    assert sha256_path(alone) == package.manifest.content_sha256
    assert split_mlpackage(alone) == (package.manifest.content_sha256, None)
    with pytest.raises(ArtifactError, match="carries no edgefer manifest"):
        open_artifact(alone)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        lambda package: (package / WEIGHTS).write_bytes((package / WEIGHTS).read_bytes()[:-64]),
        lambda package: _flip(package / WEIGHTS, 5000),
        lambda package: _flip(package / MLMODEL, 300),
        lambda package: (package / "Manifest.json").write_text("{}"),
        lambda package: (package / "Data" / "more.bin").write_bytes(b"x"),
    ],
)
def test_edits_are_refused_by_their_hash(
    package: Artifact, tmp_path: Path, damage: Callable[[Path], object], alone: bool
) -> None:
    folder = Path(shutil.copytree(package.model if alone else package.path, tmp_path / "x.mlpackage"))
    open_artifact(folder)
    damage(folder if alone else folder / coreml.MODEL)
    with pytest.raises(ArtifactError):
        open_artifact(folder)


def _flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at % len(data)] ^= 16
    file.write_bytes(data)


# Planted faults whose hashes are right, as in a package that was built wrong: only parity can notice.


def spoil(package: Artifact, folder: Path, change: Callable[[Any, Path], None]) -> Artifact:
    """Change a copy and make every hash fit again."""
    shutil.copytree(package.path, folder)
    model = folder / coreml.MODEL
    spec = read_spec(model)
    del spec.description.metadata.userDefined[METADATA_KEY]
    change(spec, model / WEIGHTS)
    mlpackage.write_spec(model, spec)
    manifest = replace(package.manifest, files={coreml.MODEL: split_mlpackage(model)[0]})
    spec.description.metadata.userDefined[METADATA_KEY] = embedded_manifest(manifest).decode()
    mlpackage.write_spec(model, spec)
    files = {**package.manifest.files, coreml.MODEL: sha256_path(model)}
    (folder / MANIFEST).write_bytes(dump(replace(manifest, files=files).to_dict()))
    return open_artifact(folder)


def operation(spec: Any, kind: str) -> Any:
    return next(o for o in main_block(spec).operations if o.type == kind)


def swap_classes(spec: Any, weights: Path) -> None:
    values = operation(spec, "classify").inputs["classes"].arguments[0].value.immediateValue.list.values
    texts = [value.immediateValue.tensor.strings.values for value in values]
    texts[0][0], texts[3][0] = texts[3][0], texts[0][0]


def wrong_scale(spec: Any, weights: Path) -> None:
    """The weights of the 1x1 convolution that normalises: 2 % too large."""
    name = operation(spec, "conv").inputs["weight"].arguments[0].name
    const = next(o for o in main_block(spec).operations if o.outputs[0].name == name)
    tensor = const.attributes["val"].immediateValue.tensor
    floats = tensor.floats.values
    floats[:] = [value * 1.02 for value in floats]


def other_colours(spec: Any, weights: Path) -> None:
    spec.description.input[0].type.imageType.colorSpace = spec.description.input[0].type.imageType.BGR


def flip_bits(spec: Any, weights: Path) -> None:
    """The signs of half the weights of the network's second convolution; everything around them stays whole."""
    operations = main_block(spec).operations
    name = [o for o in operations if o.type == "conv"][2].inputs["weight"].arguments[0].name
    const = next(o for o in operations if o.outputs[0].name == name)
    start = const.attributes["val"].blobFileValue.offset + 64
    data = bytearray(weights.read_bytes())
    for at in range(start, start + 8 * 16 * 9 * 4 // 2, 4):
        data[at + 3] ^= 0x80
    weights.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "first"),
    [(swap_classes, "probabilities"), (wrong_scale, "input"), (other_colours, "input"), (flip_bits, "conv2")],
)
def test_faults_are_refused_and_found(
    tiny: Checkpoint,
    package: Artifact,
    probe: ImageSet,
    tmp_path: Path,
    change: Callable[[Any, Path], None],
    first: str,
) -> None:
    spoilt = spoil(package, tmp_path / "a", change)
    proof = prove(tiny, open_candidates(spoilt), probe)
    assert proof.verdict == "failed"
    departing = [stage.name for stage in bisect(tiny, spoilt, probe) if stage.departs]
    assert departing[0] == first


def test_another_models_weights_are_refused(
    tiny: Checkpoint, package: Artifact, probe: ImageSet, tmp_path: Path
) -> None:
    other = Checkpoint(seeded(tiny.architecture, 2))
    coreml.build(Request(other, other.preprocess), tmp_path)
    theirs = tmp_path / coreml.MODEL / WEIGHTS
    spoilt = spoil(package, tmp_path / "a", lambda spec, weights: shutil.copyfile(theirs, weights))
    assert prove(tiny, open_candidates(spoilt), probe).verdict == "failed"


def test_a_truncated_weight_file_with_the_right_hash_is_refused(package: Artifact, tmp_path: Path) -> None:
    cut = spoil(package, tmp_path / "a", lambda spec, weights: weights.write_bytes(weights.read_bytes()[:-400]))
    with pytest.raises(ArtifactError, match="ends after"):
        open_candidates(cut)


def test_an_unknown_operation_is_named(package: Artifact, tmp_path: Path) -> None:
    def future(spec: Any, weights: Path) -> None:
        operation(spec, "relu").type = "relu7"

    with pytest.raises(ArtifactError, match="operation relu7"):
        open_candidates(spoil(package, tmp_path / "a", future))


def test_a_wrong_package_is_never_written(
    tiny: Checkpoint, probe: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = mlpackage.describe

    def lie(spec: Any, request: Request) -> None:
        honest(spec, request)
        swap_classes(spec, tmp_path)

    monkeypatch.setattr(coreml, "describe", lie)
    with pytest.raises(NotProvenError):
        export(tiny, tmp_path / "a", probe, Options(target="coreml"))
    assert list(tmp_path.iterdir()) == []


def test_bisect_names_every_stage(tiny: Checkpoint, package: Artifact, probe: ImageSet) -> None:
    stages = bisect(tiny, package, probe)
    assert [stage.name for stage in stages][:4] == ["input", "conv1", "conv2", "conv3"]
    assert [stage.name for stage in stages][-2:] == ["fc4", "probabilities"]
    assert max(stage.error for stage in stages) < 1e-4


def test_real_warnings_are_told(tmp_path: Path) -> None:
    """Blocks of 32 do not fit 16 channels: that weight stays as it is, and the user hears of it."""
    checkpoint = Checkpoint(seeded(WIDE, 1))
    built = coreml.build(Request(checkpoint, checkpoint.preprocess, "fp16", options={"compress": "int4"}), tmp_path)
    assert len(built.warnings) == 1
    assert "conv3_weight" in built.warnings[0]


@pytest.mark.parametrize("device", ["iphone", "ipad", "mac"])
def test_recipes(run_cli: Callable[..., tuple[int, str, str]], tiny_file: Path, tmp_path: Path, device: str,
                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("edgefer.cli.common.RENDERED", 3)
    # An untrained network has hardly a margin: that its labels agree is not what is tested here.
    for limits, value in ((compare.BOUNDS, 1e-9), (compare.AGREEMENT, 0.0)):
        monkeypatch.setitem(limits, "int8", value)
    code, out, err = run_cli("export", tiny_file, "--recipe", EXPORT / f"{device}.toml", "--out", tmp_path / "a")
    assert (code, err) == (0, "")
    assert "not run" in out
    assert open_artifact(tmp_path / "a").manifest.target == "coreml"


def test_swift_uses_the_names_of_the_package(package: Artifact) -> None:
    text = (EXPORT / "swift.md").read_text("utf-8")
    code = "\n".join(re.findall(r"```swift\n(.*?)```", text, re.S))
    spec = read_spec(package.model)
    (argument,) = re.findall(r"\.prediction\((\w+):", code)
    assert [feature.name for feature in spec.description.input] == [argument]
    outputs = set(re.findall(r"found\.(\w+)", code))
    assert outputs == {feature.name for feature in spec.description.output}
    keys = re.findall(r'probabilities\["(\w+)"\]', code)
    assert keys
    assert set(keys) <= set(EMOTIONS)
    image = spec.description.input[0].type.imageType
    assert f"{image.width}x{image.height} pixels" in text
