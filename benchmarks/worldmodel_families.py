"""Compares families of video models: each one trains for the same CPU time on the same episodes.

    .venv/bin/python benchmarks/worldmodel_families.py --seconds 300

- ``native``: the model of worldsample_worldmodel: dynamics of the pose, frames warped from real ones.
- ``native without bank``: the same model without exemplars of other episodes.
- ``unet``: a residual UNet that predicts the next frames of both views and is fed its own output.
- ``unet flow``: the same UNet, which generates each frame from noise by flow matching (Lipman et al., 2023)
  in 4 Euler steps.

Seconds are processor time without evaluation. The result goes to
``benchmarks/results/worldmodel_families.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from worldsample_bringup.bench.simulated_runs import SimulatedRuns
from worldsample_core.arm.command_law import CommandLaw
from worldsample_worldmodel.data.episodes import Episode, SegmentBatch, full_segments, random_segments
from worldsample_worldmodel.model.frame_decoder import Modulation
from worldsample_worldmodel.model.pixels import to_float, to_uint8
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.training.image_quality import copy_last_frame, quality
from worldsample_worldmodel.training.trainer import Trainer

HORIZON = 8
EULER_STEPS = 4


class NextFrame(nn.Module):
    """UNet over both stacked views at 32x32, 16x16 and 8x8: (last two frames, noisy frame) -> 24 channels."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        wide = 2 * width
        self.condition = nn.Sequential(nn.Linear(18, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU())
        self.films = nn.ModuleList(Modulation(128, c) for c in (width, wide, wide, width))
        self.first = nn.Conv2d(3 * 24, width, 3, padding=1)
        self.down = nn.Conv2d(width, wide, 4, stride=2, padding=1)
        self.bottom = nn.Conv2d(wide, wide, 4, stride=2, padding=1)
        self.middle = nn.Conv2d(wide, wide, 3, padding=1)
        self.up = nn.Conv2d(2 * wide, width, 3, padding=1)
        self.last = nn.Conv2d(2 * width, width, 3, padding=1)
        self.out = nn.Conv2d(width, 24, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, before: Tensor, last: Tensor, noisy: Tensor, condition: Tensor) -> Tensor:
        """Images (B, 6, 64, 64), condition (B, 18): (B, 6, 64, 64)."""
        c = self.condition(condition)
        x = F.pixel_unshuffle(torch.cat([before, last, noisy], 1), 2)
        a = F.relu(self.films[0](self.first(x), c))
        b = F.relu(self.films[1](self.down(a), c))
        d = F.relu(self.films[2](self.bottom(b), c))
        d = d + F.relu(self.middle(d))
        x = F.relu(self.up(torch.cat([F.interpolate(d, scale_factor=2), b], 1)))
        x = F.relu(self.films[3](self.last(torch.cat([F.interpolate(x, scale_factor=2), a], 1)), c))
        return F.pixel_shuffle(self.out(x), 2).float()


class Autoregressive:
    """The families ``unet`` and ``unet flow``.

    They are given the true proprioception of every step, which is an advantage over ``native``.
    """

    def __init__(self, flow: bool, batch: int = 16, rate: float = 1e-3) -> None:
        torch.manual_seed(0)
        self.flow, self.batch = flow, batch
        self.model = NextFrame()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), rate, weight_decay=1e-4)
        self.rng = np.random.default_rng(0)
        self.scale = torch.ones(10)
        self.mean = torch.zeros(10)

    def fit(self, episodes: list[Episode]) -> None:
        """Compute the statistics of proprioception."""
        proprio = torch.from_numpy(np.concatenate([episode.proprio for episode in episodes]))
        self.mean, self.scale = proprio.mean(0), proprio.std(0).clamp_min(0.01)

    def _condition(self, batch: SegmentBatch, step: int, t: Tensor) -> Tensor:
        proprio = (torch.from_numpy(batch.proprio[:, step]) - self.mean) / self.scale
        return torch.cat([proprio, torch.from_numpy(batch.actions[:, step]), t], 1)

    def _frame(self, before: Tensor, last: Tensor, batch: SegmentBatch, step: int) -> Tensor:
        count = len(last)
        if not self.flow:
            return last + self.model(before, last, last, self._condition(batch, step, torch.zeros(count, 1)))
        x = torch.randn_like(last)
        for k in range(EULER_STEPS):
            t = torch.full((count, 1), k / EULER_STEPS)
            x = x + self.model(before, last, x, self._condition(batch, step, t)) / EULER_STEPS
        return x * 0.25 + last  # residuals in units of 0.25

    def update(self, episodes: list[Episode], rate: float) -> None:
        """Do one update: three steps of rollout for the UNet, one step of flow matching."""
        batch = random_segments(episodes, self.batch, 3, self.rng)
        future = to_float(torch.from_numpy(batch.future)).flatten(2, 3)
        last = to_float(torch.from_numpy(batch.current)).flatten(1, 2)
        before = last
        for group in self.optimizer.param_groups:
            group["lr"] = 1e-3 * rate
        loss = torch.zeros(())
        with torch.autocast("cpu", torch.bfloat16):
            if self.flow:
                target, noise = (future[:, 0] - last) / 0.25, torch.randn_like(last)
                t = torch.rand(len(last), 1)
                x = torch.lerp(noise, target, t[:, :, None, None])
                loss = (
                    (self.model(before, last, x, self._condition(batch, 0, t)) - (target - noise))
                    .square()
                    .mean()
                )
            else:
                for step in range(3):
                    frame = self._frame(before, last, batch, step)
                    loss = loss + (frame - future[:, step]).abs().mean()
                    before, last = last, frame
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    @torch.no_grad()
    def imagine(self, batch: SegmentBatch) -> NDArray[np.uint8]:
        """Generate the images of a segment, ``(B, H, 2, 64, 64, 3) uint8``."""
        last = before = to_float(torch.from_numpy(batch.current)).flatten(1, 2)
        frames = []
        with torch.autocast("cpu", torch.bfloat16):
            for step in range(batch.actions.shape[1]):
                before, last = last, self._frame(before, last, batch, step).clamp(-0.5, 0.5)
                frames.append(to_uint8(last.unflatten(1, (2, 3))).numpy())
        return np.stack(frames, 1)


