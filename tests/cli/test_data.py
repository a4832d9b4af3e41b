"""`edgefer data audit|pack` on a folder with a planted copy across splits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgefer.data.packed import Packed
from edgefer.emotions import EMOTIONS
from edgefer.preprocess import Preprocess
from edgefer.samples import render

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., tuple[str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "faces"
    for seed, split in enumerate(("train", "test")):
        for emotion in EMOTIONS:
            place = root / split / emotion
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(render(emotion, seed, 64)).save(place / f"{seed}.png")
    shutil.copy(root / "train" / "fear" / "0.png", root / "test" / "anger" / "copy.png")
    return root


def test_audit_finds_the_copy(run_cli: Call, folder: Path, tmp_path: Path) -> None:
    code, out, _ = run_cli("data", "audit", folder, "--dataset", "folder", "--out", tmp_path / "report", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["splits"]["test"] == {"images": 8, "exact_copy_in_train": 1, "near_copy_in_train": 1}
    assert found["exact_groups_with_conflicting_labels"] == 1
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == ["pairs.png", "report.json", "report.md"]
    code, out, err = run_cli("data", "audit", folder, "--dataset", "folder")
    assert (code, err) == (0, "")
    assert "1 of 8 (12.5%) have a copy in train, 1 exact" in out


def test_pack_holds_what_pillow_gives(run_cli: Call, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "faces.safetensors"
    code, out, _ = run_cli("data", "pack", folder, "--dataset", "folder", "--size", 40, "--out", target)
    assert code == 0
    assert str(target) in out
    packed = Packed.open(target)
    assert packed.images.shape == (15, 40, 40, 3)
    assert packed.preprocess == Preprocess(size=40)
    row = next(i for i in range(15) if packed.id(i).endswith("train/fear/0.png"))
    picture = Image.open(folder / "train" / "fear" / "0.png").resize((40, 40), Image.Resampling.BILINEAR)
    assert np.array_equal(packed.images[row], np.asarray(picture))
    assert EMOTIONS[packed.labels[row]] == "fear"


def test_refusals(refused: Refused, folder: Path, tmp_path: Path) -> None:
    (folder / "train" / "boredom").mkdir()
    (folder / "train" / "boredom" / "1.png").touch()
    assert "boredom" in refused(3, "data", "audit", folder, "--dataset", "folder")[0]
    shutil.rmtree(folder / "train" / "boredom")
    pack = ("data", "pack", folder, "--dataset", "folder", "--out")
    assert ".safetensors" in refused(2, *pack, tmp_path / "x.npz")[0]
    assert "--resize cubic" in refused(2, *pack, tmp_path / "x.safetensors", "--resize", "cubic")[0]
    assert "--threshold 2.0" in refused(2, "data", "audit", folder, "--dataset", "folder", "--threshold", "2.0")[0]
    (folder / "train" / "fear" / "0.png").write_bytes(b"")
    message, _ = refused(3, *pack, tmp_path / "x.safetensors")
    assert "0.png" in message
    assert not (tmp_path / "x.safetensors").exists()


def test_skip_bad_lists_what_it_skipped(run_cli: Call, folder: Path, tmp_path: Path) -> None:
    (folder / "train" / "fear" / "0.png").write_bytes(b"")
    target = tmp_path / "x.safetensors"
    code, out, _ = run_cli("data", "pack", folder, "--dataset", "folder", "--out", target, "--skip-bad")
    assert code == 0
    assert "0.png" in out
    assert len(Packed.open(target).labels) == 14
