"""Fetch TensorRT's Python bindings, without TensorRT, for the conformance tests.

    python tools/fetch_bindings.py [build/bindings]

The bindings are small wheels that do nothing without NVIDIA's libraries; the tests put do-nothing libraries under them
and check that every name and argument our code uses exists. They are unpacked into an ignored folder and not installed:
an installed `tensorrt` that cannot run would mislead everything that asks whether TensorRT is there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# The oldest that we support (JetPack 6 has it), and the last of each way of handling precision.
VERSIONS = {
    "10.3.0": "tensorrt-cu12-bindings",
    "10.16.1.11": "tensorrt-cu13-bindings",
    "11.4.0.106": "tensorrt-cu13-bindings",
}


def fetch(version: str, into: Path) -> str:
    """Download and unpack one version; return what happened in a few words."""
    if into.is_dir():
        return "there already"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", folder, f"{VERSIONS[version]}=={version}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return f"not to be had for this Python and system ({reason}); its conformance tests will be skipped"
        partial = into.with_name(into.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        zipfile.ZipFile(wheels[0]).extractall(partial)
        partial.rename(into)
    return "unpacked"


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "build" / "bindings"
    for version in VERSIONS:
        print(f"TensorRT {version} bindings: {fetch(version, root / version)}")


if __name__ == "__main__":
    main()
