"""Packages that only some features need: are they there, which version, and how to get them."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

from edgefer.errors import UnavailableError

# Modules whose distribution has another name, or several.
_DISTRIBUTIONS = {
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "PIL": ("pillow",),
    "cuda.bindings": ("cuda-bindings", "cuda-python"),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx", "tensorrt_rtx"),
}


def installed(module: str) -> bool:
    """Whether `import module` would find something, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def version(module: str) -> str | None:
    """Version of the distribution that provides `module`, or None when it is not installed."""
    if not installed(module):
        return None
    for name in _DISTRIBUTIONS.get(module, (module,)):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown version"


def require(modules: tuple[str, ...], extra: str, what: str, otherwise: str = "") -> None:
    """Check that all of `modules` are installed.

    Raises:
        UnavailableError: naming the first that is not, and the command that installs the extra; `otherwise` follows it.
    """
    for module in modules:
        if not installed(module):
            raise UnavailableError(
                f"{what} needs {module}, which is not installed.", f'pip install "edgefer[{extra}]"{otherwise}'
            )


def import_quietly(module: str) -> Any:
    """Import a module whose package remarks on what else is installed (coremltools does), without the remarks.

    Raises:
        ImportError: it is not installed, or does not start.
    """
    logger = logging.getLogger(module.partition(".")[0])
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(module)
    finally:
        logger.setLevel(level)
