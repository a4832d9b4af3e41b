"""The timing cache: what earlier builds measured on this very GPU with this very version, kept between builds.

With it a second build takes seconds instead of minutes, and chooses the same kernels as the first.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgefer.errors import EdgeferError
from edgefer.files import replace_file
from edgefer.runtime.cuda import Gpu
from edgefer.runtime.engines.trt.checks import this_platform
from edgefer.runtime.faces import cache_folder


def default_path(module: str, version: str, gpu: Gpu) -> Path:
    """One file for each version, GPU and platform: timings mean nothing elsewhere."""
    words = f"{module} {version} {gpu.name} {gpu.capability} {gpu.multiprocessors} {this_platform()}"
    return cache_folder() / "timing" / (re.sub(r"[^A-Za-z0-9.]+", "-", words) + ".cache")


def attach(config: Any, path: Path) -> Any:
    """Give a builder configuration the cache in `path`, or a new one where it is missing, damaged or of elsewhere.

    Returns the cache, which must live as long as the build.

    Raises:
        EdgeferError: not even an empty cache is taken.
    """
    for content in (path.read_bytes(), b"") if path.is_file() else (b"",):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    raise EdgeferError("TensorRT takes no timing cache.", "report this with TensorRT's version.")


def save(config: Any, path: Path) -> None:
    """Write the cache with what this build added, beside and renamed.

    Raises:
        EdgeferError: there is none to write.
    """
    cache = config.get_timing_cache()
    content = cache.serialize() if cache is not None else None
    if content is None:
        raise EdgeferError("TensorRT did not hand out its timing cache.", "report this with TensorRT's version.")
    with replace_file(path) as partial:
        partial.write_bytes(bytes(content))
