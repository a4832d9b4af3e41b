"""`edgefer verify`: the proof again, a refusal with the images that differ, and the layer where it starts."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgefer.artifact import MANIFEST, PARITY, Artifact, dump, open_artifact, sha256_path

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., tuple[str, str]]


def test_an_artifact_and_its_checkpoint(run_cli: Call, tiny_artifact: Artifact, tiny_file: Path) -> None:
    code, out, err = run_cli("verify", tiny_artifact.path, "--checkpoint", tiny_file)
    assert (code, err) == (0, "")
    steps = {line.split()[0]: line for line in out.splitlines()}
    assert list(steps) == ["artifact", "checkpoint", "parity"]
    assert "10 faces: top-1 equal on all" in steps["parity"]
    assert "onnx, fp32" in steps["artifact"]
    assert tiny_file.name in steps["checkpoint"]


def test_json_and_a_file_alone_and_images_of_the_user(
    run_cli: Call, tiny_artifact: Artifact, tiny_file: Path, photos: Path, tmp_path: Path
) -> None:
    alone = shutil.copy(tiny_artifact.model, tmp_path / "fer.onnx")
    code, out, err = run_cli("verify", alone, "--checkpoint", tiny_file, "--images", photos, "--json")
    assert code == 0
    assert "parity" in err
    found = json.loads(out)
    assert (found["verdict"], found["passed"], found["images"]) == ("passed", True, 3)
    assert found["max_delta"] <= found["bound"]
    assert found["differing_images"] == []
    assert "layers" not in found
    digest = hashlib.sha256()
    for file in sorted(p for p in photos.rglob("*") if p.suffix in (".png", ".jpg")):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    assert found["probe_sha256"] == digest.hexdigest()


def test_another_checkpoint_fails_with_a_table(run_cli: Call, tiny_artifact: Artifact, other_file: Path) -> None:
    code, out, err = run_cli("verify", tiny_artifact.path, "--checkpoint", other_file)
    assert code == 5
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"error: {tiny_artifact.path} predicts differently from other.pth: 10 faces")
    assert "another checkpoint" in lines[1]
    table = out[out.index("image ") :].splitlines()
    assert table[0].split()[:3] == ["image", "checkpoint", "says"]
    assert len(table) == 1 + 10
    deltas = [float(line.split()[-1]) for line in table[1:]]
    assert deltas == sorted(deltas, reverse=True)
    assert "passed" not in out


def test_bisect_finds_nothing_in_a_good_artifact(run_cli: Call, tiny_artifact: Artifact, tiny_file: Path) -> None:
    code, out, err = run_cli("verify", tiny_artifact.path, "--checkpoint", tiny_file, "--bisect")
    assert (code, err) == (0, "")
    assert "no layer departs" in out
    names = [line.split()[0] for line in out[out.index("layer ") :].splitlines()]
    assert names[1] == "input"
    assert names[-2] == "probabilities"


def test_bisect_names_the_first_layer_also_in_json(run_cli: Call, tiny_artifact: Artifact, other_file: Path) -> None:
    arguments = ("verify", tiny_artifact.path, "--checkpoint", other_file, "--bisect")
    code, out, _ = run_cli(*arguments)
    assert code == 5
    assert "bisect       conv1 is the first layer that departs" in out  # all weights differ; the input does not
    code, out, _ = run_cli(*arguments, "--json")
    assert code == 5
    found = json.loads(out)
    assert found["exit_code"] == 5
    assert found["error"].startswith(str(tiny_artifact.path))
    assert found["verdict"] == "failed"
    assert len(found["differing_images"]) == 10
    layers = {layer["layer"]: layer for layer in found["layers"]}
    assert not layers["input"]["departs"]
    assert layers["conv1"]["departs"]
    assert layers["conv1"]["error"] > 1e-3


def test_bad_input(refused: Refused, tiny_artifact: Artifact, tiny_file: Path, tmp_path: Path) -> None:
    assert "no-artifact" in refused(3, "verify", tmp_path / "no-artifact", "--checkpoint", tiny_file)[0]
    assert "no.pth" in refused(3, "verify", tiny_artifact.path, "--checkpoint", tmp_path / "no.pth")[0]
    spoilt = Path(shutil.copytree(tiny_artifact.path, tmp_path / "spoilt"))
    with (spoilt / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert "its hash differs" in refused(3, "verify", spoilt, "--checkpoint", tiny_file)[0]
    images = tmp_path / "images"
    images.mkdir()
    assert "no images" in refused(3, "verify", tiny_artifact.path, "--checkpoint", tiny_file, "--images", images)[0]


@pytest.mark.parametrize(("missing", "extra"), [("torch", "export"), ("onnxruntime", "cpu")])
def test_a_missing_package(
    refused: Refused,
    tiny_artifact: Artifact,
    tiny_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    extra: str,
) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != missing)
    error, hint = refused(4, "verify", tiny_artifact.path, "--checkpoint", tiny_file)
    assert missing in error
    assert hint == f'pip install "edgefer[{extra}]"'


def test_a_provider_that_is_not_there(refused: Refused, tiny_artifact: Artifact, tiny_file: Path) -> None:
    error, _ = refused(4, "verify", tiny_artifact.path, "--checkpoint", tiny_file, "--provider", "abacus")
    assert "abacus" in error


def test_a_proof_that_could_not_run_is_completed_where_it_can(
    run_cli: Call, tiny_artifact: Artifact, tiny_file: Path, tmp_path: Path
) -> None:
    """Built on a machine without the engine: "not run", never "passed". `verify` completes it elsewhere."""
    out = Path(shutil.copytree(tiny_artifact.path, tmp_path / "fer"))
    (out / PARITY).write_bytes(dump({"verdict": "not run", "reason": "there is no GPU."}))
    files = {**tiny_artifact.manifest.files, PARITY: sha256_path(out / PARITY)}
    unproven = replace(tiny_artifact.manifest, proof="not run", files=files)
    (out / MANIFEST).write_bytes(dump(unproven.to_dict()))
    built = open_artifact(out)
    assert "proof        not run: there is no GPU." in run_cli("info", out)[1]
    code, told, _ = run_cli("verify", out, "--checkpoint", tiny_file)
    assert code == 0
    assert "the proof is complete now" in told
    proven = open_artifact(out)
    assert proven.manifest.proof == "passed"
    assert proven.manifest.content_sha256 == built.manifest.content_sha256
    assert "proof        passed on 10 rendered faces" in run_cli("info", out)[1]
    assert [p.name for p in tmp_path.iterdir()] == ["fer"]
