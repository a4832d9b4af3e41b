"""Runs an engine: check, deserialise, allocate once, then copy in, execute, copy out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from edgefer.artifact import Artifact
from edgefer.emotions import EMOTIONS
from edgefer.errors import ArtifactError, ImageError, UnavailableError, UsageError
from edgefer.runtime import cuda
from edgefer.runtime.engines.trt.checks import check_file, check_machine, rebuild
from edgefer.runtime.engines.trt.flavor import Flavor, load_module, make_log
from edgefer.runtime.engines.trt.inspect import contradiction, engine_types

INPUT, OUTPUT = "image", "probabilities"


class TensorRTEngine:
    """A deserialised engine with its buffers. Calls from several threads take turns.

    With a fixed batch the copies and kernels are recorded once as a CUDA graph and launched as one.

    Raises:
        UsageError: a provider or a number of threads was given, which an engine does not have.
        ArtifactError: the engine is damaged, or is not what its manifest says.
        UnavailableError: it was built for another version, platform or GPU, or there is none; `hint` has the command
            that rebuilds it.
    """

    def __init__(self, flavor: Flavor, artifact: Artifact, provider: str | None, threads: int | None) -> None:
        if provider not in (None, "cuda"):
            raise UsageError(f"a {flavor.target} artifact runs on the GPU it was built for.", "leave out the provider.")
        if threads is not None:
            raise UsageError(f"a {flavor.target} artifact uses no CPU threads.", "leave their number out.")
        data = artifact.model.read_bytes()
        check_file(flavor, artifact, data)
        trt, gpu = load_module(flavor), cuda.gpu()
        check_machine(flavor, artifact, trt.__version__, gpu)
        self.name = f"{flavor.target} {trt.__version__}, {gpu.name}"
        self._flavor, self._artifact, self._trt = flavor, artifact, trt
        self._device = gpu.index
        self._lock = threading.Lock()
        self._log = make_log(trt)
        self._runtime = trt.Runtime(self._log)
        self._engine = self._deserialize(data)
        self._check_engine()
        self._context = self._start()
        self._allocate()
        self._graph = self._capture() if len(self._batch) == 1 else None
        self.name += ", CUDA graph" if self._graph else ""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 RGB [N, size, size, 3] -> probabilities float32 [N, 7]."""
        count = len(images)
        if not self._batch[0] <= count <= self._batch[-1]:
            wanted = " to ".join(str(n) for n in dict.fromkeys((self._batch[0], self._batch[-1])))
            raise ImageError(f"a batch of {count} is not for this engine.", f"pass {wanted} images at once.")
        with self._lock:
            cuda.check(cuda.bindings().cudaSetDevice(self._device))  # the current device is one of the thread
            given, found = images.nbytes, count * len(EMOTIONS) * 4
            self._host_in.array[:given] = images.reshape(-1)
            if self._graph:
                self._graph.launch()
            else:
                self._queue(count, given, found)
            self._stream.wait()
            probabilities = self._host_out.array[:found].view(np.float32).reshape(count, len(EMOTIONS))
            return probabilities.copy()

    def bound(self, images: np.ndarray) -> BoundEngine:
        """Put uint8 [N, size, size, 3] on the GPU and return what computes on it there (see `engines.Bound`)."""
        return BoundEngine(self._start(), self._must, images)

    def _start(self) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            raise UnavailableError(
                f"{self._flavor.title} cannot start {self._artifact.model}: {self._log.cause}.",
                "see whether the GPU has memory left.",
            )
        return context

    def _deserialize(self, data: bytes) -> Any:
        trt, hint = self._trt, rebuild(self._artifact)
        if self._artifact.manifest.device.get("version_compatible"):
            self._runtime.engine_host_code_allowed = True  # the lean runtime in it; its hash was checked
        if hasattr(self._runtime, "get_engine_validity"):  # TensorRT-RTX tells beforehand what would go wrong
            validity, reasons = self._runtime.get_engine_validity(data)
            if validity == trt.EngineValidity.INVALID:
                names = [n for n, v in trt.EngineInvalidityDiagnostics.__members__.items() if int(v) & int(reasons)]
                why = ", ".join(name.lower().replace("_", " ") for name in names) or self._log.cause
                raise UnavailableError(f"{self._flavor.title} cannot run {self._artifact.model} here: {why}.", hint)
        engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise ArtifactError(f"{self._flavor.title} refuses {self._artifact.model}: {self._log.cause}.", hint)
        return engine

    def _check_engine(self) -> None:
        """Compare the engine with its manifest: names, types and shapes of its ends, and what it computes in."""
        trt, engine, manifest = self._trt, self._engine, self._artifact.manifest
        self._batch = manifest.batch or ()
        first = self._batch[0] if len(self._batch) == 1 else -1
        size = manifest.preprocess.size
        wanted = {
            INPUT: (trt.TensorIOMode.INPUT, trt.DataType.UINT8, (first, size, size, 3)),
            OUTPUT: (trt.TensorIOMode.OUTPUT, trt.DataType.FLOAT, (first, len(EMOTIONS))),
        }
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        found = {
            name: (engine.get_tensor_mode(name), engine.get_tensor_dtype(name), tuple(engine.get_tensor_shape(name)))
            for name in names
        }
        fits = found == wanted and bool(self._batch)
        if fits and len(self._batch) == 3:
            profile = engine.get_tensor_profile_shape(INPUT, 0)
            fits = tuple(shape[0] for shape in profile) == self._batch
        if not fits:
            ends = ", ".join(f"{name} {dtype} {list(shape)}" for name, (_, dtype, shape) in found.items())
            raise ArtifactError(
                f"{self._artifact.model} is not the engine of its manifest: it has {ends}.", rebuild(self._artifact)
            )
        wrong = contradiction(manifest.precision, engine_types(trt, engine))
        if wrong:
            raise ArtifactError(
                f"{self._artifact.path} is called {manifest.precision}, but {wrong}.", rebuild(self._artifact)
            )

    def _allocate(self) -> None:
        most, size = self._batch[-1], self._artifact.manifest.preprocess.size
        given, found = most * size * size * 3, most * len(EMOTIONS) * 4
        self._stream = cuda.Stream()
        self._host_in, self._host_out = cuda.HostMemory(given), cuda.HostMemory(found)
        self._device_in, self._device_out = cuda.DeviceMemory(given), cuda.DeviceMemory(found)
        for name, memory in ((INPUT, self._device_in), (OUTPUT, self._device_out)):
            self._must(self._context.set_tensor_address(name, memory.address), f"the address of {name}")

    def _queue(self, count: int, given: int, found: int) -> None:
        size = self._artifact.manifest.preprocess.size
        self._stream.upload(self._device_in, self._host_in, given)
        self._must(self._context.set_input_shape(INPUT, (count, size, size, 3)), f"a batch of {count}")
        self._must(self._context.execute_async_v3(int(self._stream)), "the call")
        self._stream.download(self._host_out, self._device_out, found)

    def _capture(self) -> cuda.Graph | None:
        """Run once, since first calls allocate, then record; None where the engine says it cannot be recorded."""
        count = self._batch[0]
        given, found = len(self._host_in.array), len(self._host_out.array)
        self._host_in.array[:] = 0
        self._queue(count, given, found)
        self._stream.wait()
        capturable = getattr(self._context, "is_stream_capturable", None)
        if capturable is not None and not capturable(int(self._stream)):
            return None
        cuda.Graph.begin(self._stream)
        self._queue(count, given, found)
        return cuda.Graph(self._stream)

    def _must(self, accepted: bool, what: str) -> None:
        if not accepted:
            raise UnavailableError(f"{self._flavor.title} refuses {what}: {self._log.cause}.", rebuild(self._artifact))


