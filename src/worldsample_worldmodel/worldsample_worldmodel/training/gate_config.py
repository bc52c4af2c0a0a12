"""Settings of the gate on held-out quality; free of torch, so that they are read quickly."""

from __future__ import annotations

from dataclasses import dataclass

from worldsample_core.units import Decibels, Segments


@dataclass(frozen=True)
class GateConfig:
    """Held-out quality below which nothing imagined may be trained on."""

    psnr: Decibels = 25.0
    """Least PSNR, dual view over the whole horizon."""
    moving_gain: Decibels = 3.0
    """Least gain over copy-last-frame on moving pixels."""
    segments: Segments = 64
    """Segments of held-out episodes that an evaluation generates at most."""
