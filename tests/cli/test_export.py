"""`edgefer export`: its options reach the file, a refusal leaves everything as it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import typer
from typer.testing import CliRunner

from edgefer.artifact import Artifact, open_artifact
from edgefer.cli.export import with_target_options
from edgefer.export import run as export_run
from edgefer.export import targets
from edgefer.export.run import NotProvenError
from edgefer.export.targets import Option, Target
from edgefer.parity.bounds import BOUNDS
from edgefer.parity.compare import Comparison
from edgefer.weights import CHECKPOINT

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., tuple[str, str]]


def snapshot(folder: Path) -> dict[str, str]:
    """Everything in a folder, by content."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_every_option_reaches_the_artifact(run_cli: Call, tiny_file: Path, photos: Path, tmp_path: Path) -> None:
    """From a recipe, and over it from a flag; the old artifact is replaced, and the steps are told in order."""
    recipe, out = tmp_path / "device.toml", tmp_path / "build" / "fer"
    recipe.write_text('target = "onnx"\nprecision = "fp16"\nsize = 48\nbatch = "4"\nspecialize = false\n')
    arguments = (tiny_file, "--recipe", recipe, "--precision", "fp32", "--images", photos, "--out", out)
    code, told, err = run_cli("export", *arguments)
    assert (code, err) == (0, "")
    steps = [line.split()[0] for line in told.splitlines()]
    assert steps == ["checkpoint", "specialise", "export", "parity", "written", "next"]
    assert "3 faces" in told
    assert "model.onnx" in told
    manifest = open_artifact(out).manifest
    assert (manifest.target, manifest.precision, manifest.batch) == ("onnx", "fp32", (4,))
    assert (manifest.preprocess.size, manifest.specialized, manifest.proof) == (48, False, "passed")
    assert manifest.checkpoint_sha256 == hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    shape = onnx.load(out / "model.onnx").graph.input[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim] == [4, 48, 48, 3]
    assert {p.name for p in out.parent.iterdir()} == {"fer"}
    # Again, with the defaults and --json, over what is there.
    code, told, err = run_cli("export", tiny_file, "--out", out, "--json")
    assert code == 0
    assert [line.split()[0] for line in err.splitlines()] == steps
    found = json.loads(told)
    artifact = open_artifact(out)
    assert found["manifest"] == artifact.manifest.to_dict()
    assert Path(found["out"]) == out
    assert (artifact.manifest.batch, artifact.manifest.preprocess.size) == (None, 64)
    assert artifact.manifest.specialized
    assert {p.name for p in out.parent.iterdir()} == {"fer"}


