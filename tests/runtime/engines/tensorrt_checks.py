"""Run in a process of its own, since TensorRT's bindings load once: the engine, on doubles of TensorRT and CUDA.

    python -m tests.runtime.engines.tensorrt_checks BINDINGS ARTIFACT ONNX_ARTIFACT

The stand-in for an execution context computes with ONNX Runtime what the "engine" file holds, at the addresses and with
the shape it was given: labels come out right only if every copy, address, size and order is.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import edgefer
from edgefer.artifact import open_artifact
from edgefer.errors import ArtifactError, ImageError
from edgefer.runtime.engines import Bindable, open_engine
from tests.export import tensorrt_double
from tests.runtime.engines import cuda_double


def main() -> None:
    bindings, place, plain = map(Path, sys.argv[1:])
    cuda = cuda_double.FakeCuda()
    cuda_double.install(cuda)
    session = onnxruntime.InferenceSession(str(plain / "model.onnx"))
    given: list[bytes] = []

    def deserialize(data: bytes) -> tensorrt_double.Double:
        given.append(data)
        return tensorrt_double.Double(world, world.real.ICudaEngine)

    def execute(stream: int) -> bool:
        assert stream == 77
        addresses = dict(world.named("IExecutionContext.set_tensor_address")[-2:])
        name, shape = world.named("IExecutionContext.set_input_shape")[-1]
        assert name == "image"

        def work() -> None:
            image = np.ctypeslib.as_array((ctypes.c_uint8 * int(np.prod(shape))).from_address(addresses["image"]))
            answer = session.run(["probabilities"], {"image": image.reshape(shape)})[0]
            ctypes.memmove(addresses["probabilities"], answer.tobytes(), answer.nbytes)

        cuda.do(work, "execute")
        return True

    tensors = ["probabilities", "image"]
    trt, world = tensorrt_double.module(
        bindings,
        {
            "Runtime.deserialize_cuda_engine": deserialize,
            "ICudaEngine.num_io_tensors": 2,
            "ICudaEngine.get_tensor_name": lambda index: tensors[index],
            "ICudaEngine.get_tensor_dtype": lambda name: (
                world.real.DataType.UINT8 if name == "image" else world.real.DataType.FLOAT
            ),
            "ICudaEngine.get_tensor_mode": lambda name: (
                world.real.TensorIOMode.INPUT if name == "image" else world.real.TensorIOMode.OUTPUT
            ),
            "ICudaEngine.get_tensor_shape": lambda name: (first, 64, 64, 3) if name == "image" else (first, 7),
            "ICudaEngine.get_tensor_profile_shape": lambda name, index: [(size, 64, 64, 3) for size in batch],
            "EngineInspector.get_engine_information": lambda form: json.dumps(layers),
            "IExecutionContext.execute_async_v3": execute,
        },
    )
    sys.modules["tensorrt"] = trt
    batch = open_artifact(place).manifest.batch or ()
    first = batch[0] if len(batch) == 1 else -1
    layers = {"Layers": [{"Name": "conv", "Inputs": [{"Format/Datatype": "Row major linear FP32"}], "Outputs": []}]}
    fer = edgefer.load(place)
    assert given == [(place / "model.engine").read_bytes()]
    faces = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    answers = [fer.probabilities(faces) for _ in range(3)]
    assert all(np.array_equal(answers[0], answer) for answer in answers)
    if len(batch) == 1:
        assert cuda.log.count("graph") > 0, "a fixed batch is captured"
    else:
        assert "graph" not in cuda.log
        with pytest.raises(ImageError, match="a batch of 5 is not for this engine"):
            fer.engine(np.zeros((batch[-1] + 1, 64, 64, 3), np.uint8))
    assert isinstance(fer.engine, Bindable)
    bound = fer.engine.bound(faces[: batch[-1]])
    assert bound() == 1_500_000
    timed = bound.probabilities()
    del bound
    layers["Layers"][0]["Outputs"] = [{"Format/Datatype": "Int8"}]
    with pytest.raises(ArtifactError, match="is called fp32, but 1 of its tensors are int8"):
        open_engine(open_artifact(place))
    tensors[0] = "logits"
    with pytest.raises(ArtifactError) as refusal:
        open_engine(open_artifact(place))
    print(
        json.dumps(
            {
                "name": fer.engine.name,
                "probabilities": answers[0].tolist(),
                "timed": timed.tolist(),
                "refusal": str(refusal.value),
            }
        )
    )


if __name__ == "__main__":
    main()
