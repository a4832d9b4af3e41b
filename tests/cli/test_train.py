"""`edgefer train` and `edgefer evaluate` on a handful of drawn faces in class folders: flags, files, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgefer.artifact import Artifact
from edgefer.data.pack import pack
from edgefer.data.registry import load
from edgefer.emotions import EMOTIONS, permutation
from edgefer.model import checkpoint as checkpoints
from edgefer.model.resemotenet import PRESETS, Architecture
from edgefer.preprocess import Preprocess
from edgefer.samples import render

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with three people in train, one in val and one in test: 35 faces."""
    root = tmp_path_factory.mktemp("faces")
    for seed, split in enumerate(("train", "train", "train", "val", "test")):
        for emotion in EMOTIONS:
            place = root / split / emotion
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(render(emotion, seed, 48)).save(place / f"{seed}.png")
    return root


@pytest.fixture(scope="module")
def packed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "faces.safetensors"
    pack(load(folder, "folder"), Preprocess(), out)
    return out


@pytest.fixture
def small_model(monkeypatch: pytest.MonkeyPatch) -> str:
    """A preset that trains in a blink."""
    monkeypatch.setitem(PRESETS, "small", Architecture(stem=(8, 8, 16), stages=(16, 16, 16), head=(16, 16, 16)))
    return "small"


def train(run_cli: Call, folder: Path, out: Path, *more: object) -> tuple[int, str, str]:
    return run_cli(
        "train", "--data", folder, "--dataset", "folder", "--out", out, "--model", "small", "--recipe", "strong",
        "--batch-size", 7, "--epochs", 2, "--accelerator", "cpu", *more,
    )  # fmt: skip


@pytest.mark.usefixtures("small_model")
def test_from_class_folders_to_a_checkpoint(run_cli: Call, folder: Path, tmp_path: Path) -> None:
    code, out, _ = train(run_cli, folder, tmp_path / "run")
    assert code == 0
    best = tmp_path / "run" / "best.safetensors"
    assert str(best) in out
    loaded = checkpoints.load(best)
    assert loaded.classes == EMOTIONS
    assert loaded.training["recipe"]["name"] == "strong"
    assert loaded.training["recipe"]["epochs"] == 2
    assert loaded.training["recipe"]["batch_size"] == 7
    assert loaded.training["data"]["dataset"] == "folder"
    assert (tmp_path / "run" / "data.safetensors").is_file()


@pytest.mark.usefixtures("small_model")
def test_a_finished_run_is_not_overwritten_and_resume_is_idle(run_cli: Call, packed: Path, tmp_path: Path) -> None:
    assert train(run_cli, packed, tmp_path / "run")[0] == 0
    before = (tmp_path / "run" / "best.safetensors").read_bytes()
    code, _, err = train(run_cli, packed, tmp_path / "run")
    assert code == 2
    assert "--resume" in err
    code, out, _ = train(run_cli, packed, tmp_path / "run", "--resume", "--json")
    assert code == 0
    assert json.loads(out)["finished"]
    assert len(json.loads(out)["history"]) == 2
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == before


def test_refusals(refused: Refused, folder: Path, packed: Path, tmp_path: Path) -> None:
    base = ("train", "--out", tmp_path / "run", "--accelerator", "cpu")
    cases: list[tuple[int, str, tuple[object, ...]]] = [
        (3, "does not exist", ("--data", tmp_path / "none", "--dataset", "folder")),
        (2, "not a data set", ("--data", folder, "--dataset", "imagenet")),
        (2, "not a recipe", ("--data", packed, "--dataset", "folder", "--recipe", "weak")),
        (3, "none.pth does not exist", ("--data", packed, "--dataset", "folder", "--weights", tmp_path / "none.pth")),
        (2, "is not a model", ("--data", packed, "--dataset", "folder", "--model", "resnet")),
        (2, "holds folder, not rafdb", ("--data", packed, "--dataset", "rafdb")),
        (2, "--hold-out 2.0", ("--data", folder, "--dataset", "folder", "--hold-out", "2.0")),
        (2, "cannot change a packed file", ("--data", packed, "--dataset", "folder", "--hold-out", "0.1")),
    ]
    for code, words, more in cases:
        message, hint = refused(code, *base, *more)
        assert words in message
        assert hint


def test_a_set_without_validation_split(refused: Refused, folder: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(folder, tmp_path / "faces")
    shutil.rmtree(tmp_path / "faces" / "val")
    message, hint = refused(
        3, "train", "--data", tmp_path / "faces", "--dataset", "folder", "--out", tmp_path / "run", "--model", "quarter"
    )
    assert "no validation split" in message
    assert "--hold-out" in hint


def test_evaluate_an_artifact_and_its_checkpoint_alike(
    run_cli: Call, tiny_artifact: Artifact, tiny_file: Path, folder: Path, packed: Path, tmp_path: Path
) -> None:
    code, out, _ = run_cli("evaluate", tiny_artifact.path, "--data", packed, "--dataset", "folder", "--json")
    assert code == 0
    by_artifact = json.loads(out)
    code, out, _ = run_cli(
        "evaluate", tiny_file, "--data", folder, "--dataset", "folder", "--json", "--out", tmp_path / "report"
    )
    assert code == 0
    by_checkpoint = json.loads(out)
    assert by_artifact["official"]["confusion"] == by_checkpoint["official"]["confusion"]
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text()) == by_checkpoint
    assert (tmp_path / "report" / "confusion_official.png").stat().st_size > 10_000
    # and against plain torch on the same seven pictures
    tiny = checkpoints.load(tiny_file)
    faces = np.stack([Preprocess()(render(emotion, 4, 48)) for emotion in EMOTIONS])
    with torch.no_grad():
        logits = tiny.network(torch.from_numpy(Preprocess().normalize(faces)))[:, permutation(tiny.classes)]
    right = (logits.argmax(1).numpy() == np.arange(7)).mean()
    assert by_artifact["official"]["accuracy"] == pytest.approx(right)


def test_evaluate_refusals(
    refused: Refused, tiny_file: Path, tiny_artifact: Artifact, packed: Path, tmp_path: Path
) -> None:
    base = ("--data", packed, "--dataset", "folder")
    assert "is not a split" in refused(2, "evaluate", tiny_file, *base, "--split", "dev")[0]
    assert "runs in PyTorch" in refused(2, "evaluate", tiny_file, *base, "--provider", "cpu")[0]
    assert "does not exist" in refused(3, "evaluate", tmp_path / "none.pth", *base)[0]
    assert "does not exist" in refused(3, "evaluate", tmp_path / "none", *base)[0]


def test_a_file_packed_for_another_model(
    refused: Refused, tiny_artifact: Artifact, folder: Path, tmp_path: Path
) -> None:
    pack(load(folder, "folder"), Preprocess(size=48), tmp_path / "48.safetensors")
    message, hint = refused(
        2, "evaluate", tiny_artifact.path, "--data", tmp_path / "48.safetensors", "--dataset", "folder"
    )
    assert "packed at 48 pixels" in message
    assert "--size 64" in hint
