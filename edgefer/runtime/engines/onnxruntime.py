"""ONNX Runtime: runs the `onnx` target on the CPU, and through its other providers where they are installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from edgefer.artifact import Artifact
from edgefer.emotions import EMOTIONS
from edgefer.errors import ArtifactError, UnavailableError

# Names as users write them -> ONNX Runtime's. What is not listed can be given by its full name.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "dml": "DmlExecutionProvider",
}

_ON_CUDA = ("CUDAExecutionProvider", "TensorrtExecutionProvider")


class OnnxRuntimeEngine:
    """One session. `InferenceSession.run` may be called from several threads at once."""

    def __init__(self, artifact: Artifact, provider: str | None, threads: int | None) -> None:
        wanted = PROVIDERS.get((provider or "cpu").lower(), provider or "cpu")
        available = onnxruntime.get_available_providers()
        if wanted not in available:
            raise UnavailableError(
                f"ONNX Runtime has no provider {provider} on this machine; it has {', '.join(available)}.",
                'for cuda and tensorrt: pip install "edgefer[gpu]" instead of "edgefer[cpu]".',
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # warnings about its own optimisations are of no use to an app
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(artifact.model), options, providers=_with_options(wanted, available)
            )
        except Exception as error:  # its exception classes are private and differ between versions
            raise ArtifactError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load {artifact.model}: {error}",
                "upgrade ONNX Runtime, or export again.",
            ) from error
        used = self._session.get_providers()
        if used[0] != wanted:  # it falls back silently when a provider's libraries do not load
            raise UnavailableError(
                f"ONNX Runtime could not start {wanted} and fell back to {used[0]}.",
                "install the provider's own libraries (CUDA, cuDNN, TensorRT), or choose another provider.",
            )
        self.name = f"onnxruntime {onnxruntime.__version__}, {used[0]}"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, size, size, 3] -> float32 [N, 7]."""
        probabilities: np.ndarray = self._session.run(["probabilities"], {"image": images})[0]
        return probabilities

    def bound(self, images: np.ndarray) -> OnnxRuntimeBound:
        """Put uint8 [N, size, size, 3] where the session computes; outputs get a place there too."""
        return OnnxRuntimeBound(self._session, images)


class OnnxRuntimeBound:
    """A session with its input and output bound to memory of the device it runs on."""

    def __init__(self, session: onnxruntime.InferenceSession, images: np.ndarray) -> None:
        self._session = session
        device = "cuda" if session.get_providers()[0] in _ON_CUDA else "cpu"
        self._binding = session.io_binding()
        # The binding does not keep what it is bound to alive.
        self._input = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(images), device, 0)
        shape = [len(images), len(EMOTIONS)]
        self._output = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device, 0)
        self._binding.bind_ortvalue_input("image", self._input)
        self._binding.bind_ortvalue_output("probabilities", self._output)

    def __call__(self) -> None:
        """Compute; returns when the device has finished."""
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def probabilities(self) -> np.ndarray:
        """Copy the output: float32 [N, 7]."""
        values: np.ndarray = self._output.numpy()
        return values


def _with_options(wanted: str, available: list[str]) -> list[Any]:
    """The provider with its options, and the one that takes what TensorRT leaves.

    CUDA computes fp32 products with 10 bits of mantissa (TF32) unless told not to, which no parity bound allows.
    """
    cuda: Any = ("CUDAExecutionProvider", {"use_tf32": "0"})
    if wanted == "TensorrtExecutionProvider":
        return [wanted, cuda] if cuda[0] in available else [wanted]
    return [cuda if wanted == cuda[0] else wanted]


def open_engine(artifact: Artifact, provider: str | None, threads: int | None) -> OnnxRuntimeEngine:
    """Open an `onnx` artifact.

    Raises:
        UnavailableError: ONNX Runtime or the provider is not there.
        ArtifactError: ONNX Runtime refuses the file.
    """
    return OnnxRuntimeEngine(artifact, provider, threads)
