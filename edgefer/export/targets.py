"""The registry of targets. A new one is a row here, a file beside this one, and an engine with its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgefer.errors import UsageError
from edgefer.optional import require
from edgefer.preprocess import Preprocess
from edgefer.runtime.engines import Row

if TYPE_CHECKING:  # the registry itself is read by `edgefer doctor`, where torch may be missing
    from edgefer.model.checkpoint import Checkpoint


@dataclass(frozen=True)
class Request:
    """What a target's builder is asked for.

    `options` holds those of the target's own options that were given; `progress` is called with (steps done, steps in
    all) by builders that take long.
    """

    checkpoint: Checkpoint
    preprocess: Preprocess
    precision: str = "fp32"
    specialized: bool = True
    batch: tuple[int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Built:
    """What a builder made in the folder it was given.

    Attributes:
        model: name of the model file, or package folder.
        precision: as read back from that file.
        content_sha256: of weights and normalised graph, free of everything that differs between two builds.
        summary: one line for the terminal: "ONNX opset 20, fp32, batch 1..N".
        tools: versions of what built it.
        device: what it runs on, where that is not "anything".
        seal: called with the manifest once everything else is known, to put it inside the model file; None if the
            format has no place for it.
        batch: the batch sizes it takes, where the target chose them itself; else those of the request hold.
        layers: for the manifest, see there.
        parameters: learnable scalars in the file, where they are not those that `specialize` leaves.
        warnings: what the builder wants the user to know, a line each.
    """

    model: str
    precision: str
    content_sha256: str
    summary: str
    tools: Mapping[str, str]
    device: Mapping[str, Any] = field(default_factory=dict)
    seal: Callable[[Any], None] | None = None
    batch: tuple[int, ...] | None = None
    layers: Mapping[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    warnings: tuple[str, ...] = ()


class Builder(Protocol):
    """The contract of a target's module: `PRECISIONS`, and `build(request, folder) -> Built`."""

    PRECISIONS: tuple[str, ...]

    def build(self, request: Request, folder: Path) -> Built: ...


@dataclass(frozen=True)
class Option:
    """An option that only some targets have: a flag of `edgefer export`, a key of recipes, and of `Request.options`.

    Attributes:
        name: the key: "compute_units", the flag is then --compute-units.
        kind: str, int or bool; the flag of a bool takes no value.
        help: one line.
        choices: the values a text may have, None for any.
    """

    name: str
    kind: type
    help: str
    choices: tuple[str, ...] | None = None

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    def check(self, value: Any) -> None:
        """Refuse a value of the wrong kind or outside the choices.

        Raises:
            UsageError: naming the option and what it takes.
        """
        if type(value) is not self.kind:
            raise UsageError(f"{self.name} is {value!r}.", f"it must be a {self.kind.__name__}.")
        if self.choices and value not in self.choices:
            raise UsageError(f"{self.flag} {value} cannot be.", f"choose one of: {', '.join(self.choices)}.")


@dataclass(frozen=True)
class Target(Row):
    """A registered target; its own options are declared here, so that --help needs none of its packages."""

    options: tuple[Option, ...] = ()


_GRAPH = ("torch", "onnx", "onnxscript", "onnxsim", "safetensors")  # what every target needs that starts from ONNX
_WORKSPACE = Option("workspace", int, "Most GPU memory for intermediate results, in MB")
_CALIBRATION = Option("calibration", str, "Folder of faces for int8 scales, instead of rendered ones")

TARGETS: dict[str, Target] = {
    "onnx": Target("edgefer.export.onnx", _GRAPH, "export"),
    "tensorrt": Target(
        "edgefer.export.tensorrt",
        ("tensorrt", "cuda.bindings", *_GRAPH),
        "export,tensorrt",
        machine="edgefer.runtime.cuda:gpu",
        otherwise=" on a machine with an NVIDIA GPU, or build here for PC GPUs: --target tensorrt-rtx",
        options=(
            _WORKSPACE,
            _CALIBRATION,
            Option("optimization_level", int, "How long to search for fast kernels, 0 to 5"),
            Option("timing_cache", str, "File with what earlier builds measured; kept in the cache folder by default"),
            Option("version_compatible", bool, "Let later minor versions of TensorRT load the engine"),
            Option("hardware_compatible", bool, "Let all GPUs from Ampere on load the engine"),
        ),
    ),
    "tensorrt-rtx": Target(
        "edgefer.export.tensorrt_rtx",
        ("tensorrt_rtx", *_GRAPH),
        "export,tensorrt-rtx",
        options=(
            _WORKSPACE,
            _CALIBRATION,
            Option("compute_capability", str, "GPUs it is for, as 8.6,8.9,12.0; the one here if left out"),
        ),
    ),
    "coreml": Target(
        "edgefer.export.coreml",
        ("torch", "safetensors", "coremltools"),
        "export,coreml",
        options=(
            Option("compress", str, "Store weights smaller", ("none", "int8", "int4")),
            Option("deployment_target", str, "Oldest system to run on", ("iOS15", "iOS16", "iOS17", "iOS18", "iOS26")),
            Option("compute_units", str, "What may run it", ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")),
        ),
    ),
}


def all_options() -> dict[str, tuple[Option, list[str]]]:
    """Every option that some target has, by name, with the targets that have it. Targets may share one `Option`."""
    found: dict[str, tuple[Option, list[str]]] = {}
    for target, row in TARGETS.items():
        for option in row.options:
            found.setdefault(option.name, (option, []))[1].append(target)
    return found


def check_options(target: str, given: Mapping[str, Any]) -> None:
    """Refuse options that the target does not have, and values that they do not take.

    Raises:
        UsageError: naming the option, and the targets that have it.
    """
    own = {option.name: option for option in TARGETS[target].options}
    for name, value in given.items():
        if name not in own:
            others = all_options().get(name, (None, []))[1]
            hint = f"it is an option of {', '.join(others)}." if others else "leave it out."
            raise UsageError(f"{target} takes no option {name} (it is {value!r}).", hint)
        own[name].check(value)


def builder(target: str) -> Any:
    """Return the module that builds `target` (a `Builder`).

    Raises:
        UsageError: there is no such target.
        UnavailableError: what it needs is not installed.
    """
    if target not in TARGETS:
        raise UsageError(f"there is no target {target}.", f"choose one of: {', '.join(TARGETS)}.")
    row = TARGETS[target]
    require(row.needs, row.extra, f"exporting to {target}", row.otherwise)
    return import_module(row.module)
