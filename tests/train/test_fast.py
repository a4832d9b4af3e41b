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
def test_the_same_function_and_gradients_as_the_plain_network(
    architecture: Architecture, size: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, in training mode, with the same dropout masks, at sizes with and without dead taps."""
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: batch > 4)  # the forms for eager and for compiling
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
    fast(
        torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last), fast.noise(2, 64, torch.device("cpu"))
    )
    assert all(seen)
    assert len(seen) == 9  # the third block runs as matrix products


@pytest.mark.parametrize(("rate", "kept"), [(0.0, 1.0), (0.2, 0.8), (0.5, 0.5)])
def test_the_stem_drops_at_the_networks_rate(rate: float, kept: float) -> None:
    """A map of ones keeps its mean, and loses as many values as the rate says; a rate of 0 touches nothing."""
    network = ResEmoteNet(NARROW)
    network.dropout1.p = rate
    fast = TrainingForward(network)
    ones = torch.ones(16, 4, 32, 32)
    out = fast._drop(ones, fast.noise(16, 64, ones.device)[0])
    assert (out > 0).float().mean().item() == pytest.approx(kept, abs=0.01)
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)
    assert rate or out is ones


@pytest.mark.parametrize("size", [16, 64])
def test_dead_taps_get_no_gradient_in_bf16(size: int) -> None:
    """Torch's own bf16 convolution on a CPU leaves garbage there on 1x1 maps."""
    for _ in range(5):
        fast = TrainingForward(ResEmoteNet(NARROW).to(memory_format=torch.channels_last)).train()
        x = torch.randn(8, 3, size, size).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            loss = fast(x, fast.noise(8, size, x.device)).square().sum()
        loss.backward()
        gradient = fast.network.res_block3.conv2.weight.grad
        assert gradient is not None
        centre = gradient[:, :, 1, 1].abs().sum()
        assert gradient.abs().sum() == centre > 0
