"""TensorRT without TensorRT: its real Python bindings, over libraries that do nothing, behind objects that check.

The bindings import once something exports the functions they link to. Every class, enum member and signature is then
the real one, though nothing can run. `module(...)` gives a stand-in for `tensorrt` whose objects allow exactly the
attributes of the real classes, take exactly the arguments of the real signatures (names, number and types, read from
the docstrings that pybind11 writes), and answer with the same kind of object as the real method would.

Two versions cannot live in one process: call this from a process of its own.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

BINDINGS = Path(__file__).parent.parent.parent / "build" / "bindings"
VERSIONS = ("10.3.0", "10.16.1.11", "11.4.0.106")
_STUB = """extern "C" {
void* createInferBuilder_INTERNAL(void*, int) { return 0; }
void* createInferRefitter_INTERNAL(void*, void*, int) { return 0; }
void* createInferRuntime_INTERNAL(void*, int) { return 0; }
void* createNvOnnxParser_INTERNAL(void*, void*, int) { return 0; }
void* createNvOnnxParserRefitter_INTERNAL(void*, void*, int) { return 0; }
void* getBuilderPluginRegistry(int) { return 0; }
void* getPluginRegistry() { return 0; }
int getNvOnnxParserVersion() { return 0; }
bool initLibNvInferPlugins(void*, const char*) { return true; }
}
"""
_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
_NATIVE = ("Builder", "OnnxParser", "Runtime", "Refitter")  # their constructors need the real libraries


def why_not(version: str) -> str | None:
    """Why the bindings of `version` cannot be used here, or None."""
    if not sys.platform.startswith("linux"):
        return "the bindings are loaded over stub libraries on Linux only"
    if not (BINDINGS / version).is_dir():
        return f"TensorRT {version} bindings are not there: python tools/fetch_bindings.py"
    if not _compiler():
        return "there is no C++ compiler to make the stub libraries with"
    return None


def prepare(version: str, folder: Path) -> Path:
    """Copy the bindings to `folder`, compile the do-nothing libraries beside them, return the folder to import from."""
    compiler = _compiler()
    assert compiler
    shutil.copytree(BINDINGS / version, folder, dirs_exist_ok=True)
    source = folder / "stub.cpp"
    source.write_text(_STUB)
    for name in _LIBRARIES:
        library = folder / "tensorrt_bindings" / f"lib{name}.so.{version.split('.')[0]}"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return folder


def module(folder: Path, answers: Mapping[str, Any] | None = None) -> tuple[ModuleType, World]:
    """Import the bindings below `folder` and return the checking stand-in for `tensorrt`, and the world it lives in.

    Args:
        answers: what methods and properties give instead of a default of their kind: {"Class.name": value}, where a
            callable is called with the arguments.
    """
    sys.path.insert(0, str(folder))
    real = importlib.import_module("tensorrt_bindings")
    sys.path.remove(str(folder))
    world = World(real, dict(answers or {}))
    double = ModuleType("tensorrt")
    double.__getattr__ = lambda name: _attribute(world, name)  # type: ignore[method-assign]
    double.__version__ = real.__version__
    double.__spec__ = ModuleSpec("tensorrt", None)  # what asks whether it is installed finds it
    return double, world


@dataclass
class World:
    """The real module, the answers, and every call in order: ("IBuilderConfig.set_flag", (BuilderFlag.X,))."""

    real: Any
    answers: dict[str, Any]
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of every call of "Class.method", and of every value set of "Class.property"."""
        return [arguments for called, arguments in self.calls if called == name]


@dataclass(frozen=True)
class Signature:
    """Arguments as (name, type, has a default), without self; and the type of the answer."""

    arguments: tuple[tuple[str, str, bool], ...]
    answer: str


class Double:
    """An object of one of the real classes."""

    def __init__(self, world: World, kind: type) -> None:
        object.__setattr__(self, "_world", world)
        object.__setattr__(self, "_kind", kind)
        object.__setattr__(self, "_values", {})

    def __getattr__(self, name: str) -> Any:
        kind, world = self._kind, self._world
        if not hasattr(kind, name):
            raise AttributeError(f"TensorRT {world.real.__version__}: {kind.__name__} has no {name}")
        key = f"{kind.__name__}.{name}"
        static = inspect.getattr_static(kind, name)
        if isinstance(static, property):
            if name in self._values:
                return self._values[name]
            if key in world.answers:
                return world.answers[key]
            return _answer(world, _signatures(name, static.fget.__doc__, named=False)[0].answer)
        if callable(getattr(kind, name)):
            return lambda *args, **kwargs: _call(world, key, name, getattr(kind, name).__doc__, args, kwargs)
        return getattr(kind, name)

    def __setattr__(self, name: str, value: Any) -> None:
        kind, world = self._kind, self._world
        static = inspect.getattr_static(kind, name, None)
        if not isinstance(static, property) or static.fset is None:
            raise AttributeError(f"TensorRT {world.real.__version__}: {kind.__name__}.{name} cannot be set")
        expected = _signatures(name, static.fset.__doc__, named=False)[0].arguments[-1][1]
        if not _fits(world, value, expected):
            raise TypeError(f"{kind.__name__}.{name} takes {expected}, not {value!r}")
        world.calls.append((f"{kind.__name__}.{name}", (value,)))
        self._values[name] = value

    def __enter__(self) -> Double:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __len__(self) -> int:
        if not hasattr(self._kind, "__len__"):
            raise TypeError(f"{self._kind.__name__} has no length")
        return int(self._world.answers.get(f"{self._kind.__name__}.__len__", 0))

    def __bool__(self) -> bool:
        return True


