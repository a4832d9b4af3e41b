"""Run in a process of its own, since TensorRT's bindings load once: a whole export on doubles of TensorRT and CUDA.

    python -m tests.export.tensorrt_checks BINDINGS OUT PRECISION

What the builder hands to the parser is kept, and the double of the execution context computes it with ONNX Runtime: the
export proves itself only if graph, profile, addresses, shapes and order are right. Prints what was asked of TensorRT.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgefer.artifact import open_artifact
from edgefer.export.run import Options, export
from edgefer.imageset import ImageSet
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import seeded
from edgefer.samples import encoded
from tests.conftest import TINY
from tests.export import tensorrt_double
from tests.export.tensorrt_double import Double
from tests.runtime.engines import cuda_double

WORDS = {"fp32": "Float", "fp16": "Half", "int8": "Int8"}


class Machine:
    """What the doubles answer."""

    def __init__(self, bindings: Path, precision: str) -> None:
        self.precision, self.session = precision, None
        self.cuda = cuda_double.FakeCuda()
        cuda_double.install(self.cuda)
        self.caches: list[bytes] = []
        version = bytes(int(part) for part in bindings.name.split(".")[:3])
        self.plan = b"ftrt" + bytes(20) + version + bytes(37)
        answers = {
            "OnnxParser.parse": self.parse,
            "INetworkDefinition.num_layers": 1,
            "INetworkDefinition.get_layer": lambda index: self.layer(),
            "ILayer.num_inputs": 1,
            "ILayer.num_outputs": 1,
            "ITensor.name": "image",
            "ITensor.shape": (-1, 64, 64, 3),
            "IBuilderConfig.create_timing_cache": self.create_cache,
            "ITimingCache.serialize": b"measured",
            "Builder.build_serialized_network": self.plan,
            "ICudaEngine.num_io_tensors": 2,
            "ICudaEngine.get_tensor_name": lambda index: ("image", "probabilities")[index],
            "ICudaEngine.get_tensor_dtype": lambda name: (
                self.real.DataType.UINT8 if name == "image" else self.real.DataType.FLOAT
            ),
            "ICudaEngine.get_tensor_mode": lambda name: (
                self.real.TensorIOMode.INPUT if name == "image" else self.real.TensorIOMode.OUTPUT
            ),
            "ICudaEngine.get_tensor_shape": lambda name: (-1, 64, 64, 3) if name == "image" else (-1, 7),
            "ICudaEngine.get_tensor_profile_shape": lambda name, index: [(n, 64, 64, 3) for n in (1, 4, 16)],
            "EngineInspector.get_engine_information": lambda form: self.layers(),
            "IExecutionContext.execute_async_v3": self.execute,
        }
        self.trt, self.world = tensorrt_double.module(bindings, answers)
        self.real = self.world.real
        answers_of_type = {"fp32": "FLOAT", "fp16": "HALF", "int8": "FLOAT"}[precision]
        self.world.answers["ILayer.type"] = self.real.LayerType.CONVOLUTION
        self.world.answers["ITensor.dtype"] = getattr(self.real.DataType, answers_of_type)
        sys.modules["tensorrt"] = self.trt

    def parse(self, payload: bytes) -> bool:
        self.session = onnxruntime.InferenceSession(payload)
        return True

    def layer(self) -> Double:
        return Double(self.world, self.real.ILayer)

    def layers(self) -> str:
        word = WORDS[self.precision]
        return json.dumps({"Layers": [{"Name": "x", "Inputs": [{"Format/Datatype": word}], "Outputs": []}]})

    def create_cache(self, content: bytes) -> Double:
        self.caches.append(content)
        return Double(self.world, self.real.ITimingCache)

    def execute(self, stream: int) -> bool:
        addresses = dict(self.world.named("IExecutionContext.set_tensor_address")[-2:])
        _, shape = self.world.named("IExecutionContext.set_input_shape")[-1]
        image = np.ctypeslib.as_array((ctypes.c_uint8 * int(np.prod(shape))).from_address(addresses["image"]))
        assert self.session is not None
        answer = self.session.run(["probabilities"], {"image": image.reshape(shape)})[0]
        ctypes.memmove(addresses["probabilities"], answer.tobytes(), answer.nbytes)
        return True


def main() -> None:
    bindings, out, precision = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    os.environ["EDGEFER_CACHE"] = str(out.parent / "cache")
    machine = Machine(bindings, precision)
    options: dict[str, Any] = {"workspace": 64, "optimization_level": 4}
    options |= {"version_compatible": True, "hardware_compatible": True}
    wanted = Options("tensorrt", precision, batch=(1, 4, 16), target_options=options, require_run=True)
    checkpoint, probe = Checkpoint(seeded(TINY, seed=1)), ImageSet(encoded(20), "20 faces")
    said: list[str] = []
    progress: list[tuple[int, int]] = []
    for _ in range(2):  # the second build finds what the first measured
        export(checkpoint, out, probe, wanted, lambda step, text: said.append(text), lambda *n: progress.append(n))
    named, manifest = machine.world.named, open_artifact(out).manifest
    print(
        json.dumps(
            {
                "version": machine.real.__version__,
                "said": said[:4],
                "flags": named("Builder.create_network"),
                "cleared": [flag.name for (flag,) in named("IBuilderConfig.clear_flag")],
                "set": [flag.name for (flag,) in named("IBuilderConfig.set_flag")],
                "pool": [(pool.name, size) for pool, size in named("IBuilderConfig.set_memory_pool_limit")],
                "level": named("IBuilderConfig.builder_optimization_level"),
                "hardware": [value.name for (value,) in named("IBuilderConfig.hardware_compatibility_level")],
                "verbosity": [value.name for (value,) in named("IBuilderConfig.profiling_verbosity")],
                "monitors": len(named("IBuilderConfig.progress_monitor")),
                "profile": named("IOptimizationProfile.set_shape"),
                "host_code": named("Runtime.engine_host_code_allowed"),
                "caches": [content.decode() for content in machine.caches],
                "cache_files": [path.name for path in (out.parent / "cache" / "timing").iterdir()],
                "manifest": manifest.to_dict(),
            }
        )
    )


if __name__ == "__main__":
    main()
