"""All rewrites together against the plain network, in float64, at sizes on both sides of every threshold."""

from __future__ import annotations

import pytest
import torch

from edgefer.model.resemotenet import PRESETS, count_parameters, seeded
from edgefer.model.specialize import plain_stages, savings, specialize
from tests.conftest import TINY

SIZES = [32, 39, 40, 47, 48, 56, 63, 64, 71, 72, 80, 95, 96, 100, 128, 160, 224]


def images(size: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, size, size, dtype=torch.double, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_equals_the_plain_network(size: int) -> None:
    network = seeded(TINY, seed=2).double()
    x = images(size, 3)
    torch.testing.assert_close(specialize(network, size)(x), network(x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["quarter", "paper", "c2", "c3", "c4", "c5", "c6"])
@torch.no_grad()
def test_every_preset(name: str) -> None:
    network = seeded(name).double()
    x = images(64, 1)
    torch.testing.assert_close(specialize(network, 64)(x), network(x), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_every_stage_has_its_twin() -> None:
    network = seeded(TINY).double()
    x = images(64)
    special, plain = specialize(network, 64).stages(x), plain_stages(network, x)
    assert list(special) == list(plain)
    for name, expected in plain.items():
        found = special[name]
        if found.ndim == 3 and expected.ndim == 4:  # rows [N, positions, C]
            found = found.transpose(1, 2).reshape(expected.shape)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(plain["fc4"], network(x), rtol=0, atol=0)


def test_reference_keeps_36_million_parameters_at_64() -> None:
    with torch.device("meta"):
        network = seeded_on_meta()
        saved = savings(network, specialize(network, 64))
    assert saved.parameters_before == 80_238_599
    # 44.0 M dead taps: 5 of 9 of block 3's first convolution, 8 of 9 of its second; and the batch norms
    dead = 5 * 1024 * 2048 + 8 * 2048 * 2048
    assert saved.parameters_before - saved.parameters_after - dead < 30_000
    assert saved.parameters_after == 36_172_935
    assert "drop_dead_taps" in saved.applied["res_block3.conv1"]


def seeded_on_meta() -> torch.nn.Module:
    from edgefer.model.resemotenet import ResEmoteNet

    return ResEmoteNet("reference").eval().requires_grad_(False)


@torch.no_grad()
def test_dead_taps_never_reach_the_output() -> None:
    """Independent of the rewrite: scrambling exactly the taps it drops leaves the plain network's output untouched."""
    network = seeded("quarter")
    x = images(64).float()
    before = network(x)
    noise = torch.Generator().manual_seed(9)
    block = network.res_block3
    for row in range(3):
        for column in range(3):
            if row == 0 or column == 0:
                block.conv1.weight[:, :, row, column].normal_(generator=noise)
            if (row, column) != (1, 1):
                block.conv2.weight[:, :, row, column].normal_(generator=noise)
    assert torch.equal(network(x), before)


@pytest.mark.parametrize(("size", "dead"), [(39, True), (40, True), (71, True), (72, False), (128, False)])
def test_dead_taps_exist_below_72_pixels_only(size: int, dead: bool) -> None:
    applied = specialize(seeded(TINY), size).applied
    assert any("drop_dead_taps" in rewrites for rewrites in applied.values()) == dead


def test_the_checkpoints_network_is_left_alone() -> None:
    network = seeded(TINY)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    specialize(network, 64).half()
    for key, value in network.state_dict().items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("size", [0, 31, 225, 1000])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 to 224"):
        specialize(seeded(TINY), size)


def test_presets_never_grow() -> None:
    for name in PRESETS:
        if PRESETS[name].stages[-1] <= 512:
            network = seeded(name)
            assert count_parameters(specialize(network, 64)) < count_parameters(network)
