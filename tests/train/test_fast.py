from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from edgefer.model.resemotenet import Architecture, ResEmoteNet
from edgefer.train.fast import TrainingForward

NARROW = Architecture(stem=(4, 6, 16), stages=(10, 12, 14), head=(12, 10, 8))


class Fixed(nn.Module):
    """A dropout whose masks are given, in order."""

    def __init__(self, masks: list[Tensor]) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, x: Tensor) -> Tensor:
        return x * self.masks.pop(0)


@pytest.mark.parametrize("batch", [4, 33])
@pytest.mark.parametrize("size", [16, 34, 48, 64, 72])
@pytest.mark.parametrize(
    "architecture",
    [NARROW, replace(NARROW, se=False, stages=(10, 0, 0)), replace(NARROW, stages=(0, 0, 0))],
    ids=["all", "one-block", "no-block"],
)
def test_the_same_function_and_gradients_as_the_plain_network(architecture: Architecture, size: int, batch: int) -> None:
    """In float64, in training mode, with the same dropout masks, at sizes with and without dead taps."""
    torch.manual_seed(0)
    plain = ResEmoteNet(architecture).double().train()
    plain.dropout2.p = 0.0
    fast = TrainingForward(copy.deepcopy(plain))
    x = torch.randn(batch, 3, size, size, dtype=torch.float64)
    noise = fast.noise(batch, size, torch.device("cpu"))
    keep = 1 - 13107 / 65536
    plain.dropout1 = Fixed([(n.double() + 32768 >= 13107) / keep for n in noise])
    want, got = plain(x), fast(x, noise)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    weights = torch.randn_like(want)
    (want * weights).sum().backward()
    (got * weights).sum().backward()
    for (name, p), q in zip(plain.named_parameters(), fast.network.parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-8, atol=1e-11, msg=name)
    for (name, a), b in zip(plain.named_buffers(), fast.network.named_buffers(), strict=True):
        torch.testing.assert_close(b[1], a, rtol=1e-10, atol=1e-12, msg=name)


def test_in_eval_mode_it_is_the_network() -> None:
    torch.manual_seed(0)
    fast = TrainingForward(ResEmoteNet(NARROW)).eval()
    x = torch.randn(3, 3, 64, 64)
    assert torch.equal(fast(x, fast.noise(3, 64, x.device)), fast.network(x))


def test_noise_drops_a_fifth_and_follows_the_seed() -> None:
    fast = TrainingForward(ResEmoteNet(NARROW))
    torch.manual_seed(1)
    first, second = fast.noise(64, 64, torch.device("cpu"))
    assert first.shape == (64, 4, 32, 32)
    assert second.shape == (64, 6, 16, 16)
    dropped = (first < 13107 - 32768).double()
    deviation = (0.2 * 0.8 / first.numel()) ** 0.5
    assert abs(dropped.mean().item() - 0.2) < 5 * deviation
    neighbours = (dropped[:, :-1] * dropped[:, 1:]).mean().item()  # parts of one 64-bit draw
    assert abs(neighbours - 0.04) < 10 * deviation
    torch.manual_seed(1)
    assert torch.equal(fast.noise(64, 64, torch.device("cpu"))[0], first)


def test_channels_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The maps reach each convolution in the layout it is fast in."""
    seen = []
    network = ResEmoteNet(NARROW).to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(
                lambda _, x: seen.append(x[0].is_contiguous(memory_format=torch.channels_last))
            )
    fast = TrainingForward(network).train()
    fast(torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last), fast.noise(2, 64, torch.device("cpu")))
    assert all(seen)
    assert len(seen) == 9  # the third block runs as matrix products
