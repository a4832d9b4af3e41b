"""The stand-in refuses what the real bindings would refuse, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.export import tensorrt_double

ROOT = Path(__file__).parent.parent.parent

CHECKS = """
import sys, pathlib
from tests.export import tensorrt_double as double
trt, world = double.module(pathlib.Path(sys.argv[1]), {"OnnxParser.num_errors": 3})
logger = trt.Logger()
builder = trt.Builder(logger)
network = builder.create_network(flags=0)
config = builder.create_builder_config()
config.set_flag(trt.BuilderFlag.TF32)
config.builder_optimization_level = 3
parser = trt.OnnxParser(network, logger)
assert parser.parse(b"") is True and parser.num_errors == 3
assert world.named("IBuilderConfig.set_flag") == [(trt.BuilderFlag.TF32,)]
refused = [
    lambda: trt.Bilder,
    lambda: trt.BuilderFlag.WINOGRAD,
    lambda: builder.make_network(),
    lambda: builder.create_network(1, 2),
    lambda: builder.create_network(flag=0),
    lambda: config.set_flag(3),
    lambda: config.set_flag(),
    lambda: config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, "much"),
    lambda: setattr(config, "colour", 1),
    lambda: setattr(builder, "logger", logger),
    lambda: parser.parse("a path"),
]
for number, call in enumerate(refused):
    try:
        call()
    except (AttributeError, TypeError):
        continue
    raise SystemExit(f"refusal {number} did not happen")
print(trt.__version__, hasattr(trt.BuilderFlag, "FP16"))
"""


@pytest.mark.parametrize("version", tensorrt_double.VERSIONS)
def test_names_arguments_and_types_are_checked(version: str, tmp_path: Path) -> None:
    reason = tensorrt_double.why_not(version)
    if reason:
        pytest.skip(reason)
    folder = tensorrt_double.prepare(version, tmp_path / "bindings")
    done = subprocess.run(
        [sys.executable, "-c", CHECKS, str(folder)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found, has_fp16 = done.stdout.split()
    assert found == version
    assert has_fp16 == str(version.startswith("10."))  # strongly typed networks only, from 11 on
