"""From a request to an engine: graph, network, configuration, build, and what was found in the result."""

from __future__ import annotations

import hashlib
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from edgefer.errors import EdgeferError, UnavailableError
from edgefer.export.targets import Built, Request
from edgefer.export.trt import timing
from edgefer.export.trt.graph import make_graph
from edgefer.export.trt.monitor import make_monitor
from edgefer.export.trt.network import make_network, network_types
from edgefer.export.trt.settings import Settings, known_capabilities, read_settings
from edgefer.runtime import cuda
from edgefer.runtime.cuda import Gpu
from edgefer.runtime.engines.trt.checks import read_header, this_platform
from edgefer.runtime.engines.trt.flavor import RTX, TENSORRT, Flavor, load_module, make_log, parse_version
from edgefer.runtime.engines.trt.inspect import contradiction, engine_types, product_types

PRECISIONS = ("fp32", "fp16", "int8")
MODEL = "model.engine"
_REPORT = "report this with the checkpoint."


def build(flavor: Flavor, request: Request, folder: Path) -> Built:
    """Write `model.engine` to `folder`.

    Raises:
        UsageError: an option that cannot be.
        UnavailableError: the module or (for TensorRT) the GPU is not there.
        EdgeferError: TensorRT refuses graph or build, or what came out is not of the precision asked for.
    """
    trt = load_module(flavor)
    gpu = cuda.gpu() if flavor is TENSORRT else cuda.find_gpu()
    settings = read_settings(flavor, trt, request, gpu)
    graph, made_with = make_graph(request, settings.batch, settings.calibration)
    payload = graph.SerializeToString(deterministic=True)
    engine, layers = compile_engine(trt, flavor, payload, request, settings, gpu)
    (folder / MODEL).write_bytes(engine)
    device = _device(settings, gpu)
    batch = ":".join(map(str, settings.batch))
    return Built(
        model=MODEL,
        precision=request.precision,
        content_sha256=hashlib.sha256(payload).hexdigest(),
        summary=f"{flavor.title} {trt.__version__}, {request.precision}, batch {batch}, {device['compute_capability']}",
        tools={
            flavor.module: trt.__version__,
            **{name: version_of(name) for name in ("torch", "onnx", "onnxscript", "onnxsim")},
            **made_with,
        },
        device=device,
        batch=settings.batch,
        layers=layers,
    )


def compile_engine(
    trt: Any, flavor: Flavor, payload: bytes, request: Request, settings: Settings, gpu: Gpu | None
) -> tuple[bytes, dict[str, Any]]:
    """Build an engine from an ONNX file's bytes: the engine, and the number types found in network and engine.

    Raises:
        EdgeferError: as for `build`.
    """
    log = make_log(trt)
    builder = trt.Builder(log)
    network, _parser = make_network(trt, flavor, builder, log, payload)
    layers: dict[str, Any] = {"network": network_types(network)}
    _check_precision(request.precision, product_types(layers["network"]))
    config = configure(trt, builder, network, settings)
    path = None
    if flavor is TENSORRT and gpu is not None:
        path = settings.timing_cache or timing.default_path(flavor.module, trt.__version__, gpu)
        _cache = timing.attach(config, path)
    monitor = make_monitor(trt, request.progress) if request.progress else None
    if monitor is not None:
        config.progress_monitor = monitor
    log.messages.clear()  # without a GPU, creating a builder reports that there is none
    host = builder.build_serialized_network(network, config)
    if monitor is not None and monitor.interrupted:
        raise monitor.interrupted
    if host is None:
        raise EdgeferError(
            f"{flavor.title} {trt.__version__} could not build the engine: {log.cause}.", _hint(log.cause)
        )
    if path is not None:
        timing.save(config, path)
    engine = bytes(host)
    _check_header(trt, flavor, engine)
    if gpu is not None and (not settings.capabilities or gpu.capability in settings.capabilities):
        layers["engine"] = _inspect(trt, flavor, log, engine, request.precision, settings.version_compatible)
    return engine, layers


