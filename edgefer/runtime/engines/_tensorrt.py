"""TensorRT, full or for RTX: the two modules have the same names, so one engine serves both targets.

A serialised engine is native code. Nothing of it is given to TensorRT before the hashes have been checked (when the
artifact was opened) and the manifest says that it was built for this module, version, system and kind of GPU.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from edgefer.artifact import Artifact
from edgefer.emotions import EMOTIONS
from edgefer.errors import ArtifactError, EdgeferError, UnavailableError, UsageError
from edgefer.runtime.engines._cuda import Buffer, Device, Graph, Stream, device

INPUT, OUTPUT = "image", "probabilities"


def system() -> str:
    """Operating system and processor, as manifests name them: "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


def refuse_mismatch(artifact: Artifact, version: str, here: Device) -> None:
    """Refuse an engine that was built for something else than what is here.

    Args:
        version: of the TensorRT module that would run it.
        here: the GPU that would run it.

    Raises:
        UnavailableError: names what it was built for, what is here, and the command that rebuilds it.
    """
    manifest = artifact.manifest
    built: Mapping[str, Any] = manifest.device
    rebuild = (
        f"build it here: edgefer export CHECKPOINT --target {manifest.target} --precision {manifest.precision} "
        f"--out {artifact.path}"
    )
    missing = [key for key in ("version", "system", "compute_capability") if not built.get(key)]
    if missing:
        raise ArtifactError(f"{artifact.path} does not say for which {missing[0]} it was built.", rebuild)
    if built["system"] != system():
        raise UnavailableError(f"{artifact.path} was built for {built['system']}, this is {system()}.", rebuild)
    if built["version"] != version and not _serves(built, version):
        raise UnavailableError(
            f"{artifact.path} was built with TensorRT {built['version']}, this is {version}.", rebuild
        )
    capabilities = tuple(built["compute_capability"])
    if here.compute_capability not in capabilities and not _covers(built, here.compute_capability):
        names = ", ".join(capabilities)
        raise UnavailableError(
            f"{artifact.path} was built for compute capability {names}; {here.name} has {here.compute_capability}.",
            rebuild,
        )


def _serves(built: Mapping[str, Any], version: str) -> bool:
    """Whether a version-compatible engine runs on a newer TensorRT of the same major version."""
    old, new = ([int(part) for part in text.split(".")[:3]] for text in (built["version"], version))
    return bool(built.get("version_compatible")) and old[0] == new[0] and new >= old


def _covers(built: Mapping[str, Any], capability: str) -> bool:
    """Whether a hardware-compatible engine runs on this GPU: on Ampere and everything newer."""
    return bool(built.get("hardware_compatible")) and tuple(map(int, capability.split("."))) >= (8, 0)


