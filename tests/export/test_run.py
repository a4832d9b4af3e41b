"""The whole path: what is written, what is refused, and that a failure leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.artifact import Artifact, open_artifact
from edgefer.errors import UnavailableError, UsageError
from edgefer.export import run, targets
from edgefer.export.run import NotProvenError, Options, export
from edgefer.imageset import ImageSet
from edgefer.model.checkpoint import Checkpoint
from edgefer.runtime import engines
from edgefer.runtime.engines.onnxruntime import OnnxRuntimeEngine


def test_what_is_written(tiny_artifact: Artifact) -> None:
    assert sorted(p.name for p in tiny_artifact.path.iterdir()) == ["manifest.json", "model.onnx", "parity.json"]
    parity = json.loads((tiny_artifact.path / "parity.json").read_text())
    assert parity["verdict"] == "passed"
    assert parity["images"] == parity["top1_equal"] == 20
    assert parity["max_delta"] <= parity["bound"] == 1e-5
    assert "float32" in parity["reference"]
    manifest = tiny_artifact.manifest
    assert manifest.proof == "passed"
    assert manifest.precision == "fp32"
    assert manifest.parameters[1] < manifest.parameters[0]


def test_steps_are_told(tiny: Checkpoint, probe: ImageSet, tmp_path: Path) -> None:
    said: list[str] = []
    counted: list[int] = []
    export(tiny, tmp_path / "a", probe, None, lambda step, text: said.append(step), lambda n, of: counted.append(n))
    assert said == ["checkpoint", "specialise", "export", "parity"]
    assert counted[-1] == 20


def sabotage(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = OnnxRuntimeEngine.__call__

    def lie(self: OnnxRuntimeEngine, images: np.ndarray) -> np.ndarray:
        return np.roll(honest(self, images), 1, axis=1)

    monkeypatch.setattr(OnnxRuntimeEngine, "__call__", lie)


def test_failed_parity_writes_nothing(
    tiny: Checkpoint, probe: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    with pytest.raises(NotProvenError) as caught:
        export(tiny, tmp_path / "a", probe)
    assert caught.value.exit_code == 5
    assert len(caught.value.comparison.rows()) == 20
    assert list(tmp_path.iterdir()) == []


def test_failed_parity_keeps_the_old_artifact(
    tiny: Checkpoint, probe: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tiny, tmp_path / "a", probe)
    before = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    sabotage(monkeypatch)
    with pytest.raises(NotProvenError):
        export(tiny, tmp_path / "a", probe)
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_an_artifact_is_replaced(tiny: Checkpoint, probe: ImageSet, tmp_path: Path) -> None:
    export(tiny, tmp_path / "a", probe)
    artifact = export(tiny, tmp_path / "a", probe, Options(precision="fp16"))
    assert artifact.manifest.precision == "fp16"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_foreign_folders_and_files_are_refused(tiny: Checkpoint, probe: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_text("dear")
    for place, message in ((tmp_path / "photos", "other things"), (tmp_path / "photos" / "me.jpg", "is a file")):
        with pytest.raises(UsageError, match=message):
            export(tiny, place, probe)
    assert (tmp_path / "photos" / "me.jpg").read_text() == "dear"


def test_any_other_manifest_json_does_not_make_an_artifact(tiny_artifact: Artifact, tmp_path: Path) -> None:
    """Web apps and browser extensions have one too; replacing their folder would delete them."""
    (tmp_path / "extension").mkdir()
    (tmp_path / "extension" / "manifest.json").write_text('{"manifest_version": 3, "name": "mine"}')
    with pytest.raises(UsageError, match="other things"):
        run.refuse_foreign(tmp_path / "extension")
    shutil.copytree(tiny_artifact.path, tmp_path / "artifact")
    run.refuse_foreign(tmp_path / "artifact")
    (tmp_path / "artifact" / "notes.txt").write_text("dear")
    with pytest.raises(UsageError, match="other things"):
        run.refuse_foreign(tmp_path / "artifact")
    with pytest.raises(UsageError, match="is a file"):
        run.refuse_foreign(tmp_path / "artifact" / "notes.txt" / "below")


def test_the_verdict_is_inside_the_file_too(tiny_artifact: Artifact, tmp_path: Path) -> None:
    shutil.copy(tiny_artifact.model, tmp_path / "alone.onnx")
    assert open_artifact(tmp_path / "alone.onnx").manifest.proof == "passed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(target="abacus"), "no target abacus"),
        (Options(precision="fp8"), "no precision fp8"),
        (Options(size=31), "--size 31"),
        (Options(size=225), "--size 225"),
        (Options(target_options={"workspace": 3}), "no option workspace"),
        (Options(batch=(1, 8, 32)), "no optimisation profile"),
    ],
)
def test_impossible_requests(tiny: Checkpoint, probe: ImageSet, tmp_path: Path, options: Options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(tiny, tmp_path / "a", probe, options)
    assert list(tmp_path.iterdir()) == []


def test_without_an_engine_the_proof_is_not_run(
    tiny: Checkpoint, probe: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delitem(engines.ENGINES, "onnx")
        artifact = export(tiny, tmp_path / "a", probe)
        assert artifact.manifest.proof == "not run"
        assert json.loads((tmp_path / "a" / "parity.json").read_text())["verdict"] == "not run"
        with pytest.raises(UnavailableError):
            export(tiny, tmp_path / "b", probe, Options(require_run=True))
        assert not (tmp_path / "b").exists()
    run.complete_proof(artifact, {"verdict": "passed"})
    assert open_artifact(tmp_path / "a").manifest.proof == "passed"


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(module: str) -> bool:
        return False

    monkeypatch.setattr("edgefer.optional.installed", nothing)
    with pytest.raises(UnavailableError, match="torch") as caught:
        targets.builder("onnx")
    assert "edgefer[export]" in caught.value.hint
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("target", sorted(targets.TARGETS))
def test_every_target_keeps_the_builders_contract(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "require", lambda *what: None)  # TensorRT's builder imports it late
    try:
        module: Any = targets.builder(target)
    except ImportError as error:
        pytest.skip(str(error))
    assert module.PRECISIONS
    assert callable(module.build)
