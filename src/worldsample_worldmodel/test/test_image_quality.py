"""PSNR and SSIM against hand values, and against scikit-image where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from worldsample_worldmodel.training.image_quality import copy_last_frame, moving_psnr, psnr, quality, ssim


def _pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 200, (1, 24, 24, 3)).repeat(2, 1).repeat(2, 2)
    return base.astype(np.uint8), np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


def test_psnr_of_a_constant_error() -> None:
    black = np.zeros((2, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(psnr(black, black + 255), 0.0)
    np.testing.assert_allclose(psnr(black, black + 16), 20 * np.log10(255 / 16), rtol=1e-6)
    np.testing.assert_allclose(psnr(black, black), 60.0)


def test_ssim_of_constant_frames_is_the_luminance_term() -> None:
    x, y = np.full((1, 32, 32, 3), 100, np.uint8), np.full((1, 32, 32, 3), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    np.testing.assert_allclose(ssim(x, y), (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), rtol=1e-4)
    np.testing.assert_allclose(ssim(x, x), 1.0, rtol=1e-5)


def test_ssim_by_the_definition_at_one_place() -> None:
    """An 11x11 frame has one place: the weighted moments can be written down directly."""
    x, y = (image[:, :11, :11] for image in _pair())
    offsets = np.arange(11) - 5
    g = np.exp(-0.5 * (offsets / 1.5) ** 2)
    w = np.outer(g, g) / np.outer(g, g).sum()
    expected = []
    for channel in range(3):
        a, b = x[0, ..., channel].astype(float), y[0, ..., channel].astype(float)
        ma, mb = (w * a).sum(), (w * b).sum()
        va, vb, cov = (w * a * a).sum() - ma**2, (w * b * b).sum() - mb**2, (w * a * b).sum() - ma * mb
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        expected.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    np.testing.assert_allclose(ssim(x, y), np.mean(expected), atol=1e-4)


def test_moving_psnr_ignores_what_stands_still() -> None:
    last = np.zeros((1, 32, 32, 3), np.uint8)
    truth = last.copy()
    truth[:, :4, :4] = 255
    np.testing.assert_allclose(moving_psnr(last, truth, last), 0.0, atol=1e-6)
    assert psnr(last, truth)[0] > 15.0
    assert np.isnan(moving_psnr(last, last, last)).all()


def test_quality_is_per_step_and_view() -> None:
    last = np.zeros((3, 2, 32, 32, 3), np.uint8)
    truth = copy_last_frame(last, 4)
    truth[:, :, 1] = 16
    figures = quality(copy_last_frame(last, 4), truth, last)
    assert figures.psnr_by_step.shape == figures.ssim_by_step.shape == (4, 2)
    assert figures.psnr == pytest.approx((60.0 + 20 * np.log10(255 / 16)) / 2, abs=1e-4)
