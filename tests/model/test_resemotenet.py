"""The architecture against the paper's and the authors' figures, and against an independent functional forward."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edgefer.model.resemotenet import PRESETS, Architecture, ResEmoteNet, count_parameters, preset_name, seeded

COUNTS = {  # closed form below; reference is the published figure
    "reference": 80_238_599,
    "paper": 20_681_223,
    "half": 20_069_383,
    "quarter": 5_022_215,
    "c1": 80_238_599,
    "c2": 80_230_407,
    "c3": 20_451_335,
    "c4": 5_237_767,
    "c5": 1_300_999,
    "c6": 1_292_807,
}


def closed_form(a: Architecture) -> int:
    """Parameters by hand: convolutions with bias, two per batch norm channel, bias-free squeeze-and-excitation."""
    total, width = 0, a.in_channels
    for out in a.stem:
        total += width * out * 9 + out + 2 * out
        width = out
    total += 2 * width * (width // 16) if a.se else 0
    for out in a.stages:
        if out:
            total += width * out * 9 + out + 2 * out
            total += out * out * 9 + out + 2 * out
            total += width * out + out + 2 * out
            width = out
    for out in (*a.head, a.classes):
        total += width * out + out
        width = out
    return total


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_parameter_counts(name: str) -> None:
    with torch.device("meta"):
        network = ResEmoteNet(name)
    assert count_parameters(network) == COUNTS[name] == closed_form(PRESETS[name])


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_recognised_and_survive_json(name: str) -> None:
    preset = PRESETS[name]
    assert preset_name(preset) == ("reference" if name == "c1" else name)
    assert Architecture.from_dict(preset.to_dict()) == preset


def test_unknown_widths_have_no_preset_name() -> None:
    assert preset_name(Architecture(stem=(8, 16, 16))) is None


def test_state_dict_names_are_the_authors() -> None:
    with torch.device("meta"):
        names = set(ResEmoteNet("reference").state_dict())
    for expected in (
        "conv1.weight", "bn3.running_var", "se.fc.0.weight", "se.fc.2.weight", "res_block1.conv1.bias",
        "res_block3.shortcut.0.weight", "res_block3.shortcut.1.num_batches_tracked", "fc4.bias",
    ):  # fmt: skip
        assert expected in names
    assert "se.fc.0.bias" not in names


def functional(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The reference network written a second time, from the paper's description, with functions only."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        s = state
        return F.batch_norm(
            x, s[f"{name}.running_mean"], s[f"{name}.running_var"], s[f"{name}.weight"], s[f"{name}.bias"]
        )

    def conv(x: torch.Tensor, name: str, stride: int, padding: int) -> torch.Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding)

    for i in (1, 2, 3):
        x = F.max_pool2d(F.relu(norm(conv(x, f"conv{i}", 1, 1), f"bn{i}")), 2)
    squeezed = F.adaptive_avg_pool2d(x, 1).flatten(1)
    excited = F.relu(squeezed @ state["se.fc.0.weight"].T) @ state["se.fc.2.weight"].T
    x = x * torch.sigmoid(excited).reshape(*excited.shape, 1, 1)
    for i in (1, 2, 3):
        b = f"res_block{i}"
        h = F.relu(norm(conv(x, f"{b}.conv1", 2, 1), f"{b}.bn1"))
        h = norm(conv(h, f"{b}.conv2", 1, 1), f"{b}.bn2")
        x = F.relu(h + norm(conv(x, f"{b}.shortcut.0", 2, 0), f"{b}.shortcut.1"))
    x = F.adaptive_avg_pool2d(x, 1).flatten(1)
    for i in (1, 2, 3):
        x = F.relu(x @ state[f"fc{i}.weight"].T + state[f"fc{i}.bias"])
    return x @ state["fc4.weight"].T + state["fc4.bias"]


@pytest.mark.parametrize("size", [48, 64, 96])
@torch.no_grad()
def test_forward_equals_a_second_writing(size: int) -> None:
    network = seeded("quarter").double()
    x = torch.randn(2, 3, size, size, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(x), functional(network.state_dict(), x), rtol=1e-10, atol=1e-10)


def test_seeded_depends_on_the_seed_alone() -> None:
    torch.manual_seed(123)
    one = seeded(Architecture(stem=(8, 16, 16), stages=(16, 24, 32), head=(24, 16, 16)), seed=4).state_dict()
    torch.manual_seed(456)
    two = seeded(Architecture(stem=(8, 16, 16), stages=(16, 24, 32), head=(24, 16, 16)), seed=4).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert one["bn1.running_mean"].abs().max() > 0.05  # not the identity that a fresh batch norm is


def test_dropout_is_off_in_eval_and_on_in_training() -> None:
    network = seeded(Architecture(stem=(8, 16, 16), stages=(16, 24, 32), head=(24, 16, 16)))
    x = torch.randn(4, 3, 64, 64)
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))
