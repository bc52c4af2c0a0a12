"""Measures the world model on a GPU: imagination, training, how busy the card is, and checkpoints that move.

    PYTHONPATH=$(printf '%s:' src/*/) python3 benchmarks/gpu_worldmodel.py --device cuda --seconds 10

Needs torch, numpy and safetensors only: no ROS, no simulator. Episodes are synthetic: an arm that follows its
commands, over pictures of noise; speed does not depend on what they show. One JSON object goes to standard
output, also after a failure: the part that failed then says why. Aims on an H100: 5,000 labelled transitions
per second at 64x64 and 2,000 at 128x128, the card busy at least half of the time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsample_core.config import TaskConfig
from worldsample_policy.imagined_acting import BatchActor
from worldsample_policy.learner_config import LearnerConfig
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.imagination.imagination import ActingPolicy
from worldsample_worldmodel.imagination.imagination_config import ImaginationConfig
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.reward.reward_model_config import RewardModelConfig
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.training.gate_config import GateConfig

TASK = TaskConfig(
    name="pushing", horizon=60, gamma=0.97, active=(True, True, True) + (False,) * 4,
    action_scale=(0.012,) * 3 + (0.1,) * 3 + (1.0,), box_low=(0.19, -0.15, 0.165),
    box_high=(0.41, 0.15, 0.28), reset_joints=(0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0), reset_gripper=0.0,
    max_real_steps=6000,
)  # fmt: skip
"""The task pushing, without its file."""

WARMUP = 12
"""Calls before a measurement: they load kernels, and capture graphs where there are any."""


class Busy:
    """Samples how busy the card is, in the background; None where nothing can say so."""

    def __init__(self, device: str) -> None:
        self._samples: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._used = device.startswith("cuda")

    def __enter__(self) -> Busy:
        if self._used:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        if self._used:
            self._thread.join()

    @property
    def fraction(self) -> float | None:
        """Share of the time in which a kernel ran, by the driver's own counter."""
        return round(float(np.mean(self._samples)), 3) if self._samples else None

    def _sample(self) -> None:
        read = _utilisation()
        while read is not None and not self._end.wait(0.2):
            self._samples.append(read())


def _utilisation() -> Callable[[], float] | None:
    try:
        pynvml = import_module("pynvml")
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        return lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100.0
    except Exception:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]

    def ask() -> float:
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 100.0

    try:
        ask()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return ask


def episode(number: int, size: int, steps: int = 40) -> Episode:
    """An arm that goes nearly where it is commanded; every other episode is a success."""
    rng = np.random.default_rng(number)
    actions = np.zeros((steps, 7), np.float32)
    actions[:, :3] = rng.uniform(-0.5, 0.5, (steps, 3))
    proprio = np.zeros((steps + 1, 10), np.float32)
    proprio[1:, :3] = 0.01 * actions[:, :3].cumsum(0)
    proprio[:, :3] = (proprio[:, :3] + (0.3, 0.0, 0.22)).clip((0.2, -0.14, 0.17), (0.4, 0.14, 0.27))
    images = rng.integers(0, 256, (steps + 1, 2, size, size, 3), dtype=np.uint8)
    return Episode(images, proprio, actions, number % 2 == 0, number, demo=number < 8)


def adaptation(size: int, device: str, episodes: int) -> Adaptation:
    """Build a world model whose guards let every segment pass, adapted by a few updates."""
    made = Adaptation(
        TASK,
        WorldModelConfig(image_size=size, device=device),
        RewardModelConfig(image_size=size, device=device, updates=20),
        GateConfig(psnr=0.0, moving_gain=-100.0, segments=64 if device.startswith("cuda") else 8),
        ImaginationConfig(uncertainty_limit=10.0, box_margin=1.0, undecided=0.0),
    )
    for number in range(episodes):
        made.add(episode(number, size))
    return made


