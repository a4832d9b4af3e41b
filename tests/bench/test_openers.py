"""Our own candidates at every boundary: the answers are those of the runtime, and of the checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgefer.artifact import Artifact
from edgefer.bench import openers, ours, pytorch
from edgefer.bench.candidates import BOUNDARIES
from edgefer.bench.runner import measure
from edgefer.bench.runs import Plan
from edgefer.emotions import EMOTIONS
from edgefer.errors import ArtifactError, UnavailableError, UsageError
from edgefer.imageset import ImageSet
from edgefer.model.checkpoint import Checkpoint
from edgefer.parity.compare import reference_probabilities
from edgefer.preprocess import Preprocess
from edgefer.runtime.recognizer import load
from edgefer.weights import ARTIFACT


@pytest.fixture
def threads() -> Any:
    """Puts the number of torch's threads back."""
    before = torch.get_num_threads()
    yield None
    torch.set_num_threads(before)


def call(opened: Any, inputs: Any) -> Any:
    bound = opened.prepare(inputs) if hasattr(opened, "prepare") else inputs
    answer = opened(bound)
    return opened.collect(answer) if hasattr(opened, "collect") else answer


def test_an_artifact_at_every_boundary(tiny_artifact: Artifact, pool: ImageSet) -> None:
    faces, data = pool.faces(Preprocess()), [image for _, image in pool.images]
    expected = load(tiny_artifact.path).probabilities(faces)
    for boundary in BOUNDARIES:
        opened = openers.artifact(boundary, 1, len(data), str(tiny_artifact.path))
        found = call(opened, data if boundary == "end_to_end" else faces)
        assert np.abs(found - expected).max() < 1e-6, boundary
        assert opened.about()["precision"] == "fp32"
        assert "onnxruntime" in opened.about()["engine"]
    labels = [p.label for p in openers.artifact("end_to_end", 1, 1, str(tiny_artifact.path))(data)]
    assert labels == [EMOTIONS[best] for best in expected.argmax(1)]


