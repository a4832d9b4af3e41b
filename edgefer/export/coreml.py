"""The `coreml` target: an ML Program in an .mlpackage, the same bytes from every process, built on Linux or macOS.

Without --batch the package takes one image: what Vision, Xcode's preview and a camera hand it. It is a classifier then,
with the outputs `probabilities` and `label`; Core ML itself runs many images through it (MLBatchProvider). With --batch
it takes an array of images and gives an array of probabilities, for Core ML's image inputs hold one image and its
classifiers one shape: coremltools converts a classifier with a flexible batch, and then no system loads it
(apple/coremltools issue 2764).

Convolutions stay convolutions here: the Neural Engine is made for them, and gathering patches would leave it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgefer.artifact import Manifest, embedded_manifest
from edgefer.embedded import METADATA_KEY, split_mlpackage
from edgefer.emotions import EMOTIONS
from edgefer.errors import EdgeferError, UsageError
from edgefer.export.graph import DeployedPlanes, stage_names
from edgefer.export.mlpackage import describe, name_stages, write_package, write_spec
from edgefer.export.targets import Built, Request
from edgefer.model.resemotenet import count_parameters
from edgefer.optional import import_quietly
from edgefer.parity.coreml_program import Program

PRECISIONS = ("fp32", "fp16")
MODEL = "model.mlpackage"
BLOCK = 32  # weights that share a scale in 4-bit compression: coremltools' default
# The first system that reads each kind of weights.
OLDEST = {"none": "iOS15", "int8": "iOS16", "int4": "iOS18"}
TARGETS = {"iOS15": "macOS12", "iOS16": "macOS13", "iOS17": "macOS14", "iOS18": "macOS15", "iOS26": "macOS26"}
_STORED = {"FLOAT32": "fp32", "FLOAT16": "fp16", "INT8": "int8", "INT4": "int4"}
# Remarks of the converter that ask nothing of anybody: versions it was not tested with (parity tests what comes out),
# parts of it that exist on macOS only, names that it changes and we set again.
_NOISE = re.compile(
    "has not been tested with coremltools|Failed to load _|is not supported. Minimum|has been renamed to"
)


def build(request: Request, folder: Path) -> Built:
    """Write `model.mlpackage` to `folder`.

    Raises:
        UsageError: the deployment target is older than what it is asked to hold.
        EdgeferError: the built file has another precision than the one asked for.
    """
    compress = request.options.get("compress", "none")
    target = request.options.get("deployment_target", OLDEST[compress])
    names = list(TARGETS)
    if names.index(target) < names.index(OLDEST[compress]):
        raise UsageError(
            f"{target} cannot read {compress} weights.", f"choose --deployment-target {OLDEST[compress]} or newer."
        )
    module = DeployedPlanes(request.checkpoint, request.preprocess, request.specialized, False, products=False).eval()
    with _without_noise() as remarks:
        model = _convert(module, request, target)
        if compress != "none":
            model = _compress(model, compress)
    spec = model.get_spec()
    name_stages(spec, stage_names(request.checkpoint))
    describe(spec, request)
    package = folder / MODEL
    write_package(package, spec, Path(model.weights_dir) / "weight.bin")
    precision, arithmetic = _read_back(package)
    if (precision, arithmetic) != (request.precision if compress == "none" else compress, request.precision):
        raise EdgeferError(
            f"the built file is {precision} and computes in {arithmetic}, which is not what was asked for.",
            f"layers narrower than {BLOCK} channels are not compressed to int4: try --compress int8.",
        )

    def seal(manifest: Manifest) -> None:
        spec.description.metadata.userDefined[METADATA_KEY] = embedded_manifest(manifest).decode()
        write_spec(package, spec)

    takes = "one image" if request.batch is None else f"batch {':'.join(map(str, request.batch))}"
    weights = precision if precision == arithmetic else f"{precision} weights, {arithmetic} arithmetic"
    return Built(
        model=MODEL,
        precision=precision,
        content_sha256=split_mlpackage(package)[0],
        summary=f"Core ML {target}, {weights}, {takes}",
        tools={name: version(name) for name in ("torch", "coremltools")},
        device={
            "deployment_target": f"{target}, {TARGETS[target]}",
            "compute_units": request.options.get("compute_units", "ALL"),
            "arithmetic": arithmetic,
        },
        seal=seal,
        parameters=count_parameters(module.network),
        warnings=tuple(remarks),
    )


@torch.no_grad()
def _convert(module: DeployedPlanes, request: Request, target: str) -> Any:
    """torch -> MIL with the stages under our names -> ML Program. Returns coremltools' MLModel, never loaded."""
    ct = import_quietly("coremltools")
    deployment = getattr(ct.target, target)
    size = request.preprocess.size
    batches = request.batch or (1,)
    example = torch.zeros((batches[len(batches) // 2], 3, size, size))
    shapes = ({0: torch.export.Dim("batch", min=batches[0], max=batches[-1])},) if len(set(batches)) > 1 else None
    program = torch.export.export(module, (example,), dynamic_shapes=shapes).run_decompositions({})
    inputs = [_input_type(ct, request.batch, example.shape)]
    mil = ct.convert(
        program,
        convert_to="milinternal",
        inputs=inputs,
        compute_precision=ct.precision.FLOAT32,
        minimum_deployment_target=deployment,
    )
    _keep_names(mil, ["softmax" if request.batch is None else "probabilities", *stage_names(request.checkpoint)])
    return ct.convert(
        mil,
        source="milinternal",
        convert_to="mlprogram",
        inputs=inputs,
        outputs=None if request.batch is None else [ct.TensorType("probabilities", dtype=np.float32)],
        classifier_config=ct.ClassifierConfig(list(EMOTIONS), "label") if request.batch is None else None,
        compute_precision=_precision(ct, request.precision),
        minimum_deployment_target=deployment,
        skip_model_load=True,  # on a Mac it would be compiled and loaded here, before it is complete
    )


def _input_type(ct: Any, batch: tuple[int, ...] | None, shape: torch.Size) -> Any:
    if batch is None:
        return ct.ImageType("image", shape=tuple(shape), color_layout=ct.colorlayout.RGB)
    if len(set(batch)) == 1:
        return ct.TensorType("image", shape=tuple(shape), dtype=np.float32)
    # Enumerated, not a range: Core ML prepares each shape, and a range keeps it from the Neural Engine.
    each = [(n, *shape[1:]) for n in sorted(set(batch))]
    return ct.TensorType("image", shape=ct.EnumeratedShapes(each, default=tuple(shape)), dtype=np.float32)


def _precision(ct: Any, precision: str) -> Any:
    if precision == "fp32":
        return ct.precision.FLOAT32
    # Seven numbers cost nothing in float32, and then the probabilities sum to 1.
    return ct.transform.FP16ComputePrecision(op_selector=lambda operation: operation.op_type != "softmax")


def _keep_names(mil: Any, names: list[str]) -> None:
    """Name the program's outputs, then leave only the first an output: the stages stay named values inside."""
    main = mil.functions["main"]
    outputs = list(main.outputs)
    for output, name in zip(outputs, names, strict=True):
        output.name = output.op.name = name
    main.set_outputs(outputs[:1])
    main.set_output_types(None)


def _compress(model: Any, compress: str) -> Any:
    """Weights only, symmetric: int8 with a scale for each output channel, int4 with one for each block of 32."""
    cto = import_quietly("coremltools.optimize.coreml")
    if compress == "int8":
        config = cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", granularity="per_channel")
    else:
        config = cto.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=BLOCK
        )
    return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=config))


def _read_back(package: Path) -> tuple[str, str]:
    """The type of most stored weights, and the type that the program computes in, both from the files on disk."""
    program = Program(package)
    stored = {kind: count for kind, count in program.stored.items() if kind in _STORED}
    kinds = {step.outputs[0].kind for step in program.steps if step.kind == "conv"}
    arithmetic = _STORED.get(kinds.pop(), "unknown") if len(kinds) == 1 else "mixed"
    return _STORED[max(stored, key=stored.__getitem__)], arithmetic


@contextlib.contextmanager
def _without_noise() -> Iterator[list[str]]:
    """Keep progress bars and known remarks from the terminal; yield a list that holds the other warnings afterwards."""
    remarks: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: remarks.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("coremltools")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield remarks
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
    # Deprecations and unclosed resources are for the converter's authors.
    remarks += [str(w.message) for w in caught if issubclass(w.category, (UserWarning, RuntimeWarning))]
    remarks[:] = [" ".join(remark.split()) for remark in dict.fromkeys(remarks) if not _NOISE.search(remark)]