def test_a_failed_proof_writes_nothing(
    run_cli: Call, tiny_file: Path, tiny_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 5, a table of the images that differ, and what was there before is still there."""
    monkeypatch.setitem(BOUNDS, "fp32", 0.0)  # no two sums are that equal
    out = Path(shutil.copytree(tiny_artifact.path, tmp_path / "fer"))
    before = snapshot(tmp_path)
    code, told, err = run_cli("export", tiny_file, "--out", out)
    assert code == 5
    assert err.startswith("error: the artifact predicts differently: 10 faces")
    assert "nothing was written" in err
    table = told[told.index("image ") :].splitlines()
    assert len(table) > 1
    assert "max |dp|" in table[0]
    assert table[1].split()[0].endswith((".png", ".jpg"))
    assert snapshot(tmp_path) == before


def test_a_failed_proof_as_json(
    run_cli: Call, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, candidate = np.full((2, 7), 0.02, np.float32), np.full((2, 7), 0.02, np.float32)
    reference[:, 0], candidate[:, 3] = 0.88, 0.88
    candidate[1] = reference[1]
    comparison = Comparison(["a.png", "b.png"], reference, candidate, 1e-5)

    def fail(*arguments: object) -> None:
        raise NotProvenError(comparison, "it differs.", "find out why.")

    monkeypatch.setattr(export_run, "export", fail)
    code, told, err = run_cli("export", tiny_file, "--out", tmp_path / "fer", "--json")
    assert (code, err) == (5, "")
    found = json.loads(told)
    assert (found["error"], found["hint"], found["exit_code"]) == ("it differs.", "find out why.", 5)
    assert (found["passed"], found["images"], found["differing"]) == (False, 2, 1)
    row = found["differing_images"][0]
    assert (row["image"], row["reference"], row["candidate"]) == ("a.png", "anger", "happiness")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_foreign_out_is_refused_and_left_alone(refused: Refused, tiny_file: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "mine"
    if kind == "folder":
        (out / "deep").mkdir(parents=True)
        (out / "deep" / "thesis.tex").write_text("ten years of work")
    else:
        out.write_text("ten years of work")
    before = snapshot(tmp_path)
    error, _ = refused(2, "export", tiny_file, "--out", out)
    assert str(out) in error
    assert snapshot(tmp_path) == before


def test_an_out_that_cannot_be_made(run_cli: Call, tiny_file: Path, tmp_path: Path) -> None:
    """A file in the way is noticed before anything is built."""
    (tmp_path / "mine").write_text("ten years of work")
    code, out, err = run_cli("export", tiny_file, "--out", tmp_path / "mine" / "fer")
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith(f"error: {tmp_path / 'mine'}")
    assert second.startswith("hint:  ")
    assert snapshot(tmp_path).keys() == {"mine"}


@pytest.mark.parametrize("name", ["no.pth", "empty.pth", "text.pth", "text.safetensors", "."])
def test_checkpoints_that_are_none(refused: Refused, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.pth").write_text("weights")
    (tmp_path / "text.safetensors").write_text("weights")
    error, _ = refused(3, "export", tmp_path / name, "--out", tmp_path / "fer")
    assert str(tmp_path / name) in error
    assert not (tmp_path / "fer").exists()


def test_without_a_checkpoint_the_shipped_weights_are_exported(
    run_cli: Call, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cli("export", "--out", tmp_path / "fer")[0] == 0
    manifest = open_artifact(tmp_path / "fer").manifest
    assert manifest.checkpoint_sha256 == hashlib.sha256(CHECKPOINT.read_bytes()).hexdigest()
    monkeypatch.setattr("edgefer.cli.export.CHECKPOINT", tmp_path / "none.safetensors")
    assert "no model ships" in refused(3, "export", "--out", tmp_path / "other")[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--target", "abacus"], "abacus"),
        (["--precision", "fp64"], "fp64"),
        (["--size", "20"], "20"),
        (["--size", "1000"], "1000"),
        (["--batch", "0"], "--batch 0"),
        (["--batch", "many"], "--batch many"),
        (["--batch", "8:1:32"], "--batch 8:1:32"),
    ],
)
def test_options_that_cannot_be(
    refused: Refused, tiny_file: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    error, _ = refused(2, "export", tiny_file, "--out", tmp_path / "fer", *options)
    assert says in error
    assert not (tmp_path / "fer").exists()


def test_an_onnx_file_has_no_batch_profile(run_cli: Call, tiny_file: Path, tmp_path: Path) -> None:
    """`--batch 1:8:32` is for engines; accepting and ignoring it would be a lie."""
    code, _, err = run_cli("export", tiny_file, "--batch", "1:8:32", "--out", tmp_path / "fer")
    assert code == 2
    assert "profile" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'target = "onnx"\nthreads = 4\n', "unknown key threads"),
        (b"size = '64'\n", "size = '64'"),
        (b"size = 64.0\n", "size = 64.0"),
        (b"size = true\n", "size = True"),
        (b"batch = 8\n", "batch = 8"),
        (b"specialize = 'no'\n", "specialize = 'no'"),
        (b"[export]\ntarget = 'onnx'\n", "unknown key export"),
        (b"target = onnx\n", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"batch = '1:2'\n", "--batch 1:2"),
        (b"target = 'abacus'\n", "abacus"),
        (None, "does not exist"),
    ],
)
def test_recipes_that_cannot_be(
    refused: Refused, tiny_file: Path, tmp_path: Path, content: bytes | None, says: str
) -> None:
    recipe = tmp_path / "device.toml"
    if content is not None:
        recipe.write_bytes(content)
    error, _ = refused(2, "export", tiny_file, "--recipe", recipe, "--out", tmp_path / "fer")
    assert says in error
    assert not (tmp_path / "fer").exists()


def test_a_folder_is_no_recipe(refused: Refused, tiny_file: Path, tmp_path: Path) -> None:
    error, _ = refused(2, "export", tiny_file, "--recipe", tmp_path, "--out", tmp_path / "fer")
    assert "cannot be read" in error


@pytest.mark.parametrize("images", ["no", "empty", "damaged"])
def test_images_that_cannot_be(refused: Refused, tiny_file: Path, tmp_path: Path, images: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "face.jpg").write_bytes(b"")
    error, _ = refused(3, "export", tiny_file, "--images", tmp_path / images, "--out", tmp_path / "fer")
    assert ("face.jpg is not an image: 0 bytes" if images == "damaged" else images) in error
    assert not (tmp_path / "fer").exists()


@pytest.mark.parametrize(
    ("missing", "extra"),
    [("torch", "export"), ("safetensors", "export"), ("onnxscript", "export"), ("onnxsim", "export")],
)
def test_a_missing_package_is_named_with_its_command(
    refused: Refused, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, extra: str
) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != missing)
    error, hint = refused(4, "export", tiny_file, "--out", tmp_path / "fer")
    assert missing in error
    assert hint == f'pip install "edgefer[{extra}]"'
    assert not (tmp_path / "fer").exists()


def test_a_target_brings_its_own_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flags of `export` are made from the registry: nothing in the command names a target's option."""
    units = Option("compute_units", str, "Where to run", ("cpu", "gpu"))
    strict = Option("strict", bool, "Refuse more")
    monkeypatch.setattr(targets, "TARGETS", {"abacus": Target("m", (), "x", options=(units, strict))})
    seen: dict[str, object] = {}

    @with_target_options
    def command(size: int = 3, **target_options: object) -> None:
        seen.update(target_options, size=size)

    app = typer.Typer()
    app.command()(command)
    runner = CliRunner()
    assert runner.invoke(app, ["--compute-units", "gpu", "--strict", "--size", "4"]).exit_code == 0
    assert seen == {"compute_units": "gpu", "strict": True, "size": 4}
    assert runner.invoke(app, []).exit_code == 0
    assert seen == {"compute_units": None, "strict": False, "size": 3}
    text = runner.invoke(app, ["--help"]).output
    assert "Only abacus" in text
    assert "--compute-units" in text
