"""Updates per second of WorldSample's learner on one device, without ROS.

Two settings of `--method worldsample`: the small networks on cached features that a CPU uses, and the encoder
learned end to end on 128x128 images; both with 256 real and 256 imagined transitions an update. Data are
random: the cost does not depend on them. Prints JSON; `benchmarks/gpu.sh` calls it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from worldsample_core.config import from_mapping
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learner_speed import ready_learner
from worldsample_policy.learning.learner import Learner
from worldsample_policy.tiny_learner import make_task

METHOD = Path(__file__).parent.parent / "src/worldsample_bringup/config/methods/worldsample.yaml"
CASES: dict[str, dict[str, Any]] = {
    "cached_features_64": {"image_size": 64},
    "learned_128": {
        "image_size": 128,
        "encoder": "learned",
        "latent_size": 16,
        "head": "spatial_embedding",
        "bottleneck": 256,
    },
}
WARM_UP = 12
"""Updates before the clock starts: kernels are chosen, or compiled."""


def make_learner(device: str, **changes: Any) -> Learner:
    """A learner with random data in both replays, ready to update."""
    settings = yaml.safe_load(METHOD.read_text())["learner"]
    settings |= {"device": device, "pacing_warmup": 0, "encoder_steps": 1, **changes}
    config = from_mapping(LearnerConfig, settings, "learner")
    return ready_learner(config, make_task(active=(True, True, True, False, False, False, True)))


def measure(learner: Learner, seconds: float) -> dict[str, float]:
    """Updates per second over about so long, and the share of that time in which the device computed."""
    for _ in range(WARM_UP):
        logs = learner.update()
    assert "synthetic/critic_loss" in logs, "imagined data do not count"
    done, busy = 0, 0.0
    synchronise(learner)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(4):
            learner.update()
        done += 4
    synchronise(learner)
    result = {"updates_per_second": done / (time.perf_counter() - began)}
    if learner.device.type == "cuda":
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            start = time.perf_counter()
            for _ in range(8):
                learner.update()
            synchronise(learner)
            wall = time.perf_counter() - start
        busy = sum(event.self_device_time_total for event in profile.key_averages()) * 1e-6
        result |= {"device_ms_per_update": 1e3 * busy / 8, "device_busy": min(1.0, busy / wall)}
    return result


def synchronise(learner: Learner) -> None:
    """Wait until the device has done all that was asked of it."""
    if learner.device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure every case, as it is and with torch.compile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each figure (default 10)")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (default 1)")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    result: dict[str, Any] = {"device": asked.device, "torch": torch.__version__, "threads": asked.threads}
    if asked.device == "cuda":
        result["card"] = torch.cuda.get_device_name()
    for name, changes in CASES.items():
        for compiled in (False, True):
            if compiled and asked.device == "cpu":
                continue  # pays on a GPU only; the CPU's compiler takes longer than what is measured here
            label = f"{name}_compiled" if compiled else name
            try:
                result[label] = measure(
                    make_learner(asked.device, compile=compiled, **changes), asked.seconds
                )
            except Exception as error:  # a case that does not run must not hide the others
                result[label] = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
            print(json.dumps({label: result[label]}), flush=True, file=sys.stderr)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