def _attribute(world: World, name: str) -> Any:
    if not hasattr(world.real, name):
        raise AttributeError(f"TensorRT {world.real.__version__} has no {name}")
    found = getattr(world.real, name)
    if name in _NATIVE:

        def construct(*args: Any, **kwargs: Any) -> Double:
            _call(world, f"{name}.__init__", "__init__", found.__init__.__doc__, args, kwargs)
            return Double(world, found)

        return construct
    return found


def _call(world: World, key: str, name: str, documentation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Check a call against the real signatures, record it, and answer."""
    refusals = []
    for signature in _signatures(name, documentation):
        refusal = _refusal(world, signature, args, kwargs)
        if refusal is None:
            world.calls.append((key, (*args, *kwargs.values())))
            if key in world.answers:
                answer: Any = world.answers[key]
                return answer(*args, **kwargs) if callable(answer) else answer
            return _answer(world, signature.answer)
        refusals.append(refusal)
    raise TypeError(f"TensorRT {world.real.__version__}: {key}: {'; '.join(refusals)}")


def _refusal(world: World, signature: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    given: dict[str, Any] = dict(zip((name for name, _, _ in signature.arguments), args, strict=False))
    if len(args) > len(signature.arguments):
        return f"takes {len(signature.arguments)} arguments, got {len(args)}"
    for name, value in kwargs.items():
        if name in given or name not in {n for n, _, _ in signature.arguments}:
            return f"takes no further argument {name}"
        given[name] = value
    for name, kind, optional in signature.arguments:
        if name not in given:
            if not optional:
                return f"the argument {name} is missing"
        elif not _fits(world, given[name], kind):
            return f"{name} takes {kind}, not {given[name]!r}"
    return None


def _signatures(name: str, documentation: str, named: bool = True) -> list[Signature]:
    """Read pybind11's signatures: "name(self: C, flag: F = 0) -> R", numbered when overloaded."""
    start = re.escape(name) if named else ""
    found = re.findall(rf"^\s*(?:\d+\. )?{start}\((.*)\) -> ([^\n]+)$", documentation, re.MULTILINE)
    found = [(arguments, answer) for arguments, answer in found if not arguments.startswith("*args")]
    assert found, f"no signature of {name} in {documentation[:200]!r}"
    return [
        Signature(tuple(_argument(a) for a in _split(arguments)[1:]), answer.strip()) for arguments, answer in found
    ]


def _argument(text: str) -> tuple[str, str, bool]:
    name, _, rest = text.partition(":")
    kind, _, default = rest.partition(" = ")
    return name.strip(), kind.strip(), bool(default)


def _split(text: str) -> list[str]:
    """Split at commas outside brackets."""
    parts, depth, last = [], 0, 0
    for at, letter in enumerate(text):
        depth += letter in "[(<"
        depth -= letter in "])>"
        if letter == "," and not depth:
            parts.append(text[last:at])
            last = at + 1
    return [*parts, text[last:]]


def _kind(world: World, name: str) -> type | None:
    found = getattr(world.real, name.split(".")[-1], None) if name.startswith("tensorrt") else None
    return found if isinstance(found, type) else None


def _fits(world: World, value: Any, kind: str) -> bool:
    real = _kind(world, kind)
    if real is not None:
        if real.__name__.startswith("Dims"):
            return isinstance(value, (real, tuple, list))
        return isinstance(value, real) or (isinstance(value, Double) and issubclass(value._kind, real))
    checks: dict[str, Callable[[Any], bool]] = {
        "bool": lambda v: isinstance(v, bool),
        "str": lambda v: isinstance(v, str),
        "int": lambda v: isinstance(v, int),
        "typing.SupportsInt": lambda v: hasattr(v, "__int__"),
        "typing_extensions.Buffer": lambda v: isinstance(v, (bytes, bytearray, memoryview)),
        "buffer": lambda v: isinstance(v, (bytes, bytearray, memoryview)),
        "tuple": lambda v: isinstance(v, tuple),
        "list": lambda v: isinstance(v, list),
    }
    return checks.get(kind.split(" | ")[0], lambda v: True)(value)


def _answer(world: World, kind: str) -> Any:
    real = _kind(world, kind)
    if real is not None:
        members = getattr(real, "__members__", None)
        return next(iter(members.values())) if members else Double(world, real)
    return {"bool": True, "int": 0, "str": "", "None": None, "float": 0.0}.get(kind)


def _compiler() -> str | None:
    return shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
