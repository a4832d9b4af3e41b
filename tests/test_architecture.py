"""The house rules that no other test would notice: which room may import which, and what `import edgefer` costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import edgefer
from edgefer.export.targets import TARGETS, Target
from edgefer.runtime.engines import ENGINES

PACKAGE = Path(edgefer.__file__).parent
# Lowest first. An import runs downward or stays on its floor.
FLOORS = [
    {"emotions", "errors", "files", "optional", "weights"},
    {"images", "imageset", "preprocess", "_drawing", "samples"},
    {"embedded", "artifact"},
    {"runtime"},
    {"model", "data"},
    {"train", "export", "parity"},
    {"bench"},
    {"cli"},
]
HEAVY = {"torch", "onnx", "onnxscript", "onnxsim", "coremltools", "tensorrt", "tensorrt_rtx", "matplotlib", "lightning"}


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def floor(name: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if name in rooms)


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, module) of every import in a file, except those for type checkers only."""
    found: list[tuple[int, str]] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            found.extend((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text("utf-8")))
    return found


def test_every_room_has_a_floor() -> None:
    rooms = {room(path) for path in modules()}
    assert rooms <= set().union(*FLOORS)


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_run_downward(path: Path) -> None:
    here = floor(room(path))
    for line, module in imports(path):
        parts = module.split(".")
        if parts[0] != "edgefer" or len(parts) < 2:
            continue
        known = next((rooms for rooms in FLOORS if parts[1] in rooms), None)
        if known is not None:
            assert FLOORS.index(known) <= here, f"{path.name}:{line} imports {module} from a higher floor"


@pytest.mark.parametrize(
    "path",
    [p for p in modules() if floor(room(p)) <= floor("runtime")],
    ids=lambda p: p.relative_to(PACKAGE).as_posix(),
)
def test_the_runtime_never_imports_torch_or_onnx(path: Path) -> None:
    engine = path.parent.name == "engines"
    allowed = {"tensorrt", "tensorrt_rtx", "coremltools"} if engine else set()
    for line, module in imports(path):
        assert module.split(".")[0] not in HEAVY - allowed, f"{path.name}:{line} imports {module}"


def fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_edgefer_is_light() -> None:
    """Promise one: no framework, and under 0.3 s; the best of three, since the machine may be busy."""
    code = (
        "import sys, time; t = time.perf_counter(); import edgefer; t = time.perf_counter() - t;"
        f"print(t, *sorted(set(sys.modules) & {HEAVY | {'onnxruntime', 'cv2'}!r}))"
    )
    runs = [fresh(code).split() for _ in range(3)]
    assert all(len(words) == 1 for words in runs), f"import edgefer pulls in {runs}"
    assert min(float(words[0]) for words in runs) < 0.3


def test_the_runtime_stays_light_when_used() -> None:
    code = (
        "import sys, numpy as np, edgefer; from edgefer.errors import EdgeferError\n"
        "try: edgefer.load('nowhere')\n"
        "except EdgeferError: pass\n"
        f"print(*sorted(set(sys.modules) & {HEAVY!r}))"
    )
    assert fresh(code).split() == []


def test_a_target_is_its_own_files_and_a_row_each() -> None:
    """Promise two: outside its own files and the two registries nothing names a target's module."""
    registries = {PACKAGE / "export" / "targets.py", PACKAGE / "runtime" / "engines" / "__init__.py"}
    for target, row in {**{f"export {k}": v for k, v in TARGETS.items()}, **ENGINES}.items():
        own = PACKAGE.parent / Path(*row.module.split(".")).with_suffix(".py")
        assert own.is_file(), f"{target} names {row.module}, which is not there"
        for path in modules():
            if path in registries or path == own:
                continue
            named = [
                module for _, module in imports(path) if module == row.module or module.startswith(row.module + ".")
            ]
            assert not named, f"{path} imports {row.module} past the registry"


def test_registered_targets_can_be_added_without_touching_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up target, registered from outside, is built, proven and loaded by the unchanged code."""
    import numpy as np

    from edgefer.export.run import Options, export
    from edgefer.imageset import ImageSet
    from edgefer.model.checkpoint import Checkpoint
    from edgefer.model.resemotenet import seeded
    from edgefer.runtime.engines import Row
    from edgefer.samples import encoded
    from tests.conftest import TINY
    from tests.export import made_up_target

    own = ("tests.export.made_up_target", ("numpy",), "made-up")
    monkeypatch.setitem(TARGETS, "made-up", Target(*own))
    monkeypatch.setitem(ENGINES, "made-up", Row(*own))
    import tempfile

    checkpoint = Checkpoint(seeded(TINY))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a"
        artifact = export(checkpoint, place, ImageSet(encoded(6), "six faces"), Options(target="made-up"))
        assert artifact.manifest.target == "made-up"
        assert artifact.manifest.proof == "passed"
        prediction = edgefer.load(place)(np.zeros((80, 80, 3), np.uint8))
        assert prediction.label in edgefer.EMOTIONS
        assert made_up_target.calls
