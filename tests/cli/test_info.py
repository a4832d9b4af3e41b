"""`edgefer info`: figures that torch, onnx and the file system agree with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch

from edgefer.artifact import Artifact
from edgefer.emotions import AUTHORS, EMOTIONS
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., tuple[str, str]]


def lines_of(out: str) -> dict[str, str]:
    """The two columns of the output."""
    return {line[:12].strip(): line[13:] for line in out.splitlines() if not line.startswith(" ")}


def learnable(checkpoint: Checkpoint) -> int:
    return sum(p.numel() for p in checkpoint.network.parameters())


def test_an_artifact_folder(run_cli: Call, tiny_artifact: Artifact, tiny: Checkpoint) -> None:
    code, out, err = run_cli("info", tiny_artifact.path)
    assert (code, err) == (0, "")
    found = lines_of(out)
    assert found["artifact"] == f"{tiny_artifact.path}: onnx, fp32, batch 1..N"
    model = onnx.load(tiny_artifact.model)
    kept = sum(torch.Size(tensor.dims).numel() for tensor in model.graph.initializer)
    before, after = (int(part.split()[0].replace(",", "")) for part in found["parameters"].split(", "))
    assert before == learnable(tiny)
    assert after < before
    assert after == pytest.approx(kept, rel=0.02)  # the file also holds the normalisation
    size = tiny_artifact.model.stat().st_size
    assert found["bytes"] == f"{before * 4 / 1e6:.1f} MB of weights before, {size / 1e6:.1f} MB on disk"
    assert found["input"] == "64x64, gray, pillow resize"
    assert found["labels"] == ", ".join(EMOTIONS)
    assert found["proof"].startswith("passed on 20 rendered faces: max |dp| ")
    assert f"torch {torch.__version__.split('+')[0]}" in found["built with"]


def test_an_artifact_as_json(run_cli: Call, tiny_artifact: Artifact) -> None:
    code, out, err = run_cli("info", tiny_artifact.path, "--json")
    assert code == 0
    assert "labels" in err
    found = json.loads(out)
    assert found["manifest"] == json.loads((tiny_artifact.path / "manifest.json").read_bytes())
    assert found["parity"] == json.loads((tiny_artifact.path / "parity.json").read_bytes())
    assert found["bytes"] == tiny_artifact.model.stat().st_size


def test_an_onnx_file_alone(run_cli: Call, tiny_artifact: Artifact, tmp_path: Path) -> None:
    alone = Path(shutil.copy(tiny_artifact.model, tmp_path / "fer.onnx"))
    code, out, _ = run_cli("info", alone)
    assert code == 0
    assert "the report is not in the file" in lines_of(out)["proof"]
    assert json.loads(run_cli("info", alone, "--json")[1])["parity"] is None


def test_a_checkpoint_of_the_authors(run_cli: Call, tiny_file: Path, tiny: Checkpoint) -> None:
    code, out, err = run_cli("info", tiny_file, "--json")
    assert code == 0
    assert err.startswith("checkpoint   tiny.pth: ResEmoteNet")
    found = json.loads(out)
    assert found["parameters_before"] == learnable(tiny)
    assert found["parameters_after"] < found["parameters_before"]
    assert found["classes"] == list(AUTHORS)
    assert found["size"] == 64
    assert found["rewrites"]
    code, out, _ = run_cli("info", tiny_file, "--size", 96, "--json")
    assert code == 0
    larger = json.loads(out)
    assert larger["size"] == 96
    assert larger["parameters_after"] > found["parameters_after"]  # from 72 px on no tap is dead


def test_a_checkpoint_of_ours_tells_its_training(run_cli: Call, tiny: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "ours.safetensors"
    checkpoints.save(Checkpoint(tiny.network, training={"epochs": 12, "accuracy": 0.7}), file)
    code, out, err = run_cli("info", file)
    assert (code, err) == (0, "")
    assert "training     epochs: 12\n" in out
    assert "training     accuracy: 0.7\n" in out
    assert json.loads(run_cli("info", file, "--json")[1])["training"] == {"epochs": 12, "accuracy": 0.7}


def test_bad_input(refused: Refused, tiny_artifact: Artifact, tiny_file: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(3, "info", tmp_path / "no")[0]
    assert "does not exist" in refused(3, "info", tmp_path / "no.pth")[0]
    assert "holds no manifest.json" in refused(3, "info", tmp_path)[0]
    (tmp_path / "face.jpg").touch()
    assert "is not an artifact" in refused(3, "info", tmp_path / "face.jpg")[0]
    (tmp_path / "text.pth").write_text("weights")
    assert "text.pth" in refused(3, "info", tmp_path / "text.pth")[0]
    assert "--size 10" in refused(2, "info", tiny_file, "--size", 10)[0]
    assert "--size" in refused(2, "info", tiny_artifact.path, "--size", 64)[0]
    spoilt = Path(shutil.copytree(tiny_artifact.path, tmp_path / "spoilt"))
    manifest = spoilt / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"passed"', '"PASSED"'))
    assert "was changed after the export" in refused(3, "info", spoilt)[0]


def test_a_checkpoint_needs_torch_and_an_artifact_does_not(
    run_cli: Call, refused: Refused, tiny_artifact: Artifact, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != "torch")
    assert run_cli("info", tiny_artifact.path)[0] == 0
    error, hint = refused(4, "info", tiny_file)
    assert "torch" in error
    assert hint == 'pip install "edgefer[export]"'
