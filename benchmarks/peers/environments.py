"""A virtual environment for each peer that cannot live in the project's own, made once; offline afterwards."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefer.errors import UsageError
from edgefer.files import replace_file

RECORD = "setup.json"
Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Environment:
    """What pip is asked for.

    Attributes:
        name: also the folder's name.
        requirements: with everything they depend on.
        bare: without: packages that declare a whole framework where their model file and its engine will do.
        project: see the project's packages as well, torch above all, instead of installing gigabytes again.
    """

    name: str
    requirements: tuple[str, ...]
    bare: tuple[str, ...] = ()
    project: bool = False


_TFLITE = ("numpy", "ai-edge-litert==2.3.0")
CONVERTER = "litert-torch"
ENVIRONMENTS = {
    one.name: one
    for one in (
        Environment("openvino", ("numpy", "openvino==2026.4.1")),
        Environment("litert", _TFLITE),
        Environment("fer", (*_TFLITE, "opencv-python-headless"), bare=("fer==25.10.3",)),
        Environment("facex", (*_TFLITE, "opencv-python-headless", "scikit-image"), bare=("facex==1.1.0",)),
        Environment(CONVERTER, ("litert-torch==0.10.0",), project=True),
    )
}


class Record:
    """setup.json: what is there, and what went wrong. Written after every step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / RECORD
        found = json.loads(self._file.read_text("utf-8")) if self._file.is_file() else {}
        self.environments: dict[str, dict[str, Any]] = found.get("environments", {})
        self.models: dict[str, dict[str, Any]] = found.get("models", {})

    @classmethod
    def open(cls, folder: Path) -> Record:
        """The record of a folder that was set up.

        Raises:
            UsageError: it was not.
        """
        if not (folder / RECORD).is_file():
            raise UsageError(
                f"{folder} was not set up.", f"run first: python benchmarks/peers.py --setup {folder} (needs the net)."
            )
        return cls(folder)

    def write(self) -> None:
        """Replace the file."""
        text = json.dumps({"environments": self.environments, "models": self.models}, indent=1)
        with replace_file(self._file) as partial:
            partial.write_text(text + "\n", "utf-8")

    def python(self, environment: str) -> str:
        """Its interpreter."""
        return str(_python(self.folder / environment))


def install(environment: Environment, record: Record, say: Say) -> bool:
    """Make an environment unless it is there as wanted; True if it is now. What pip said goes into the record."""
    wanted = [*environment.requirements, *environment.bare]
    known = record.environments.get(environment.name)
    folder = record.folder / environment.name
    if known and known["requirements"] == wanted and not known["error"] and _python(folder).exists():
        say(environment.name, "is there")
        return True
    shutil.rmtree(folder, ignore_errors=True)
    begin = time.monotonic()
    error = _make(environment, folder)
    seconds = round(time.monotonic() - begin, 1)
    installed = {} if error else _installed(folder, wanted)
    record.environments[environment.name] = {
        "requirements": wanted,
        "installed": installed,
        "error": error,
        "seconds": seconds,
    }
    record.write()
    versions = ", ".join(f"{name} {version}" for name, version in installed.items())
    say(environment.name, f"failed: {error}" if error else f"{versions}   {seconds:.0f} s")
    return error is None


def _make(environment: Environment, folder: Path) -> str | None:
    """Return what went wrong, or None."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if environment.project:
        # Behind the environment's own packages on the path: what pip finds there it does not install.
        link = _packages(folder) / "project.pth"
        link.write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    pip = [str(_python(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for options, packages in (([], environment.requirements), (["--no-deps"], environment.bare)):
        if packages:
            done = subprocess.run([*pip, *options, *packages], capture_output=True, text=True)
            if done.returncode:
                errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
                return (errors or done.stderr.strip().splitlines() or ["pip failed"])[-1].removeprefix("ERROR: ")
    return None


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _packages(folder: Path) -> Path:
    scheme = "nt" if os.name == "nt" else "venv"
    return Path(sysconfig.get_path("purelib", scheme, {"base": str(folder), "platbase": str(folder)}))


def _installed(folder: Path, wanted: list[str]) -> dict[str, str]:
    """Versions of what was asked for."""
    names = [one.partition("==")[0] for one in wanted]
    found = importlib.metadata.distributions(path=[str(_packages(folder))])
    versions = {one.name.lower(): one.version for one in found}
    return {name: versions[name] for name in names if name in versions}