class TensorRTEngine:
    """A deserialised engine with buffers for its largest batch; calls take turns.

    With a fixed batch size the copies and the computation are captured as one CUDA graph, which saves the launches.
    """

    def __init__(self, artifact: Artifact, module: str) -> None:
        trt = import_module(module)
        here = device()
        refuse_mismatch(artifact, trt.__version__, here)
        self.name = f"{module} {trt.__version__}, {here.name}"
        self._logger = trt.Logger(trt.Logger.ERROR)
        runtime = trt.Runtime(self._logger)
        if artifact.manifest.device.get("version_compatible"):
            runtime.engine_host_code_allowed = True  # such an engine carries its own runtime; the hash vouches for it
        self._engine = runtime.deserialize_cuda_engine(artifact.model.read_bytes())
        if self._engine is None:
            raise ArtifactError(
                f"TensorRT {trt.__version__} cannot load {artifact.model}.", "export it again on this machine."
            )
        size = artifact.manifest.preprocess.size
        self._check_tensors(trt, artifact)
        batch = artifact.manifest.batch or (1,)
        self._least, self._most = batch[0], batch[-1]
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EdgeferError("TensorRT could not make an execution context.", "is the GPU's memory full?")
        self._stream = Stream()
        self._input = Buffer((self._most, size, size, 3), np.uint8)
        self._output = Buffer((self._most, len(EMOTIONS)), np.float32)
        self._bind(self._context, self._input, self._output)
        self._lock = threading.Lock()
        self._shaped = 0
        self._graph: Graph | None = None

    def _check_tensors(self, trt: Any, artifact: Artifact) -> None:
        """Refuse an engine whose inputs and outputs are not those of the graph contract."""
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        if sorted(names) != [INPUT, OUTPUT]:
            raise ArtifactError(f"{artifact.model} has the tensors {', '.join(names)}.", "export it again.")
        for name, dtype in ((INPUT, trt.DataType.UINT8), (OUTPUT, trt.DataType.FLOAT)):
            found = self._engine.get_tensor_dtype(name)
            if found != dtype:
                raise ArtifactError(f"{artifact.model} has {name} as {found}, not {dtype}.", "export it again.")

    @staticmethod
    def _bind(context: Any, images: Buffer, probabilities: Buffer) -> None:
        for name, buffer in ((INPUT, images), (OUTPUT, probabilities)):
            if not context.set_tensor_address(name, buffer.address):
                raise EdgeferError(f"TensorRT refuses the buffer for {name}.", "report this with the artifact.")

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, size, size, 3], N within the artifact's batch -> float32 [N, 7]. Thread-safe."""
        count = len(images)
        if not self._least <= count <= self._most:
            raise UsageError(
                f"the engine takes {self._least} to {self._most} images at once, not {count}.",
                "edgefer.load(...)(images) splits and pads; or export with another --batch.",
            )
        with self._lock:
            self._input.host[:count] = images
            if self._graph is not None:
                self._graph.launch()
            else:
                self._shape(count)
                self._enqueue(count)
            self._stream.synchronize()
            probabilities = self._output.host[:count].copy()
            if self._graph is None and self._least == self._most:
                # After one run outside: TensorRT finishes its set-up in the first, which cannot be captured.
                self._graph = self._stream.capture(lambda: self._enqueue(count))
        return probabilities

    def _enqueue(self, count: int) -> None:
        self._input.upload(count, self._stream)
        self._compute(self._context, self._stream)
        self._output.download(count, self._stream)

    def _shape(self, count: int) -> None:
        if count != self._shaped:
            _set_shape(self._context, count, self._input)
            self._shaped = count

    @staticmethod
    def _compute(context: Any, stream: Stream) -> None:
        if not context.execute_async_v3(int(stream.handle)):
            raise EdgeferError("TensorRT could not run the engine.", "its log on stderr says why.")

    def bound(self, images: np.ndarray) -> BoundEngine:
        """Put uint8 [N, size, size, 3] on the GPU and return what computes on it there (see `engines.Bound`)."""
        context = self._engine.create_execution_context()
        if context is None:
            raise EdgeferError("TensorRT could not make an execution context.", "is the GPU's memory full?")
        return BoundEngine(context, images)


class BoundEngine:
    """An execution context of its own, with its input in place."""

    def __init__(self, context: Any, images: np.ndarray) -> None:
        self._context, self._stream, self._count = context, Stream(), len(images)
        self._input = Buffer(images.shape, np.uint8)
        self._output = Buffer((len(images), len(EMOTIONS)), np.float32)
        TensorRTEngine._bind(context, self._input, self._output)
        _set_shape(context, len(images), self._input)
        self._input.host[:] = images
        self._input.upload(self._count, self._stream)
        self._stream.synchronize()

    def __call__(self) -> int:
        """Compute once; nanoseconds by the GPU's clock."""
        begin = self._stream.record()
        TensorRTEngine._compute(self._context, self._stream)
        end = self._stream.record()
        self._stream.synchronize()
        return self._stream.elapsed_ns(begin, end)

    def probabilities(self) -> np.ndarray:
        """What the last call computed: float32 [N, 7]."""
        self._output.download(self._count, self._stream)
        self._stream.synchronize()
        return self._output.host.copy()


def _set_shape(context: Any, count: int, buffer: Buffer) -> None:
    if not context.set_input_shape(INPUT, (count, *buffer.host.shape[1:])):
        raise EdgeferError(f"TensorRT refuses {count} images at once.", "export with another --batch.")


def open_with(module: str, artifact: Artifact, provider: str | None, threads: int | None) -> TensorRTEngine:
    """Open an artifact of either target.

    Raises:
        UsageError: a provider or a number of CPU threads was asked for, which mean nothing here.
        UnavailableError: no GPU, or the engine was built for something else.
        ArtifactError: TensorRT refuses the file.
    """
    if provider is not None:
        raise UsageError(f"a TensorRT engine has no provider {provider}: it runs on the GPU.", "leave provider out.")
    del threads  # of the CPU: the runtime asks every engine for them, and a GPU uses none
    return TensorRTEngine(artifact, module)
