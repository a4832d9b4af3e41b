"""The Core ML engine: everything but the platform call, which a stand-in answers by evaluating the same package."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.artifact import Artifact
from edgefer.emotions import EMOTIONS
from edgefer.errors import UnavailableError, UsageError
from edgefer.export.run import Options, export
from edgefer.imageset import ImageSet
from edgefer.model import checkpoint as checkpoints
from edgefer.parity.prove import open_candidates, prove
from edgefer.runtime.engines import open_engine

ct = pytest.importorskip("coremltools")

from edgefer.parity.coreml_program import Program  # noqa: E402 (needs coremltools)
from edgefer.runtime.engines import coreml  # noqa: E402

LOAD_MODEL = coreml.load_model
FACES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


class StandIn:
    """`MLModel.predict` as coremltools documents it: a dict of features, or a list of dicts for a batch."""

    def __init__(self, artifact: Artifact, units: str) -> None:
        self.units, self.program, self.calls = units, Program(artifact.model), [0]

    def predict(self, data: Any) -> Any:
        if isinstance(data, list):
            return [self.predict(one) for one in data]
        (image,) = data.values()
        if not isinstance(image, np.ndarray):  # a PIL image; Core ML takes no other for an image input
            assert image.mode == "RGB"
            image = np.asarray(image, np.float32).transpose(2, 0, 1)[None]
        assert len(image) in self.program.batches
        values = self.program(image)
        found = values["probabilities"]
        return {"probabilities": found if isinstance(found, dict) else found.numpy(), "label": values.get("label")}


def plan(model: StandIn, units: str) -> list[dict[str, Any]]:
    device = "CPU" if units == "CPU_ONLY" else "Neural Engine"
    kinds = [step.kind for step in model.program.steps]
    return [{"operation": kind, "output": "", "device": device, "supported": [device], "cost": None} for kind in kinds]


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.runtime.engines.platform.system", lambda: "Darwin")
    monkeypatch.setattr("edgefer.runtime.engines.coreml.platform.mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    monkeypatch.setattr(coreml, "load_model", StandIn)
    monkeypatch.setattr(coreml, "compute_plan", plan)


@pytest.fixture
def made(tiny_file: Path, probe: ImageSet, tmp_path: Path, mac: None) -> Callable[..., Artifact]:
    def make(**options: Any) -> Artifact:
        return export(checkpoints.load(tiny_file), tmp_path / "a", probe, Options(target="coreml", **options))

    return make


def test_it_agrees_with_onnx_runtime(made: Callable[..., Artifact], tiny_artifact: Artifact) -> None:
    """An engine and a file format that share nothing with this one."""
    engine = open_engine(made())
    expected = open_engine(tiny_artifact)(FACES)
    np.testing.assert_allclose(engine(FACES), expected, atol=1e-5)
    np.testing.assert_allclose(engine(FACES[:1]), expected[:1], atol=1e-5)
    assert engine.name.startswith("Core ML, macOS 15.1")


@pytest.mark.parametrize("batch", [(4,), (1, 2, 4)])
def test_arrays_are_filled_up(made: Callable[..., Artifact], tiny_artifact: Artifact, batch: tuple[int, ...]) -> None:
    engine = open_engine(made(batch=batch))
    expected = open_engine(tiny_artifact)(FACES)
    np.testing.assert_allclose(engine(FACES), expected, atol=1e-5)


def test_all_units_are_proven_and_the_plan_is_kept(made: Callable[..., Artifact], probe: ImageSet) -> None:
    artifact = made()
    assert artifact.manifest.proof == "passed"
    parity = json.loads((artifact.path / "parity.json").read_text())
    assert list(parity["ways"]) == list(coreml.UNITS)
    assert all(way["passed"] for way in parity["ways"].values())
    assert parity["ways"]["CPU_ONLY"]["devices"].keys() == {"CPU"}
    assert parity["ways"]["ALL"]["plan"][0]["device"] == "Neural Engine"
    assert "runtime" not in parity


def test_one_wrong_unit_fails_the_proof(
    made: Callable[..., Artifact], probe: ImageSet, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = made()
    honest = StandIn.predict

    def lie(self: StandIn, data: Any) -> Any:
        found = honest(self, data)
        if self.units == "CPU_AND_GPU" and isinstance(data, dict):
            swapped = dict(zip(EMOTIONS, reversed([found["probabilities"][e] for e in EMOTIONS]), strict=True))
            found["probabilities"] = swapped
        return found

    monkeypatch.setattr(StandIn, "predict", lie)
    proof = prove(checkpoints.load(tiny_file), open_candidates(artifact), probe)
    assert proof.verdict == "failed"
    assert proof.worst.provider == "CPU_AND_GPU"


def test_the_units_of_the_export_are_the_default(made: Callable[..., Artifact]) -> None:
    artifact = made(target_options={"compute_units": "CPU_ONLY"})
    assert coreml.ways(artifact) == ("CPU_ONLY",)
    engine = open_engine(artifact)
    assert isinstance(engine, coreml.CoreMLEngine)
    assert engine.units == "CPU_ONLY"
    assert isinstance(other := open_engine(artifact, "all"), coreml.CoreMLEngine)
    assert other.units == "ALL"


def test_refusals(made: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = made()
    with pytest.raises(UnavailableError, match="abacus"):
        open_engine(artifact, "abacus")
    with pytest.raises(UsageError, match="threads"):
        open_engine(artifact, None, 2)
    monkeypatch.setattr("edgefer.runtime.engines.coreml.platform.mac_ver", lambda: ("12.6", ("", "", ""), "x86_64"))
    assert "CPU_AND_NE" not in coreml.ways(artifact)
    with pytest.raises(UnavailableError, match="macOS 13"):
        open_engine(artifact, "CPU_AND_NE")
    assert isinstance(engine := open_engine(artifact), coreml.CoreMLEngine)
    assert engine.plan() is None  # macOS 12 has no MLComputePlan
    monkeypatch.setattr("edgefer.runtime.engines.platform.system", lambda: "Linux")
    with pytest.raises(UnavailableError, match="macOS only"):
        open_engine(artifact)


def test_a_model_that_macos_does_not_load_is_refused(made: Callable[..., Artifact]) -> None:
    """The real `load_model`, on a system without Core ML: coremltools returns a model that cannot predict."""
    if ct.models.model._MLModelProxy is not None:
        pytest.skip("this machine has Core ML")
    with pytest.raises(UnavailableError, match="did not load a package made for iOS15"):
        LOAD_MODEL(made(), "ALL")


def test_what_is_called_on_a_mac_exists() -> None:
    """Names and parameters of coremltools that `load_model` and `compute_plan` use and no other test here reaches."""
    from coremltools.models import compute_device, compute_plan

    assert set(coreml.UNITS) == set(ct.ComputeUnit.__members__)
    assert "compute_units" in inspect.signature(ct.models.MLModel).parameters
    assert list(inspect.signature(ct.models.MLModel.predict).parameters)[1] == "data"
    assert list(inspect.signature(compute_plan.MLComputePlan.load_from_path).parameters) == ["path", "compute_units"]
    for name in ("get_compute_device_usage_for_mlprogram_operation", "get_estimated_cost_for_mlprogram_operation"):
        assert list(inspect.signature(getattr(compute_plan.MLComputePlan, name)).parameters)[1:] == ["operation"]
    fields = {
        compute_plan.MLComputePlanDeviceUsage: {"preferred_compute_device", "supported_compute_devices"},
        compute_plan.MLComputePlanCost: {"weight"},
        compute_plan.MLModelStructure: {"program"},
        compute_plan.MLModelStructureProgram: {"functions"},
        compute_plan.MLModelStructureProgramFunction: {"block"},
        compute_plan.MLModelStructureProgramBlock: {"operations"},
        compute_plan.MLModelStructureProgramOperation: {"operator_name", "outputs"},
        compute_plan.MLModelStructureProgramNamedValueType: {"name"},
    }
    for kind, names in fields.items():
        assert names <= set(kind.__dataclass_fields__)
    for name in ("MLCPUComputeDevice", "MLGPUComputeDevice", "MLNeuralEngineComputeDevice"):
        assert hasattr(compute_device, name)
