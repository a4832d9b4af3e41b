"""NVIDIA's GPU through cuda-bindings: which one there is, and memory on it. No torch, no pycuda."""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from edgefer.errors import UnavailableError
from edgefer.optional import installed

PACKAGE = "cuda.bindings"
_NO_DEVICE, _OLD_DRIVER = 100, 35  # cudaErrorNoDevice, cudaErrorInsufficientDriver
_ELSEWHERE = "run it on a machine with an NVIDIA GPU."


@dataclass(frozen=True)
class Gpu:
    """The current device: its number, name, compute capability ("8.6"), multiprocessors, memory in bytes, driver."""

    index: int
    name: str
    capability: str
    multiprocessors: int
    memory: int
    driver: str


def bindings() -> Any:
    """The module `cuda.bindings.runtime`: every function returns its error first, then what it has to say."""
    return import_module(f"{PACKAGE}.runtime")


def check(result: tuple[Any, ...]) -> Any:
    """Return what a function of the bindings returned after its error code.

    Raises:
        UnavailableError: the error is not cudaSuccess.
    """
    error, *values = result
    if int(error):
        raise UnavailableError(
            f"the GPU reports {_name(error)}.", "see nvidia-smi: is its memory full, or has it failed?"
        )
    return values[0] if values else None


def gpu() -> Gpu:
    """Describe the current device.

    Raises:
        UnavailableError: there is none, no driver, or one too old for the installed cuda-bindings.
    """
    rt = bindings()
    driver, needed = check(rt.cudaDriverGetVersion()), check(rt.cudaRuntimeGetVersion())
    if not driver:
        raise UnavailableError("there is no NVIDIA driver on this machine.", _ELSEWHERE)
    error, count = rt.cudaGetDeviceCount()
    if int(error) == _OLD_DRIVER:
        raise UnavailableError(
            f"the NVIDIA driver is for CUDA {_version(driver)}, cuda-bindings for {_version(needed)}.",
            f'update the driver, or pip install "cuda-bindings<{driver // 1000 + 1}"',
        )
    if int(error) == _NO_DEVICE or (not int(error) and not count):
        raise UnavailableError("there is no NVIDIA GPU on this machine.", _ELSEWHERE)
    check((error, count))
    index = check(rt.cudaGetDevice())
    found = check(rt.cudaGetDeviceProperties(index))
    name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
    return Gpu(
        index,
        name.rstrip("\0"),
        f"{found.major}.{found.minor}",
        int(found.multiProcessorCount),
        int(found.totalGlobalMem),
        _version(driver),
    )


def find_gpu() -> Gpu | None:
    """The current device, or None where there is none or cuda-bindings is not installed."""
    if not installed(PACKAGE):
        return None
    try:
        return gpu()
    except UnavailableError:
        return None


class DeviceMemory:
    """Memory on the device: `address`, freed with the object."""

    def __init__(self, size: int) -> None:
        rt = bindings()
        self.address = int(check(rt.cudaMalloc(size)))
        weakref.finalize(self, _release, rt.cudaFree, self.address)


class HostMemory:
    """Page-locked memory of the host, which copies need to run beside other work: `array` is uint8 [size]."""

    def __init__(self, size: int) -> None:
        rt = bindings()
        self.address = int(check(rt.cudaHostAlloc(size, 0)))
        weakref.finalize(self, _release, rt.cudaFreeHost, self.address)
        self.array: np.ndarray = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.address))


class Stream:
    """A queue of work on the device that does not wait for the default one."""

    def __init__(self) -> None:
        rt = bindings()
        self.handle = check(rt.cudaStreamCreateWithFlags(rt.cudaStreamNonBlocking))
        weakref.finalize(self, _release, rt.cudaStreamDestroy, self.handle)

    def __int__(self) -> int:
        return int(self.handle)

    def upload(self, to: DeviceMemory, source: HostMemory, size: int) -> None:
        """Queue a copy of `size` bytes to the device."""
        rt = bindings()
        kind = rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        check(rt.cudaMemcpyAsync(to.address, source.address, size, kind, self.handle))

    def download(self, to: HostMemory, source: DeviceMemory, size: int) -> None:
        """Queue a copy of `size` bytes from the device."""
        rt = bindings()
        kind = rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        check(rt.cudaMemcpyAsync(to.address, source.address, size, kind, self.handle))

    def record(self) -> Any:
        """Mark this moment of the queue; two marks tell `elapsed_ns`."""
        rt = bindings()
        event = check(rt.cudaEventCreate())
        check(rt.cudaEventRecord(event, self.handle))
        return event

    def elapsed_ns(self, begin: Any, end: Any) -> int:
        """Nanoseconds between two marks by the device's clock, once both have passed; frees them."""
        rt = bindings()
        milliseconds = check(rt.cudaEventElapsedTime(begin, end))
        for event in (begin, end):
            check(rt.cudaEventDestroy(event))
        return round(milliseconds * 1e6)

    def wait(self) -> None:
        """Wait until everything queued is done."""
        check(bindings().cudaStreamSynchronize(self.handle))


class Graph:
    """What was queued on a stream between `begin` and the end, to be launched as one."""

    def __init__(self, stream: Stream) -> None:
        rt = bindings()
        self._stream = stream
        recorded = check(rt.cudaStreamEndCapture(stream.handle))
        try:
            self._graph = check(rt.cudaGraphInstantiate(recorded, 0))
        finally:
            check(rt.cudaGraphDestroy(recorded))
        weakref.finalize(self, _release, rt.cudaGraphExecDestroy, self._graph)

    @staticmethod
    def begin(stream: Stream) -> None:
        """Record from here on instead of running."""
        rt = bindings()
        mode = rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(rt.cudaStreamBeginCapture(stream.handle, mode))

    def launch(self) -> None:
        """Queue everything that was recorded."""
        check(bindings().cudaGraphLaunch(self._graph, self._stream.handle))


def _release(free: Any, what: Any) -> None:
    """Free something whose owner is gone. An error has nobody to go to, and may mean that the driver left first."""
    free(what)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _name(error: Any) -> str:
    _, text = bindings().cudaGetErrorString(error)
    return text.decode() if isinstance(text, bytes) else str(text)
