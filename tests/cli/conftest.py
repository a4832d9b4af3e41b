"""Fixtures of the command-line tests: photographs on disk, and a proof on few faces instead of 256."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgefer.cli import common
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import seeded
from edgefer.samples import encoded

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def few_rendered_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parity itself is tested elsewhere; here its outcome counts."""
    monkeypatch.setattr(common, "RENDERED", 10)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three pictures, one of them in a folder below, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "below").mkdir()
    names = ("a.img", "below/b.img", "c.img")
    for name, (kind, data) in zip(names, encoded(3, seed=4), strict=True):
        (folder / name).with_suffix(Path(kind).suffix).write_bytes(data)
    (folder / "notes.txt").write_text("three faces")
    return folder


@pytest.fixture(scope="session")
def photo(photos: Path) -> Path:
    """One picture of a face."""
    return next(photos.glob("a.*"))


@pytest.fixture(scope="session")
def other_file(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the same shape with other weights."""
    path = tmp_path_factory.mktemp("other") / "other.pth"
    torch.save(seeded(tiny.architecture, seed=2).state_dict(), path)
    return path


@pytest.fixture
def refused(run_cli: Call) -> Callable[..., tuple[str, str]]:
    """Run a command that must fail with exit code `code` in two lines on stderr: (error, hint)."""

    def call(code: int, *arguments: object) -> tuple[str, str]:
        found, out, err = run_cli(*arguments)
        lines = re.fullmatch(r"error: (.+)\nhint:  (.+)\n", err)
        assert lines, err
        assert out == ""
        assert found == code
        return lines[1], lines[2]

    return call
