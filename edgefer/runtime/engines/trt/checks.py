"""What is checked before TensorRT sees an engine's bytes: an engine is native code, and wants exactly its own machine.

The artifact's hashes were checked when it was opened. Here follow the engine's own header, the manifest against itself,
platform, version and device.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from edgefer.artifact import Artifact
from edgefer.errors import ArtifactError, UnavailableError
from edgefer.runtime.cuda import Gpu
from edgefer.runtime.engines.trt.flavor import RTX, TENSORRT, Flavor, parse_version
from edgefer.runtime.engines.trt.inspect import contradiction, product_types

# The first 28 bytes of an engine: tag, serialisation number, ..., and the version that built it in bytes 24 to 27. For
# TensorRT this is how `trtexec --getPlanVersionOnly` reads it (NVIDIA/TensorRT, samples/common/sampleEngines.cpp);
# engines of TensorRT-RTX 1.7 have the same form with a tag of their own, and their whole length in bytes 16 to 23.
_HEADER = 28
_AMPERE = (8, 0)  # where hardware compatibility begins
_SAME = 3  # parts of a version that must be equal: major, minor, patch


@dataclass(frozen=True)
class Header:
    """Which flavor and version built an engine, and how long it says it is (0 where it does not)."""

    flavor: Flavor
    version: tuple[int, ...]
    size: int


def read_header(data: bytes) -> Header | None:
    """The header of an engine, None if it is of no form that we know."""
    flavor = next((f for f in (TENSORRT, RTX) if data[:4] == f.tag), None)
    if flavor is None or len(data) < _HEADER or any(data[4:8]):
        return None
    return Header(flavor, tuple(data[24:28]), int.from_bytes(data[16:24], "little") if flavor is RTX else 0)


def this_platform() -> str:
    """System and processor, as manifests name them: "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


def rebuild(artifact: Artifact, gpu: Gpu | None = None) -> str:
    """The command that builds an artifact again; `gpu` is what a TensorRT-RTX engine should then be for."""
    manifest = artifact.manifest
    words = ["edgefer export CHECKPOINT", f"--target {manifest.target}", f"--precision {manifest.precision}"]
    words.append(f"--size {manifest.preprocess.size}")
    if manifest.batch:
        words.append(f"--batch {':'.join(map(str, manifest.batch))}")
    if not manifest.specialized:
        words.append("--no-specialize")
    if gpu and manifest.target == RTX.target:
        words.append(f"--compute-capability {gpu.capability}")
    words += [f"--{name.replace('_', '-')}" for name in _FLAGS if manifest.device.get(name)]
    return " ".join([*words, f"--out {artifact.path}"])


_FLAGS = ("version_compatible", "hardware_compatible")


def check_file(flavor: Flavor, artifact: Artifact, data: bytes) -> None:
    """Check the engine's header against its length and the manifest, and the manifest against itself.

    Raises:
        ArtifactError: they contradict each other.
    """
    manifest, hint = artifact.manifest, rebuild(artifact)
    header = read_header(data)
    built = parse_version(manifest.tools.get(flavor.module, ""))
    if len(data) < _HEADER or (header and header.size and header.size != len(data)):
        whole = header.size if header else _HEADER
        raise ArtifactError(f"{artifact.model} is cut off: {len(data):,} of {whole:,} bytes.", hint)
    if header and header.flavor is not flavor:
        raise ArtifactError(f"{artifact.model} is an engine of {header.flavor.title}, not of {flavor.title}.", hint)
    if header and header.version[:_SAME] != built[:_SAME]:
        raise ArtifactError(
            f"{artifact.model} says that {flavor.title} {_text(header.version)} built it, its manifest says "
            f"{_text(built)}.",
            hint,
        )
    products = product_types(manifest.layers.get("network", {}))
    if products and products != {manifest.precision}:
        found = " and ".join(sorted(products))
        raise ArtifactError(f"{artifact.path} is called {manifest.precision}, but was built from {found}.", hint)
    wrong = contradiction(manifest.precision, manifest.layers.get("engine", {}))
    if wrong:
        raise ArtifactError(f"{artifact.path} is called {manifest.precision}, but {wrong}.", hint)


def check_machine(flavor: Flavor, artifact: Artifact, version: str, gpu: Gpu) -> None:
    """Check that this machine is what the engine was built for.

    Raises:
        UnavailableError: another platform, version or device; the hint is the command that rebuilds it.
    """
    device, built = artifact.manifest.device, artifact.manifest.tools.get(flavor.module, "")
    for_, here = _describe(flavor, artifact), f"this is {gpu.name}, compute capability {gpu.capability}"
    here += f" ({gpu.multiprocessors} multiprocessors), with {flavor.title} {version} on {this_platform()}"
    fits = gpu.capability in str(device.get("compute_capability", "")).split(",")
    if device.get("hardware_compatible"):
        fits = parse_version(gpu.capability) >= _AMPERE
    fits = fits and _version_fits(built, version, bool(device.get("version_compatible")))
    if flavor is TENSORRT:
        fits = fits and device.get("platform") == this_platform()
        # All Orins are called "Orin" and have 8.7; what they differ in is their size.
        same = device.get("multiprocessors") == gpu.multiprocessors
        fits = fits and (same or bool(device.get("hardware_compatible")))
    elif device.get("platform"):  # built for the machine it was built on
        fits = fits and device["platform"] == this_platform()
    if not fits:
        raise UnavailableError(f"{artifact.path} was built for {for_}; {here}.", rebuild(artifact, gpu))


def _version_fits(built: str, here: str, compatible: bool) -> bool:
    wanted, found = parse_version(built), parse_version(here)
    if compatible:  # a version-compatible engine brings a lean runtime that later minor versions can use
        return found[:1] == wanted[:1] and found >= wanted
    return found[:_SAME] == wanted[:_SAME]


def _describe(flavor: Flavor, artifact: Artifact) -> str:
    device, tools = artifact.manifest.device, artifact.manifest.tools
    parts = [f"compute capability {device.get('compute_capability') or 'unknown'}"]
    if device.get("gpu"):
        parts = [f"{device['gpu']} ({device.get('multiprocessors')} multiprocessors),", *parts]
    where = f" on {device['platform']}" if device.get("platform") else ""
    return f"{' '.join(parts)} with {flavor.title} {tools.get(flavor.module, 'of unknown version')}{where}"


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)) or "nothing"