def test_an_engine_that_cannot_be_bound_is_refused_at_compute(
    tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain:
        name = "a plain engine"

        def __call__(self, images: np.ndarray) -> np.ndarray:
            return np.zeros((len(images), 7), np.float32)

    monkeypatch.setattr(openers, "open_engine", lambda *arguments: Plain())
    with pytest.raises(UnavailableError, match="a plain engine cannot be timed without its copies"):
        openers.artifact("compute", 1, 1, str(tiny_artifact.path))
    assert openers.artifact("host", 1, 1, str(tiny_artifact.path))(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 7)


def test_a_batch_that_the_artifact_was_not_built_for(tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = replace(tiny_artifact, manifest=replace(tiny_artifact.manifest, batch=(1, 8, 32)))
    monkeypatch.setattr(openers, "open_artifact", lambda path: fixed)
    with pytest.raises(UsageError, match="batches of 1 to 32, not 64"):
        openers.artifact("compute", 1, 64, "x")
    assert openers.artifact("compute", 1, 32, "x")
    assert openers.artifact("host", 1, 64, "x")


def test_a_devices_own_clock_comes_through(tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bound:
        def __call__(self) -> int:
            return 4321

        def probabilities(self) -> np.ndarray:
            return np.full((1, 7), 1 / 7, np.float32)

    class Timed:
        name = "an engine with a clock"

        def __call__(self, images: np.ndarray) -> np.ndarray:
            raise AssertionError("compute must use what was bound")

        def bound(self, images: np.ndarray) -> Bound:
            return Bound()

    monkeypatch.setattr(openers, "open_engine", lambda *arguments: Timed())
    opened = openers.artifact("compute", 1, 1, str(tiny_artifact.path))
    assert call(opened, np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 7)
    assert opened.device_ns() == 4321


@pytest.mark.parametrize("form", ["eager", "folded"])
@pytest.mark.parametrize("boundary", list(BOUNDARIES))
@pytest.mark.usefixtures("threads")
def test_pytorch_answers_as_the_checkpoint(
    form: str, boundary: str, tiny: Checkpoint, tiny_file: Path, pool: ImageSet
) -> None:
    expected = reference_probabilities(tiny, ImageSet(pool.images, ""), tiny.preprocess)
    opened = pytorch.network(boundary, 1, 6, form=form, checkpoint=str(tiny_file))
    inputs = [data for _, data in pool.images] if boundary == "end_to_end" else pool.faces(tiny.preprocess)
    assert np.abs(call(opened, inputs) - expected).max() < 1e-6
    if boundary == "end_to_end":
        assert opened(inputs)[0] == [EMOTIONS[best] for best in expected.argmax(1)]
    assert "torch" in opened.about()["engine"]
    assert opened.device_memory() is None
    if boundary == "compute":
        assert opened.device_ns() is None  # the CPU has no clock of its own


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
def test_compiled(tiny: Checkpoint, tiny_file: Path, pool: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    expected = reference_probabilities(tiny, ImageSet(pool.images, ""), tiny.preprocess)
    opened = pytorch.network("host", 1, 6, form="compiled", checkpoint=str(tiny_file))
    assert np.abs(opened(pool.faces(tiny.preprocess)) - expected).max() < 1e-6


def test_no_compiler(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(UnavailableError, match="needs a C\\+\\+ compiler"):
        pytorch.build(tiny, "compiled")


@pytest.mark.usefixtures("threads")
def test_folding_leaves_no_batch_norm_and_not_the_checkpoint(tiny: Checkpoint) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.network.state_dict().items()}
    module = pytorch.build(tiny, "folded")
    kinds = {type(part).__name__ for part in module.modules()}
    assert "BatchNorm2d" not in kinds
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.network.state_dict().items())
    convolution = next(part for part in module.modules() if isinstance(part, torch.nn.Conv2d) and part.in_channels > 3)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)


def test_bad_forms_and_devices(tiny: Checkpoint, tiny_file: Path) -> None:
    with pytest.raises(UsageError, match="no form fast"):
        pytorch.build(tiny, "fast")
    if not torch.cuda.is_available():
        with pytest.raises(UnavailableError, match="no CUDA device"):
            pytorch.network("host", 1, 1, checkpoint=str(tiny_file), device="cuda")


def test_names_and_figures_of_candidates(tiny_artifact: Artifact, tiny_file: Path, tmp_path: Path) -> None:
    (found,) = ours.artifacts([tiny_artifact.path])
    assert found.name == "tiny, onnx fp32"
    assert found.bytes == tiny_artifact.model.stat().st_size
    assert found.preprocess == tiny_artifact.manifest.preprocess
    eager, folded, compiled = ours.checkpoint(tiny_file)
    assert [c.name for c in (eager, folded, compiled)] == list(pytorch.FORMS.values())
    assert eager.network == folded.network == compiled.network == found.network  # they must answer alike
    (shipped,) = ours.artifacts([None])
    assert shipped.name.startswith("shipped, onnx ")
    assert shipped.bytes == ARTIFACT.stat().st_size
    assert shipped.network != found.network
    with pytest.raises(UsageError, match="twice"):
        ours.artifacts([tiny_artifact.path, tiny_artifact.path])
    with pytest.raises(ArtifactError):
        ours.artifacts([tmp_path / "none"])


def test_folders_of_one_name(tiny_artifact: Artifact, tmp_path: Path) -> None:
    import shutil

    paths = [Path(shutil.copytree(tiny_artifact.path, tmp_path / below / "fer")) for below in "ab"]
    names = [candidate.name for candidate in ours.artifacts(paths)]
    assert names == [f"{path}, onnx fp32" for path in paths]


def test_side_by_side(tiny_artifact: Artifact, tiny_file: Path, plan: Plan, pool: ImageSet) -> None:
    """In processes of their own, with the check that they agree."""
    candidates = [*ours.checkpoint(tiny_file, forms=["eager"]), *ours.artifacts([tiny_artifact.path])]
    run = measure(candidates, plan, pool)
    first, other = run.measured
    assert np.abs(first.outputs - other.outputs).max() < 1e-5  # type: ignore[operator]
    peaks = [process.peak_bytes for process in other.processes]
    assert all(peak is None or peak > 5e7 for peak in peaks)
