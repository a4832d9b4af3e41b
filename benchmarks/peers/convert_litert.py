"""Convert the network to LiteRT for one batch size; runs in the environment of litert-torch.

python convert_litert.py WEIGHTS.pth BATCH OUT.tflite
"""

from __future__ import annotations

import sys

import litert_torch
import torch
from authors import Probabilities

SIZE = 64


def main(weights: str, batch: str, out: str) -> None:
    """Channels last at the input, as LiteRT's kernels want them."""
    module = litert_torch.to_channel_last_io(Probabilities(weights), args=[0])
    litert_torch.convert(module.eval(), (torch.zeros(int(batch), SIZE, SIZE, 3),)).export(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