def configure(trt: Any, builder: Any, network: Any, settings: Settings) -> Any:
    """Make the builder configuration.

    Raises:
        EdgeferError: TensorRT refuses a setting.
    """
    config = builder.create_builder_config()
    # On by default. fp32 is then computed with 10 bits of mantissa, which no parity bound of ours allows.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # or the engine could not be asked for its types
    if settings.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace)
    if settings.level is not None:
        config.builder_optimization_level = settings.level
    if settings.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if settings.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if hasattr(trt, "ComputeCapability"):
        _set_capabilities(trt, config, settings.capabilities)
    image = network.get_input(0)
    shape = tuple(image.shape)
    if shape[0] == -1:
        profile = builder.create_optimization_profile()
        profile.set_shape(image.name, *((size, *shape[1:]) for size in settings.batch))
        if config.add_optimization_profile(profile) < 0:
            raise EdgeferError(f"TensorRT refuses the batch sizes {settings.batch}.", "pass --batch min:opt:max.")
    return config


def _set_capabilities(trt: Any, config: Any, capabilities: tuple[str, ...]) -> None:
    known = known_capabilities(trt)
    wanted = [known[name] for name in capabilities] or [trt.ComputeCapability.CURRENT]
    config.num_compute_capabilities = len(wanted)
    for index, capability in enumerate(wanted):
        if not config.set_compute_capability(capability, index):
            raise EdgeferError(f"TensorRT-RTX refuses {capability.name}.", "choose others with --compute-capability.")


def _check_precision(wanted: str, products: set[str]) -> None:
    if products != {wanted}:
        found = " and ".join(sorted(products)) or "no number type that we know"
        raise EdgeferError(f"the network's products compute in {found}, not in {wanted}.", _REPORT)


def _check_header(trt: Any, flavor: Flavor, engine: bytes) -> None:
    """The loading checks rely on the header; a form that says something else must not get that far."""
    header = read_header(engine)
    if header and (header.flavor is not flavor or header.version[:3] != parse_version(trt.__version__)[:3]):
        raise EdgeferError(f"the engine's header names {header}, not {flavor.title} {trt.__version__}.", _REPORT)


def _inspect(
    trt: Any, flavor: Flavor, log: Any, data: bytes, precision: str, version_compatible: bool
) -> dict[str, int]:
    """Load the engine where it was built, and refuse it if it does not compute in what was asked for."""
    log.messages.clear()
    runtime = trt.Runtime(log)
    if version_compatible:
        runtime.engine_host_code_allowed = True  # the lean runtime in it is code, which we have just built
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise UnavailableError(
            f"{flavor.title} built the engine and cannot load it on this GPU: {log.cause}.",
            "build for another GPU with --compute-capability, if it is to run elsewhere."
            if flavor is RTX
            else "see whether the GPU has memory left.",
        )
    types = engine_types(trt, engine)
    wrong = contradiction(precision, types)
    if wrong:
        raise EdgeferError(f"the engine is not {precision}: {wrong}.", _REPORT)
    return types


def _device(settings: Settings, gpu: Gpu | None) -> dict[str, Any]:
    """What the manifest says about where the engine runs; `checks.check_machine` reads it."""
    if settings.capabilities:
        return {"compute_capability": ",".join(settings.capabilities)}
    assert gpu is not None
    found: dict[str, Any] = {
        "compute_capability": gpu.capability,
        "gpu": gpu.name,
        "multiprocessors": gpu.multiprocessors,
        "platform": this_platform(),
        "driver": gpu.driver,
    }
    for name in ("version_compatible", "hardware_compatible"):
        if getattr(settings, name):
            found[name] = True
    return found


def _hint(cause: str) -> str:
    if "memory" in cause.lower():
        return "raise --workspace, or leave it out; free memory on the GPU."
    return "see whether another --precision or GPU builds, and report this with the checkpoint."
