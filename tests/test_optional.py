"""Optional packages are looked up, never imported, and a missing one is refused with the command that adds it."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from edgefer import optional
from edgefer.errors import UnavailableError


def test_installed_tells_present_from_absent() -> None:
    assert optional.installed("numpy")
    assert optional.installed("numpy.linalg")
    assert not optional.installed("no_such_module_of_ours")
    assert not optional.installed("no_such_module_of_ours.part")  # find_spec would raise: the parent is missing


def test_looking_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`edgefer doctor` must not load torch, nor fall over a package that is broken."""
    (tmp_path / "explodes_on_import.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert optional.installed("explodes_on_import")
    assert optional.version("explodes_on_import") == "unknown version"  # a module without a distribution
    assert "explodes_on_import" not in sys.modules


@pytest.mark.parametrize(
    ("module", "distribution"), [("numpy", "numpy"), ("PIL", "pillow"), ("torch", "torch"), ("onnx", "onnx")]
)
def test_version_is_that_of_the_distribution(module: str, distribution: str) -> None:
    assert optional.version(module) == metadata.version(distribution)


def test_version_of_opencv_and_onnxruntime_whichever_distribution_brings_them() -> None:
    import cv2
    import onnxruntime

    assert str(optional.version("cv2")).startswith(cv2.__version__)
    assert optional.version("onnxruntime") == onnxruntime.__version__


def test_version_of_what_is_not_there_is_none() -> None:
    assert optional.version("no_such_module_of_ours") is None


def test_require_names_the_first_missing_module_and_the_command() -> None:
    optional.require(("numpy", "cv2"), "cpu", "running")  # all there: nothing happens
    with pytest.raises(UnavailableError) as caught:
        optional.require(("numpy", "no_such_a", "no_such_b"), "export", "exporting")
    assert str(caught.value) == "exporting needs no_such_a, which is not installed."
    assert caught.value.hint == 'pip install "edgefer[export]"'
    assert caught.value.exit_code == 4