class BoundEngine:
    """An execution context of its own, with its input in place: what `edgefer bench` times without the copies."""

    def __init__(self, context: Any, must: Callable[[bool, str], None], images: np.ndarray) -> None:
        self._context, self._must, self._count = context, must, len(images)
        self._stream = cuda.Stream()
        source = cuda.HostMemory(images.nbytes)
        self._input = cuda.DeviceMemory(images.nbytes)
        self._host = cuda.HostMemory(self._count * len(EMOTIONS) * 4)
        self._output = cuda.DeviceMemory(self._count * len(EMOTIONS) * 4)
        for name, memory in ((INPUT, self._input), (OUTPUT, self._output)):
            must(context.set_tensor_address(name, memory.address), f"the address of {name}")
        must(context.set_input_shape(INPUT, images.shape), f"a batch of {self._count}")
        source.array[:] = images.reshape(-1)
        self._stream.upload(self._input, source, images.nbytes)
        self._stream.wait()

    def __call__(self) -> int:
        """Compute once; nanoseconds by the GPU's clock."""
        begin = self._stream.record()
        self._must(self._context.execute_async_v3(int(self._stream)), "the call")
        end = self._stream.record()
        self._stream.wait()
        return self._stream.elapsed_ns(begin, end)

    def probabilities(self) -> np.ndarray:
        """What the last call computed: float32 [N, 7]."""
        self._stream.download(self._host, self._output, len(self._host.array))
        self._stream.wait()
        return self._host.array.view(np.float32).reshape(self._count, len(EMOTIONS)).copy()
