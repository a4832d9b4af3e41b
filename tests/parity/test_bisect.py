"""Bisecting what is not an ONNX export, or one with renamed tensors. Faults are located in test_compare."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgefer.artifact import Artifact
from edgefer.errors import UnavailableError
from edgefer.export.run import Options, export
from edgefer.imageset import ImageSet
from edgefer.model.checkpoint import Checkpoint
from edgefer.parity.bisect import bisect
from tests.parity.test_compare import reseal


def test_stages_in_order(tiny: Checkpoint, tiny_artifact: Artifact, probe: ImageSet) -> None:
    names = [stage.name for stage in bisect(tiny, tiny_artifact, probe)]
    assert names == [
        "input", "conv1", "conv2", "conv3", "se", "res_block1", "res_block2", "res_block3",
        "fc1", "fc2", "fc3", "fc4", "probabilities",
    ]  # fmt: skip


@pytest.mark.parametrize(("specialized", "batch"), [(False, None), (True, (4,))])
def test_every_kind_of_export(
    tiny: Checkpoint, probe: ImageSet, tmp_path: Path, specialized: bool, batch: tuple[int, ...] | None
) -> None:
    options = Options(specialized=specialized, batch=batch)
    artifact = export(tiny, tmp_path / "a", probe, options)
    stages = bisect(tiny, artifact, probe)
    assert max(stage.error for stage in stages) < 1e-5


def test_other_targets_are_told_apart(tiny: Checkpoint, tiny_artifact: Artifact, probe: ImageSet) -> None:
    other = Artifact(tiny_artifact.path, replace(tiny_artifact.manifest, target="abacus"))
    with pytest.raises(UnavailableError, match="abacus"):
        bisect(tiny, other, probe)


def test_a_lost_name(tiny: Checkpoint, tiny_artifact: Artifact, probe: ImageSet, tmp_path: Path) -> None:
    shutil.copytree(tiny_artifact.path, tmp_path / "copy")

    def rename(model: object) -> None:
        for node in model.graph.node:  # type: ignore[attr-defined]
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    if name == "conv2":
                        names[i] = "something"

    with pytest.raises(UnavailableError, match="conv2"):
        bisect(tiny, reseal(tmp_path / "copy", rename), probe)


def test_not_a_number_departs(tiny: Checkpoint, tiny_artifact: Artifact, probe: ImageSet, tmp_path: Path) -> None:
    from tests.parity.test_compare import edit

    shutil.copytree(tiny_artifact.path, tmp_path / "copy")
    artifact = reseal(tmp_path / "copy", lambda m: edit(m, "conv3.bias", lambda w: np.full_like(w, np.nan)))
    stages = {stage.name: stage for stage in bisect(tiny, artifact, probe)}
    assert not stages["conv2"].departs
    assert stages["conv3"].departs
    assert stages["conv3"].error == float("inf")
