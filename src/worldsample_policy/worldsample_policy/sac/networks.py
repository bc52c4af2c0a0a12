"""The learned networks: heads on the latents, tanh-Gaussian actor, critic ensemble, gripper critic.

Shapes: B batch, V views (2), D latent values of one view, P proprioception (10), F features, A active
continuous action dimensions, E ensemble members, G gripper commands (3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsample_policy.encoders.conv_encoder import ConvEncoder
from worldsample_policy.encoders.random_shift import images_to_float
from worldsample_policy.learner_config import LearnerConfig

GRIPPER_COMMANDS = (-1.0, 0.0, 1.0)
"""close, hold, open: the values of the action's last dimension, in the order of the gripper critic's
outputs."""


class Keypoints(nn.Module):
    """Places of things on the grid of latents: K points per view, each a spatial softmax's mean.

    Two convolutions make K maps, softmax over the grid turns each into a distribution over places, and its
    mean is the point (Levine et al. 2016). Few weights, the same everywhere on the grid: what is learned of
    a part in one place holds in the others.

    Input: latent (B, C, H, W) of one view. Output: (B, 2K), x and y of each point in [-1, 1].
    """

    places: Tensor

    def __init__(self, shape: tuple[int, ...], points: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.maps = nn.Sequential(
            nn.Conv2d(channels, points, 3, padding=1), nn.ReLU(), nn.Conv2d(points, points, 3, padding=1)
        )
        y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        self.register_buffer("places", torch.stack([x.flatten(), y.flatten()], 1), persistent=False)

    def forward(self, latent: Tensor) -> Tensor:
        share = self.maps(latent).flatten(2).softmax(-1)  # (B, K, H * W)
        return (share @ self.places).flatten(1)


class Projection(nn.Module):
    """Latents of V views and proprioception -> features.

    Each view has a bottleneck, LayerNorm and tanh of its own; the results are concatenated.

    Inputs: latent (B, V, D), proprio (B, P). Output: (B, V * bottleneck + proprio_features). The views'
    matrices stay apart (a view's features see that view only) and the input is never copied.

    Args:
        latent_shape: (V, C, H, W).
        kind: one of ``HEADS``; "": ``config.head``.
    """

    def __init__(
        self, config: LearnerConfig, latent_shape: tuple[int, ...], proprio: int, kind: str = ""
    ) -> None:
        super().__init__()
        self.views = latent_shape[0]
        self.images: ConvEncoder | None = None
        if config.encoder == "learned":  # gradients through the images: latent is uint8 (B, V, H, W, 3)
            self.images = ConvEncoder(
                self.views,
                config.image_size,
                config.latent_size,
                config.latent_channels,
                config.encoder_width,
            )
            latent_shape = (self.views, config.latent_channels, config.latent_size, config.latent_size)
        self.channels = latent_shape[1]
        self.cells = math.prod(latent_shape[2:])
        size = self.channels * self.cells
        self.spatial: nn.Parameter | None = None
        self.keypoints: nn.ModuleList | None = None
        kind = kind or config.head
        if kind == "keypoints":
            self.grid = latent_shape[1:]
            self.keypoints = nn.ModuleList(Keypoints(self.grid, config.keypoints) for _ in range(self.views))
            size = 2 * config.keypoints
        elif kind == "spatial_embedding":
            self.spatial = nn.Parameter(
                torch.randn(self.views, self.channels, self.cells, config.spatial_embeddings)
                / math.sqrt(self.cells)
            )
            size = self.channels * config.spatial_embeddings
        self.view_heads = nn.ModuleList([nn.Linear(size, config.bottleneck) for _ in range(self.views)])
        self.view_norms = nn.ModuleList([nn.LayerNorm(config.bottleneck) for _ in range(self.views)])
        self.proprio_head = nn.Linear(proprio, config.proprio_features)
        self.proprio_norm = nn.LayerNorm(config.proprio_features)
        for layer in (*self.view_heads, self.proprio_head):
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.features = self.views * config.bottleneck + config.proprio_features

    def forward(self, latent: Tensor, proprio: Tensor) -> Tensor:
        if self.images is not None:
            latent = self.images(images_to_float(latent))
        latent = latent.flatten(2)  # (B, V, D)
        outputs = []
        for view, (head, norm) in enumerate(zip(self.view_heads, self.view_norms, strict=True)):
            x = latent[:, view]
            if self.spatial is not None:  # sum over the grid of latent * learned spatial embedding: (B, C, S)
                grid = x.unflatten(1, (self.channels, self.cells))
                x = torch.einsum("bcp,cps->bcs", grid, self.spatial[view]).flatten(1)
            elif self.keypoints is not None:
                x = self.keypoints[view](x.unflatten(1, self.grid))
            outputs.append(norm(head(x)))
        outputs.append(self.proprio_norm(self.proprio_head(proprio)))
        return torch.tanh(torch.cat(outputs, 1))


def mlp(inputs: int, hidden: int, outputs: int, gain: float = 1.0) -> nn.Sequential:
    """Two hidden layers, each Linear -> LayerNorm -> tanh, and a linear output [HiL-SERL].

    The weights are orthogonal.
    """
    linears = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)
    for layer, scale in zip(linears, (1.0, 1.0, gain), strict=True):
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(
        *(linears[0], nn.LayerNorm(hidden), nn.Tanh()),
        *(linears[1], nn.LayerNorm(hidden), nn.Tanh()),
        linears[2],
    )


class PolicySample(NamedTuple):
    """action (B, A) in (-1, 1), log_prob (B,) in nats of that action, over the active dimensions only."""

    action: Tensor
    log_prob: Tensor


def tanh_log_det(u: Tensor) -> Tensor:
    """Logarithm of |d tanh(u) / du| = 2 (log 2 - u - softplus(-2u)), without overflow."""
    return 2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))


class PolicyNetwork(nn.Module):
    """pi(a|s): a = tanh(u), u ~ N(mean(s), std(s)), std clamped to [std_min, std_max]."""

    def __init__(self, config: LearnerConfig, features: int, actions: int) -> None:
        super().__init__()
        self.network = mlp(features, config.hidden, 2 * actions, gain=0.1)
        self.log_std_bounds = (math.log(config.std_min), math.log(config.std_max))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log_std (B, A) of u, before tanh, for features (B, F)."""
        mean, log_std = self.network(features).chunk(2, -1)
        return mean, log_std.clamp(*self.log_std_bounds)

    def sample(self, features: Tensor, noise: Tensor) -> PolicySample:
        """A reparametrised action from standard normal `noise` (B, A)."""
        mean, log_std = self(features)
        u = mean + log_std.exp() * noise
        log_normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi)
        return PolicySample(torch.tanh(u), (log_normal - tanh_log_det(u)).sum(-1))

    def log_prob(self, features: Tensor, action: Tensor) -> Tensor:
        """Log-probability log pi(action | s), (B,) nats.

        The action (B, A) is pulled inside (-1, 1) by 1e-3, because a demonstration may sit on a limit.
        """
        mean, log_std = self(features)
        u = torch.atanh(action.clamp(-1.0 + 1e-3, 1.0 - 1e-3))
        noise = (u - mean) / log_std.exp()
        log_normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi)
        return (log_normal - tanh_log_det(u)).sum(-1)


class Critic(nn.Module):
    """Q(s, a) of E members: features (B, F), action (B, A) -> (E, B).

    The members run one after the other: on a CPU that is a tenth faster than batched products, whose
    per-member LayerNorm is not one fused operation.
    """

    def __init__(self, config: LearnerConfig, features: int, actions: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            [mlp(features + actions, config.hidden, 1) for _ in range(config.critics)]
        )

    def forward(self, features: Tensor, action: Tensor) -> Tensor:
        x = torch.cat((features, action), 1)
        return torch.cat([member(x) for member in self.members], 1).t()


class GripperNetwork(nn.Module):
    """A number for each gripper command close, hold, open: features (B, F) -> (B, G).

    As a critic its values Q(s, g), as a policy the logits of pi(g|s).
    """

    def __init__(self, config: LearnerConfig, features: int) -> None:
        super().__init__()
        self.network = mlp(features, config.hidden, len(GRIPPER_COMMANDS))

    def forward(self, features: Tensor) -> Tensor:
        return self.network(features)
