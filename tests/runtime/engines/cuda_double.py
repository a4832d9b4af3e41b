"""CUDA without a GPU: the calls of `cuda.bindings.runtime` that the engine makes, on host memory, in order.

What is captured into a graph does not run until the graph is launched; memory that was freed or never allocated cannot
be copied. Every answer is (status, *values), as from the real module.
"""

# ruff: noqa: N802, N815 (the names are CUDA's)

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any


class Status(int):
    name = "cudaSuccess"


class Failure(int):
    name = "cudaErrorInsufficientDriver"


OK = Status(0)


class FakeCuda(ModuleType):
    """The module. `devices` is how many GPUs there are; `log` names every call that did something."""

    cudaStreamNonBlocking = 1
    cudaHostAllocDefault = 0
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)

    def __init__(
        self, capability: tuple[int, int] = (8, 9), devices: int = 1, driver: int = 13000, failure: int = 100
    ) -> None:
        super().__init__("cuda.bindings.runtime")
        self.devices, self.capability, self.driver, self.failure = devices, capability, driver, failure
        self.memory: dict[int, tuple[Any, int]] = {}
        self.captured: list[Callable[[], None]] | None = None
        self.log: list[str] = []

    def do(self, work: Callable[[], None], name: str) -> None:
        """Run now, or keep for the graph that is being captured."""
        if self.captured is None:
            work()
        else:
            self.captured.append(work)
        self.log.append(name)

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        return (OK, self.devices) if self.devices else (Failure(self.failure), None)

    def cudaDriverGetVersion(self) -> tuple[Any, ...]:
        return OK, self.driver

    def cudaRuntimeGetVersion(self) -> tuple[Any, ...]:
        return OK, 13040

    def cudaGetErrorString(self, error: Any) -> tuple[Any, ...]:
        return OK, b"out of memory"

    def cudaSetDevice(self, device: int) -> tuple[Any, ...]:
        assert device == 0
        return (OK,)

    def cudaGetDevice(self) -> tuple[Any, ...]:
        return OK, 0

    def cudaGetDeviceProperties(self, device: int) -> tuple[Any, ...]:
        major, minor = self.capability
        return OK, SimpleNamespace(
            name=b"Fake RTX\0\0", major=major, minor=minor, multiProcessorCount=46, totalGlobalMem=8 << 30
        )

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        return OK, 77

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        return (OK,)

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        return (OK,)

    def cudaStreamBeginCapture(self, stream: int, mode: Any) -> tuple[Any, ...]:
        assert self.captured is None
        self.captured = []
        return (OK,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        graph, self.captured = self.captured, None
        return OK, graph

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Any, ...]:
        return OK, graph

    def cudaGraphDestroy(self, graph: Any) -> tuple[Any, ...]:
        return (OK,)

    cudaGraphExecDestroy = cudaGraphDestroy

    def cudaGraphLaunch(self, graph: Any, stream: int) -> tuple[Any, ...]:
        for work in graph:
            work()
        self.log.append("graph")
        return (OK,)

    def cudaEventCreate(self) -> tuple[Any, ...]:
        return OK, object()

    def cudaEventRecord(self, event: Any, stream: int) -> tuple[Any, ...]:
        return (OK,)

    def cudaEventElapsedTime(self, begin: Any, end: Any) -> tuple[Any, ...]:
        return OK, 1.5

    def cudaEventDestroy(self, event: Any) -> tuple[Any, ...]:
        return (OK,)

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        buffer = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(buffer)
        self.memory[address] = (buffer, size)
        return OK, address

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        return self.cudaMalloc(size)

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        del self.memory[address]
        return (OK,)

    cudaFreeHost = cudaFree

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: int, stream: int) -> tuple[Any, ...]:
        assert stream == 77
        for address in (to, source):
            assert size <= self.memory[address][1]
        self.do(lambda: ctypes.memmove(to, source, size) and None, "up" if kind == 1 else "down")
        return (OK,)


def install(cuda: FakeCuda) -> None:
    """Make `from cuda.bindings import runtime` give it."""
    for name in ("cuda", "cuda.bindings"):
        package = ModuleType(name)
        package.__path__ = []
        package.__spec__ = ModuleSpec(name, None, is_package=True)
        sys.modules[name] = package
    sys.modules["cuda.bindings.runtime"] = cuda
    sys.modules["cuda.bindings"].runtime = cuda  # type: ignore[attr-defined]
