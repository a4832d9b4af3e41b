"""Convert the network to LiteRT, a file for each batch size; runs in the environment of litert-torch.

python convert_litert.py WEIGHTS.pth OUT.tflite=BATCH...
"""

from __future__ import annotations

import sys

import litert_torch
import torch
from authors import Probabilities, SEBlock
from torch import Tensor

SIZE = 64


class BroadcastSE(SEBlock):
    """The same without `expand_as`, which litert-torch 0.10 cannot convert ("not broadcast-compatible")."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(self.pool(x).flatten(1))[:, :, None, None]


def main(weights: str, *wanted: str) -> None:
    """The input is channels last, as LiteRT's kernels want it."""
    plain = Probabilities(weights)
    plain.network.se.__class__ = BroadcastSE
    module = litert_torch.to_channel_last_io(plain, args=[0]).eval()
    for one in wanted:
        out, _, batch = one.rpartition("=")
        litert_torch.convert(module, (torch.zeros(int(batch), SIZE, SIZE, 3),)).export(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
