"""TensorRT comes in two kinds with one API: the full one, and TensorRT-RTX, whose engines are another format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edgefer.errors import UnavailableError
from edgefer.optional import require


@dataclass(frozen=True)
class Flavor:
    """One kind.

    Attributes:
        target: name of the export target, and of the extra that installs it.
        module: Python module.
        title: as users know it.
        oldest: first version that has all we call.
        before: first version that we have not seen.
        tag: first bytes of its engines.
    """

    target: str
    module: str
    title: str
    oldest: tuple[int, ...]
    before: tuple[int, ...]
    tag: bytes


TENSORRT = Flavor("tensorrt", "tensorrt", "TensorRT", (10, 3), (12,), b"ftrt")
RTX = Flavor("tensorrt-rtx", "tensorrt_rtx", "TensorRT-RTX", (1, 7), (2,), b"vtrt")


def load_module(flavor: Flavor) -> Any:
    """Import the flavor's module.

    Raises:
        UnavailableError: it is not installed, does not start, or is of a version that we do not know.
    """
    install = f'pip install "edgefer[{flavor.target}]"'
    require((flavor.module,), flavor.target, flavor.title)
    try:
        module = import_module(flavor.module)
    except (ImportError, OSError, RuntimeError) as error:  # a wheel without its libraries raises any of these
        raise UnavailableError(
            f"{flavor.title} is installed but does not start: {error}.", f"{install} --force-reinstall"
        ) from error
    version = parse_version(module.__version__)
    if not flavor.oldest <= version < flavor.before:
        raise UnavailableError(
            f"{flavor.title} {module.__version__} is installed; edgefer works with {_text(flavor.oldest)} and later, "
            f"before {_text(flavor.before)}.",
            install,
        )
    return module


def parse_version(text: str) -> tuple[int, ...]:
    """ "10.16.1.11" -> (10, 16, 1, 11); what follows the numbers, as in "10.14.1.48.post1", is left out."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def make_log(trt: Any) -> Any:
    """A TensorRT logger that keeps errors in `messages` and prints nothing."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.ERROR):
                self.messages.append(msg)

        @property
        def cause(self) -> str:
            """The first error since `messages` was cleared: later ones are what follows from it."""
            return self.messages[0] if self.messages else "it gives no reason"

    return Log()


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
