from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from edgefer.model.resemotenet import Architecture, ResEmoteNet
from edgefer.train.optimize import Average, Plateau, build_optimizer, initialise, learning_rate
from edgefer.train.recipe import Recipe

NARROW = Architecture(stem=(4, 6, 16), stages=(10, 12, 14), head=(12, 10, 8))


def test_cosine_with_warm_up() -> None:
    """Against torch's own schedules: a linear rise, then CosineAnnealingLR."""
    recipe = Recipe(epochs=10, schedule="cosine", warmup_epochs=2.0, learning_rate=0.1)
    rates = [learning_rate(recipe, step, steps_per_epoch=5) for step in range(50)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) / 11 for i in range(10)])
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    for rate in rates[10:]:
        assert rate == pytest.approx(oracle.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        oracle.step()
    assert rates[-1] < 0.001


def test_constant_and_plateau_stay() -> None:
    assert learning_rate(Recipe(schedule="constant", learning_rate=0.3), 999, 5) == 0.3
    assert learning_rate(Recipe(schedule="plateau", learning_rate=0.3), 0, 5) == 0.3


def test_plateau_is_torchs() -> None:
    losses = [1.0, 0.9, 0.9, 0.95, 0.91, 0.89, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.6, 0.6, 0.6, 0.6]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=2)
    ours = Plateau(patience=2)
    for loss in losses:
        ours.update(loss)
        oracle.step(loss)
        assert ours.factor == pytest.approx(optimizer.param_groups[0]["lr"])
    assert ours.factor < 0.011
    restored = Plateau(patience=2)
    restored.restore(ours.state())
    assert restored.__dict__ == ours.__dict__


def test_average_is_its_formula() -> None:
    """0.9 after the warm-up min(0.9, (1 + n) / (10 + n)), weights and statistics alike, in float64 by hand."""
    torch.manual_seed(0)
    network = ResEmoteNet(NARROW)
    average = Average(network, 0.9)
    want = {k: v.double() for k, v in network.state_dict().items() if v.is_floating_point()}
    for n in range(30):
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                if tensor.is_floating_point():
                    tensor.add_(torch.randn_like(tensor))
        average.update()
        decay = min(0.9, (1 + n) / (10 + n))
        for key, value in network.state_dict().items():
            if key in want:
                want[key] = decay * want[key] + (1 - decay) * value.double()
    state = average.network.state_dict()
    for key, value in want.items():
        torch.testing.assert_close(state[key].double(), value, rtol=1e-4, atol=1e-4, msg=key)
    assert not any(p.requires_grad for p in average.network.parameters())


def test_decay_leaves_out_biases_and_norms_when_asked() -> None:
    network = ResEmoteNet(NARROW)
    plain = build_optimizer(network, Recipe(weight_decay=0.1))
    assert [g["weight_decay"] for g in plain.param_groups] == [0.1]
    decayed, spared = build_optimizer(network, Recipe(weight_decay=0.1, decay_norms=False)).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in spared["params"]} == {1}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(network.parameters()))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_optimizers_are_torchs(name: str) -> None:
    recipe = Recipe(optimizer=name, learning_rate=0.05, weight_decay=0.1, momentum=0.8, nesterov=name == "sgd")
    network, oracle_network = nn.Linear(3, 2), nn.Linear(3, 2)
    oracle_network.load_state_dict(network.state_dict())
    ours = build_optimizer(network, recipe)
    oracle: torch.optim.Optimizer = (
        torch.optim.SGD(oracle_network.parameters(), 0.05, 0.8, weight_decay=0.1, nesterov=True, foreach=False)
        if name == "sgd"
        else torch.optim.AdamW(oracle_network.parameters(), 0.05, weight_decay=0.1, foreach=False)
    )
    for step in range(4):
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        for net, optimizer in ((network, ours), (oracle_network, oracle)):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(network.weight, oracle_network.weight)


def test_kaiming_gives_hes_variance() -> None:
    torch.manual_seed(0)
    network = ResEmoteNet("quarter")
    initialise(network, "kaiming")
    weight = network.res_block3.conv2.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (weight.shape[0] * 9)), rel=0.01)
    assert network.fc1.weight.std().item() == pytest.approx(math.sqrt(2 / network.fc1.in_features), rel=0.01)
    assert not network.conv1.bias.any()
    before = network.conv1.weight.clone()
    initialise(network, "torch")
    assert torch.equal(network.conv1.weight, before)
