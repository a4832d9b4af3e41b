"""ResEmoteNet (Roy et al., IEEE Signal Processing Letters 2024; arXiv 2409.10545), figure 1 and section II.

Three stem convolutions, a squeeze-and-excitation block (equations 1 to 3), three residual blocks (equation 4), adaptive
average pooling (equation 5) and a four-layer classifier. State-dict names are those of the authors' checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

REDUCTION = 16  # squeeze-and-excitation's bottleneck, Hu et al. 2018 and the authors' code


@dataclass(frozen=True)
class Architecture:
    """The widths that define one ResEmoteNet. A width of 0 leaves that part out; the rest chains.

    Attributes:
        stem: output channels of the three stem convolutions.
        se: whether the squeeze-and-excitation block follows the stem.
        stages: output channels of the three residual blocks, 0 = absent.
        head: widths of the classifier's three hidden layers.
        classes: number of outputs.
        in_channels: channels of the network's input (gray input is repeated to three).
    """

    stem: tuple[int, int, int] = (64, 128, 256)
    se: bool = True
    stages: tuple[int, int, int] = (512, 1024, 2048)
    head: tuple[int, int, int] = (1024, 512, 256)
    classes: int = 7
    in_channels: int = 3

    @property
    def features(self) -> int:
        """Channels that reach the classifier: the width of the last part that is there."""
        return next((width for width in reversed(self.stages) if width), self.stem[-1])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Rebuild from `to_dict`."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


def _scaled(divisor: int) -> Architecture:
    full = Architecture()

    def cut(widths: tuple[int, int, int]) -> tuple[int, int, int]:
        return (widths[0] // divisor, widths[1] // divisor, widths[2] // divisor)

    return Architecture(stem=cut(full.stem), stages=cut(full.stages), head=cut(full.head))


_REFERENCE = Architecture()

# `reference` is the released code and its checkpoints (80,238,599 parameters). `paper` takes the widths that figure 1
# and the tables print. `half` and `quarter` scale every width of `reference`. `c1` is the full model of table IV;
# `c2` to `c6` take parts away from it, one step further each: see ARCHITECTURE.md, Ablations, for how sure that is.
PRESETS: dict[str, Architecture] = {
    "reference": _REFERENCE,
    "paper": Architecture(stages=(256, 512, 1024), head=(512, 256, 128)),
    "half": _scaled(2),
    "quarter": _scaled(4),
    "c1": _REFERENCE,
    "c2": replace(_REFERENCE, se=False),
    "c3": replace(_REFERENCE, stages=(512, 1024, 0)),
    "c4": replace(_REFERENCE, stages=(512, 0, 0)),
    "c5": replace(_REFERENCE, stages=(0, 0, 0)),
    "c6": replace(_REFERENCE, se=False, stages=(0, 0, 0)),
}


def preset_name(architecture: Architecture) -> str | None:
    """Return the preset this architecture is, class count and input channels aside, or None."""
    plain = replace(architecture, classes=7, in_channels=3)
    return next((name for name, preset in PRESETS.items() if preset == plain), None)


class SqueezeExcitation(nn.Module):
    """Channel attention: s = sigmoid(W2 relu(W1 mean(x))), x * s (equations 1 to 3). [N, C, H, W] -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // REDUCTION, bias=False),
            nn.ReLU(),
            nn.Linear(channels // REDUCTION, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class ResidualBlock(nn.Module):
    """relu(BN(conv(relu(BN(conv(x))))) + BN(1x1(x))), both paths with stride 2 (equation 4)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=2), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResEmoteNet(nn.Module):
    """The network: normalised float [N, 3, H, W] (H, W >= 8) -> logits [N, classes], in the checkpoint's class order.

    Args:
        architecture: an `Architecture`, or the name of one in `PRESETS`.
    """

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    conv3: nn.Conv2d
    bn1: nn.BatchNorm2d
    bn2: nn.BatchNorm2d
    bn3: nn.BatchNorm2d
    fc1: nn.Linear
    fc2: nn.Linear
    fc3: nn.Linear
    fc4: nn.Linear

    def __init__(self, architecture: Architecture | str = "reference") -> None:
        super().__init__()
        if isinstance(architecture, str):
            architecture = PRESETS[architecture]
        self.architecture = architecture
        widths = (architecture.in_channels, *architecture.stem)
        for i in (1, 2, 3):
            self.add_module(f"conv{i}", nn.Conv2d(widths[i - 1], widths[i], 3, padding=1))
            self.add_module(f"bn{i}", nn.BatchNorm2d(widths[i]))
        width = widths[-1]
        if architecture.se:
            self.se = SqueezeExcitation(width)
        self.blocks: list[str] = []
        for i, out in enumerate(architecture.stages, start=1):
            if out:
                self.add_module(f"res_block{i}", ResidualBlock(width, out))
                self.blocks.append(f"res_block{i}")
                width = out
        self.dropout1 = nn.Dropout(0.2)
        self.dropout2 = nn.Dropout(0.5)
        for i, out in enumerate((*architecture.head, architecture.classes), start=1):
            self.add_module(f"fc{i}", nn.Linear(width, out))
            width = out

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout1(F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2, 2))
        x = self.dropout1(F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2, 2))
        x = F.max_pool2d(F.relu(self.bn3(self.conv3(x))), 2, 2)
        if self.architecture.se:
            x = self.se(x)
        for block in self.blocks:
            x = getattr(self, block)(x)
        x = x.mean((2, 3))  # adaptive average pooling to 1x1, equation 5
        for i in (1, 2, 3):
            x = self.dropout2(F.relu(getattr(self, f"fc{i}")(x)))
        return self.fc4(x)


def count_parameters(module: nn.Module) -> int:
    """Number of learnable scalars."""
    return sum(p.numel() for p in module.parameters())


def seeded(architecture: Architecture | str, seed: int = 0) -> ResEmoteNet:
    """Return an untrained network whose weights depend on `seed` alone, batch-norm statistics included, in eval mode.

    Fresh batch norms are identities, which no rewrite could get wrong; here every statistic is drawn at random.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        empty = ResEmoteNet(architecture)
    network = empty.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=(2 / fan_in) ** 0.5, generator=generator)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.1, 0.1, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            assert module.num_batches_tracked is not None
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.2, 0.2, generator=generator)
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.num_batches_tracked.zero_()
    return network.eval()