def per_second(work: Callable[[], int], seconds: float, device: str) -> tuple[float, float | None]:
    """Return what ``work`` counts, per second, and how busy the card was meanwhile."""
    for _ in range(WARMUP if device.startswith("cuda") else 1):
        work()
    done, busy = 0, Busy(device)
    with busy:
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            done += work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        elapsed = time.perf_counter() - began
    return round(done / elapsed, 2), busy.fraction


def measure_size(size: int, device: str, seconds: float, count: int, episodes: int) -> dict[str, Any]:
    """Training, release, reward model, and imagination with perturbed actions and with a policy."""
    made = adaptation(size, device, episodes)
    result: dict[str, Any] = {}

    def train() -> int:
        made.train(1)
        return 1

    result["training_updates_per_second"], result["training_busy"] = per_second(train, seconds, device)
    began = time.perf_counter()
    made.release(batch_size=count)
    result["release_seconds"] = round(time.perf_counter() - began, 3)
    began = time.perf_counter()
    made.fit_reward_model(16 if device.startswith("cuda") else 2)
    result["reward_model_seconds_20_updates"] = round(time.perf_counter() - began, 3)
    actor = BatchActor(
        LearnerConfig(image_size=size, device=device, encoder="learned" if size > 64 else "random"), TASK
    )
    for name, acting in (("perturbed", None), ("acting", ActingPolicy(actor, 1))):

        def imagine(acting: ActingPolicy | None = acting) -> int:
            segments = made.imagination.generate(made.memory.training, count, None, acting)
            return sum(len(segment) for segment in segments)

        rate, busy = per_second(imagine, seconds, device)
        result[f"labelled_transitions_per_second_{name}"], result[f"imagination_busy_{name}"] = rate, busy
    result["rejected"] = dict(made.imagination.rejected)
    return result


def checkpoint_moves(device: str) -> dict[str, str]:
    """Save on one device, go on training on the other one, both ways: "ok", or what went wrong."""
    result = {}
    for source, target in (("cpu", device), (device, "cpu")):
        try:
            before = adaptation(32, source, 2)
            before.train(3)
            before.release(batch_size=8)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "step_0.safetensors"
                before.save(path)
                after = adaptation(32, target, 2)
                after.load(path)
            same = all(
                torch.equal(a.cpu(), b.cpu())
                for a, b in zip(
                    before.trainer.model.state_dict().values(),
                    after.trainer.model.state_dict().values(),
                    strict=True,
                )
            )
            logs = after.train(3)
            after.release(batch_size=8)
            after.imagination.generate(after.memory.training, 4)
            result[f"{source} to {target}"] = "ok" if same and not logs["skipped"] else "not the same"
        except Exception as error:
            traceback.print_exc()
            result[f"{source} to {target}"] = f"{type(error).__name__}: {error}"
    return result


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each figure")
    parser.add_argument("--sizes", type=int, nargs="+", help="of images; 64 and 128 on a GPU, else 64")
    parser.add_argument("--segments", type=int, default=0, help="at once; 0: 256 on a GPU, 8 on the CPU")
    arguments = parser.parse_args()
    device, cuda = arguments.device, arguments.device.startswith("cuda")
    segments = arguments.segments or (256 if cuda else 8)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(0) if cuda else "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "segments_at_once": segments,
        "checkpoints": checkpoint_moves(device),
    }
    failed = any(said != "ok" for said in result["checkpoints"].values())
    for size in arguments.sizes or ([64, 128] if cuda else [64]):
        try:
            result[f"{size}x{size}"] = measure_size(
                size, device, arguments.seconds, segments, 40 if cuda else 8
            )
        except Exception as error:
            traceback.print_exc()
            result[f"{size}x{size}"] = {"failed": f"{type(error).__name__}: {error}"}
            failed = True
        print(f"{size}x{size}: {result[f'{size}x{size}']}", file=sys.stderr, flush=True)
    print(json.dumps(result, indent=2))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
