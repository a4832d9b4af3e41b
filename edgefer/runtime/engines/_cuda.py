"""The few CUDA calls that a TensorRT engine needs, through NVIDIA's cuda-python, every returned status checked."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefer.errors import EdgeferError, UnavailableError

_HINT = "nvidia-smi shows whether the driver and the GPU are well."


def api() -> Any:
    """The module `cuda.bindings.runtime`. Imported late: it is there only with the TensorRT extras."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise UnavailableError(f"cuda-python does not start: {error}.", 'pip install "cuda-python>=12.6.1"') from error
    return runtime


def checked(result: tuple[Any, ...], what: str) -> Any:
    """Return the value of a CUDA call, which comes as (status, *values).

    Raises:
        EdgeferError: the status is not success; names the call and CUDA's error.
    """
    status, *values = result
    if int(status) != 0:
        raise EdgeferError(f"CUDA could not {what}: {getattr(status, 'name', status)}.", _HINT)
    return values[0] if len(values) == 1 else tuple(values)


@dataclass(frozen=True)
class Device:
    """The GPU in use: its name, and its compute capability as "8.9"."""

    name: str
    compute_capability: str


def device() -> Device:
    """The current GPU.

    Raises:
        UnavailableError: there is no NVIDIA GPU, or no driver for it.
    """
    cuda = api()
    status, *count = cuda.cudaGetDeviceCount()
    if int(status) != 0 or not count[0]:
        why = f" ({status.name})" if int(status) != 0 else ""
        raise UnavailableError(f"there is no NVIDIA GPU with a working driver on this machine{why}.", _HINT)
    number = checked(cuda.cudaGetDevice(), "name the current GPU")
    found = checked(cuda.cudaGetDeviceProperties(number), "describe the GPU")
    name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
    return Device(name.rstrip("\0"), f"{found.major}.{found.minor}")


class Stream:
    """A CUDA stream of its own."""

    def __init__(self) -> None:
        self._cuda = api()
        flags = self._cuda.cudaStreamNonBlocking
        self.handle = checked(self._cuda.cudaStreamCreateWithFlags(flags), "make a stream")

    def synchronize(self) -> None:
        """Wait until everything given to the stream is done."""
        checked(self._cuda.cudaStreamSynchronize(self.handle), "finish what was asked of it")

    def record(self) -> Any:
        """Mark this moment of the stream; two of these tell `elapsed_ns`."""
        event = checked(self._cuda.cudaEventCreate(), "make an event")
        checked(self._cuda.cudaEventRecord(event, self.handle), "record an event")
        return event

    def elapsed_ns(self, begin: Any, end: Any) -> int:
        """Nanoseconds between two events, by the GPU's clock; frees both."""
        milliseconds = checked(self._cuda.cudaEventElapsedTime(begin, end), "read its clock")
        for event in (begin, end):
            checked(self._cuda.cudaEventDestroy(event), "free an event")
        return round(milliseconds * 1e6)

    def capture(self, work: Any) -> Graph:
        """Record what `work()` gives to this stream as a graph, without running it."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        checked(self._cuda.cudaStreamBeginCapture(self.handle, mode), "begin a graph")
        try:
            work()
        finally:  # also when work fails: a stream left capturing is of no more use
            ended = self._cuda.cudaStreamEndCapture(self.handle)
        graph = checked(ended, "end a graph")
        return Graph(checked(self._cuda.cudaGraphInstantiate(graph, 0), "make a graph"), self)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._cuda.cudaStreamDestroy(self.handle)


class Graph:
    """Work that was captured once and is started with one call."""

    def __init__(self, handle: Any, stream: Stream) -> None:
        self._handle, self._stream, self._cuda = handle, stream, api()

    def launch(self) -> None:
        """Start it on the stream it was captured from."""
        checked(self._cuda.cudaGraphLaunch(self._handle, self._stream.handle), "start a graph")


class Buffer:
    """A tensor in two places: pinned on the host, as the numpy array `host`, and on the GPU at `address`."""

    def __init__(self, shape: tuple[int, ...], dtype: type) -> None:
        self._cuda = api()
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._pinned = checked(self._cuda.cudaHostAlloc(size, self._cuda.cudaHostAllocDefault), "pin host memory")
        self.address = int(checked(self._cuda.cudaMalloc(size), f"allocate {size:,} bytes"))
        raw: Any = (ctypes.c_uint8 * size).from_address(int(self._pinned))
        self.host: np.ndarray = np.frombuffer(raw, dtype).reshape(shape)

    def upload(self, count: int, stream: Stream) -> None:
        """Copy the first `count` rows to the GPU."""
        self._copy(self.address, int(self._pinned), count, "cudaMemcpyHostToDevice", stream)

    def download(self, count: int, stream: Stream) -> None:
        """Copy the first `count` rows to the host."""
        self._copy(int(self._pinned), self.address, count, "cudaMemcpyDeviceToHost", stream)

    def _copy(self, to: int, source: int, count: int, kind: str, stream: Stream) -> None:
        size = count * self.host[0].nbytes
        direction = getattr(self._cuda.cudaMemcpyKind, kind)
        checked(self._cuda.cudaMemcpyAsync(to, source, size, direction, stream.handle), f"copy {size:,} bytes")

    def __del__(self) -> None:
        if hasattr(self, "address"):
            self._cuda.cudaFree(self.address)
        if hasattr(self, "_pinned"):
            self._cuda.cudaFreeHost(self._pinned)
