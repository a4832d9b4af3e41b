"""The recipes in export/: each can be read, says nothing that its target would refuse, and is on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefer.cli.common import parse_batch
from edgefer.cli.export import _DEFAULTS, _read_recipe
from edgefer.export.targets import TARGETS, check_options

FOLDER = Path(__file__).parent.parent / "export"
RECIPES = sorted(FOLDER.glob("*.toml"))


def test_there_are_recipes() -> None:
    assert {path.stem for path in RECIPES} >= {"cpu", "jetson-orin", "jetson-orin-nano", "rtx-desktop", "datacenter"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_names_known_options(path: Path) -> None:
    values = _read_recipe(path)
    target = values["target"]
    assert target in TARGETS
    check_options(target, {name: value for name, value in values.items() if name not in _DEFAULTS})
    assert values["precision"] in ("fp32", "fp16", "int8")
    if "batch" in values:
        parse_batch(values["batch"])
    if "compute_capability" in values:
        assert all(float(part) >= 8 for part in values["compute_capability"].split(","))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_begins_with_what_it_assumes_and_how_to_use_it(path: Path) -> None:
    comments = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    assert len(comments) >= 4
    assert any(f"--recipe export/{path.name}" in line for line in comments)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_on_the_page(path: Path) -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    assert f"({path.name})" in page


@pytest.mark.parametrize(
    "path",
    [path for path in RECIPES if _read_recipe(path)["target"].startswith("tensorrt")],
    ids=lambda path: path.stem,
)
def test_the_page_gives_the_same_build_with_nvidias_tool(path: Path) -> None:
    """The figures in the command are those of the recipe."""
    values = _read_recipe(path)
    lines = (FOLDER / "README.md").read_text("utf-8").splitlines()
    (command,) = [line for line in lines if line.startswith(f"| {path.stem} |")]
    sizes = parse_batch(values["batch"])
    assert sizes is not None
    for name, size in zip(("min", "opt", "max"), sizes, strict=True):
        assert f"--{name}Shapes=image:{size}x64x64x3" in command
    if "workspace" in values:
        assert f"--memPoolSize=workspace:{values['workspace']}M" in command
    if "optimization_level" in values:
        assert f"--builderOptimizationLevel={values['optimization_level']}" in command
    if "compute_capability" in values:
        capabilities = values["compute_capability"].replace(".", "")
        assert f"--computeCapabilities={capabilities}" in command
