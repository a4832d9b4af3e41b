"""The whole graph of an artifact as one torch module: uint8 image in, probabilities in canonical order out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefer.emotions import permutation
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import ResEmoteNet
from edgefer.model.specialize import SpecializedNet, plain_stages, specialize
from edgefer.preprocess import LUMA, Preprocess


class Deployed(nn.Module):
    """image uint8 [N, size, size, 3] RGB -> probabilities float32 [N, 7], and every named intermediate.

    Gray conversion, normalisation and softmax are computed in float32 whatever the network's precision. The class
    order is permuted in the last layer's weights, so it costs nothing. `products` as in `specialize`.
    """

    luma: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(
        self, checkpoint: Checkpoint, preprocess: Preprocess, specialized: bool, half: bool, products: bool = True
    ) -> None:
        super().__init__()
        network: SpecializedNet | ResEmoteNet
        if specialized:
            network = specialize(checkpoint.network, preprocess.size, products)
        else:
            network = copy.deepcopy(checkpoint.network)
        order = permutation(checkpoint.classes)
        network.fc4.weight.data = network.fc4.weight.data[order].clone()
        network.fc4.bias.data = network.fc4.bias.data[order].clone()
        self.network = network.half() if half else network
        self.half_precision = half
        self.grayscale = preprocess.grayscale
        # (x / 255 - mean) / std as one multiplication and one addition per channel.
        mean, std = torch.tensor(preprocess.mean).double(), torch.tensor(preprocess.std).double()
        self.register_buffer("luma", torch.tensor(LUMA), persistent=False)
        self.register_buffer("scale", (1 / (255 * std)).float().reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / std).float().reshape(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        stages = self.stages(image)
        return (stages.pop("probabilities"), *stages.values())

    def stages(self, image: Tensor) -> dict[str, Tensor]:
        """Named tensors in order: "input" (normalised), the network's stages, and "probabilities" last."""
        x = self.normalised(image)
        out = {"input": x}
        if self.half_precision:
            x = x.half()
        network = self.network
        out.update(network.stages(x) if isinstance(network, SpecializedNet) else plain_stages(network, x))
        out["probabilities"] = torch.softmax(out["fc4"].float(), dim=1)
        return out

    def normalised(self, image: Tensor) -> Tensor:
        """image as `forward` takes it -> the network's input, float32 [N, 3, size, size]."""
        x = image.to(torch.float32)
        x = (x * self.luma).sum(-1)[:, None] if self.grayscale else x.permute(0, 3, 1, 2)
        return x * self.scale + self.shift


class DeployedPlanes(Deployed):
    """The same graph for planes: image float32 [N, 3, size, size] RGB, 0..255.

    Gray conversion and normalisation are one 1x1 convolution here: out[o] = scale[o] * sum(luma[c] * in[c]) + shift[o].
    """

    mix: Tensor

    def __init__(
        self, checkpoint: Checkpoint, preprocess: Preprocess, specialized: bool, half: bool, products: bool = True
    ) -> None:
        super().__init__(checkpoint, preprocess, specialized, half, products)
        channels = self.luma.double().repeat(3, 1) if self.grayscale else torch.eye(3, dtype=torch.float64)
        mix = self.scale.double().reshape(3, 1) * channels
        self.register_buffer("mix", mix.float()[:, :, None, None], persistent=False)

    def normalised(self, image: Tensor) -> Tensor:
        """image as `forward` takes it -> the network's input, float32 [N, 3, size, size]."""
        return F.conv2d(image, self.mix, self.shift.flatten())


def stage_names(checkpoint: Checkpoint) -> list[str]:
    """Names of the intermediates, in the order in which `Deployed.forward` returns them after the probabilities."""
    architecture = checkpoint.architecture
    se = ["se"] if architecture.se else []
    return ["input", "conv1", "conv2", "conv3", *se, *checkpoint.network.blocks, "fc1", "fc2", "fc3", "fc4"]
