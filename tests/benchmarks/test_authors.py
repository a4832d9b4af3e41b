from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from imagenet import normalised
from peers.authors import AuthorsNet, Probabilities
from PIL import Image

from edgefer.model.resemotenet import ResEmoteNet, count_parameters, seeded
from tests.conftest import TINY


def _authors() -> AuthorsNet:
    return AuthorsNet(stem=TINY.stem, stages=TINY.stages, head=TINY.head).eval()


@pytest.mark.parametrize("size", [32, 64, 100])
def test_computes_what_ours_computes_from_the_same_state_dict(size: int) -> None:
    ours, theirs = seeded(TINY, seed=3), _authors()
    theirs.load_state_dict(ours.state_dict())  # strict: the names are the released ones
    faces = torch.randn(5, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert (ours(faces).softmax(1) - theirs(faces).softmax(1)).abs().max() < 1e-6


def test_a_lost_shortcut_would_show() -> None:
    ours, theirs = seeded(TINY, seed=3), _authors()
    theirs.load_state_dict(ours.state_dict())
    torch.nn.init.zeros_(theirs.res_block2.shortcut[1].weight)
    faces = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert (ours(faces).softmax(1) - theirs(faces).softmax(1)).abs().max() > 1e-4


def test_has_the_released_number_of_parameters() -> None:
    with torch.device("meta"):
        assert count_parameters(AuthorsNet()) == count_parameters(ResEmoteNet("reference")) == 80_238_599


def test_probabilities_reads_a_state_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = seeded(TINY, seed=4)
    torch.save(ours.state_dict(), tmp_path / "weights.pth")
    small: Callable[[], AuthorsNet] = _authors
    monkeypatch.setattr("peers.authors.AuthorsNet", small)
    module = Probabilities(str(tmp_path / "weights.pth"))
    faces = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert not module.training
    torch.testing.assert_close(module(faces), ours(faces).softmax(1).detach(), rtol=0, atol=1e-6)


def test_preprocessing_is_pillows_and_torchvisions() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    found = normalised(faces)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    for face, one in zip(faces, found, strict=True):
        gray = np.asarray(Image.fromarray(face).convert("L").convert("RGB"), np.float64) / 255
        expected = (gray - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        np.testing.assert_allclose(one, expected.transpose(2, 0, 1), rtol=0, atol=1e-6)
