"""ResEmoteNet as a researcher writes it: the plain PyTorch of the released kind, for measuring what it costs.

Written for this benchmark from the architecture (paper, figure 1, and the widths of the released checkpoints), in the
style that network usually has: batch norms and dropout in place, shapes read at run time, NCHW. It takes the released
state-dict names. Needs torch alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SEBlock(nn.Module):
    """Squeeze-and-excitation: [N, C, H, W] -> same."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, _ = x.size()
        weights = self.fc(self.pool(x).view(n, c)).view(n, c, 1, 1)
        return x * weights.expand_as(x)


class ResidualBlock(nn.Module):
    """Two convolutions and a projected shortcut, stride 2: [N, C, H, W] -> [N, out, H / 2, W / 2]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, stride=1, padding=1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=2),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class AuthorsNet(nn.Module):
    """Normalised float [N, 3, H, W] -> logits [N, 7]."""

    def __init__(
        self,
        stem: tuple[int, int, int] = (64, 128, 256),
        stages: tuple[int, int, int] = (512, 1024, 2048),
        head: tuple[int, int, int] = (1024, 512, 256),
        classes: int = 7,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem[0], kernel_size=3, padding=1)
        self.bn1 = nn.BatchNorm2d(stem[0])
        self.conv2 = nn.Conv2d(stem[0], stem[1], kernel_size=3, padding=1)
        self.bn2 = nn.BatchNorm2d(stem[1])
        self.conv3 = nn.Conv2d(stem[1], stem[2], kernel_size=3, padding=1)
        self.bn3 = nn.BatchNorm2d(stem[2])
        self.se = SEBlock(stem[2])
        self.res_block1 = ResidualBlock(stem[2], stages[0])
        self.res_block2 = ResidualBlock(stages[0], stages[1])
        self.res_block3 = ResidualBlock(stages[1], stages[2])
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout1 = nn.Dropout(0.2)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(stages[2], head[0])
        self.fc2 = nn.Linear(head[0], head[1])
        self.fc3 = nn.Linear(head[1], head[2])
        self.fc4 = nn.Linear(head[2], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout1(F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2))
        x = self.dropout1(F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2))
        x = F.max_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        x = self.se(x)
        x = self.res_block3(self.res_block2(self.res_block1(x)))
        x = self.pool(x)
        x = x.view(x.size(0), -1)
        x = self.dropout2(F.relu(self.fc1(x)))
        x = self.dropout2(F.relu(self.fc2(x)))
        x = self.dropout2(F.relu(self.fc3(x)))
        return self.fc4(x)


class Probabilities(nn.Module):
    """The network with a softmax on top, which all runtimes are given alike: [N, 3, H, W] -> [N, 7]."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        with torch.device("meta"):
            self.network = AuthorsNet()
        self.network.load_state_dict(torch.load(weights, weights_only=True), assign=True)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.network(x), dim=1)