class Native:
    """The families ``native`` and ``native without bank``."""

    def __init__(self, runs: SimulatedRuns, bank: bool) -> None:
        self.trainer, self.bank = Trainer(WorldModelConfig(horizon=HORIZON), CommandLaw(runs.config)), bank

    def fit(self, episodes: list[Episode]) -> None:
        """Compute the statistics, and keep exemplars if the family has them."""
        self.trainer.fit_statistics(episodes)
        if self.bank:
            self.trainer.remember(episodes)

    def update(self, episodes: list[Episode], rate: float) -> None:
        """Do one update."""
        self.trainer.update(episodes, rate)

    def imagine(self, batch: SegmentBatch) -> NDArray[np.uint8]:
        """Generate the images of a segment, ``(B, H, 2, 64, 64, 3) uint8``."""
        model = self.trainer.averaged
        given = (batch.first, batch.current, batch.first_proprio, batch.proprio[:, 0], batch.actions)
        return model.imagine(*given, commanded=batch.commanded).images


def run(
    family: Native | Autoregressive, seconds: float, episodes: list[Episode], unseen: list[Episode]
) -> dict[str, Any]:
    """Train for ``seconds`` of processor time, then measure on unseen episodes."""
    family.fit(episodes)
    began = time.process_time()
    updates = 0
    while (done := (time.process_time() - began) / seconds) < 1.0:
        family.update(episodes, min(1.0, max(0.05, 2.0 * (1.0 - done))))
        updates += 1
    made, real, before = [], [], []
    began = time.process_time()
    for batch in full_segments(unseen, HORIZON, 8, 32):
        made.append(family.imagine(batch))
        real.append(batch.future)
        before.append(batch.current)
    speed = sum(len(part) for part in made) * HORIZON / (time.process_time() - began)
    images, truth, last = np.concatenate(made), np.concatenate(real), np.concatenate(before)
    ours, copied = quality(images, truth, last), quality(copy_last_frame(last, HORIZON), truth, last)
    return {
        "psnr": round(ours.psnr, 2),
        "ssim": round(ours.ssim, 4),
        "psnr_first_step": round(float(ours.psnr_by_step[0].mean()), 2),
        "psnr_last_step": round(float(ours.psnr_by_step[-1].mean()), 2),
        "psnr_copy_last": round(copied.psnr, 2),
        "transitions_per_second": round(speed),
        "updates": updates,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="pushing")
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="of training per family (default: %(default)s)"
    )
    parser.add_argument(
        "--families", nargs="+", default=["native", "native without bank", "unet", "unet flow"]
    )
    parser.add_argument("--online", type=int, default=80, help="episodes (default: %(default)s)")
    parser.add_argument("--held-out", type=int, default=16, help="episodes (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "worldmodel_families.json"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = SimulatedRuns(arguments.task)
    episodes = runs.demonstrations(20) + runs.online(arguments.online)
    unseen = runs.online(arguments.held_out, 900_000)
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.families:
        if name.startswith("native"):
            family: Native | Autoregressive = Native(runs, bank=name == "native")
        else:
            family = Autoregressive(flow=name == "unet flow")
        results[f"{arguments.task}/{name}/{arguments.seconds:g}s"] = result = run(
            family, arguments.seconds, episodes, unseen
        )
        print(f"{name}: {result}", flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
