"""Short runs of every method as a person starts them, and digests of what they record and learn."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch
from safetensors.numpy import load_file

from tests.ros_domain import own_domain
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.episode_store import find_bags
from worldsample_core.node.parent_death import die_with_parent

TASKS = {"hil_serl": "pushing", "worldsample": "pick_place", "wmpo": "pushing", "vlaw": "pick_place"}
"""Every method and the task of its run; in pick_place the policy commands a gripper, also in imagination."""

STEPS = 150
"""Real steps: more than the longest episode, 80, and the world model's lag, so that imagined data count."""

IMITATION_UPDATES = 20
PATIENCE = 300.0
"""s that two runs side by side may take on a loaded machine."""

DIGESTS = Path(__file__).with_name("short_run_digests.json")
RECORD = "source <(./worldsample env) && python -m tests.record_digests"
"""The command that records the digests of this kind of machine."""


@dataclass(frozen=True)
class ShortRun:
    """A run that has ended, its exit code and what it said."""

    folder: RunFolder
    code: int
    output: str


def run_all(parent: Path) -> dict[str, ShortRun]:
    """Run every method in a folder of its own in ``parent``, two at a time."""
    methods = list(TASKS)
    runs: dict[str, ShortRun] = {}
    for pair in (methods[:2], methods[2:]):
        with own_domain() as first, own_domain() as second:
            folders = [RunFolder(parent / method) for method in pair]
            started = [
                _start(folder, method, domain)
                for folder, method, domain in zip(folders, pair, (first, second), strict=True)
            ]
            for method, folder, process in zip(pair, folders, started, strict=True):
                output = process.communicate(timeout=PATIENCE)[0]
                runs[method] = ShortRun(folder, process.returncode, output)
    return runs


def run_in_the_cell(parent: Path, method: str) -> ShortRun:
    """The same run, evaluated in its own cell in place of beside."""
    folder = RunFolder(parent / f"{method}-in-the-cell")
    with own_domain() as domain:
        process = _start(folder, method, domain, "run.evaluate_beside=false")
        output = process.communicate(timeout=PATIENCE)[0]
    return ShortRun(folder, process.returncode, output)


def command(folder: RunFolder, method: str, *changes: str) -> list[str]:
    """The command of a method's run in ``folder``, with further options and settings."""
    return [
        *(sys.executable, "-m", "worldsample_bringup.cli", "train", "--run-dir", str(folder.path)),
        *("--quick", "--task", TASKS[method], "--method", method, "--machine", "cpu"),
        *("--steps", str(STEPS), "run.eval_every=0", "run.demos=2", "run.final_eval_episodes=1"),
        *("worldmodel.adapt_updates=5", "worldmodel.reward.updates=10"),
        *(f"worldmodel.patience={PATIENCE}", f"sim.learner_patience={PATIENCE}"),  # nobody is given up
        f"learner.imitation_updates={IMITATION_UPDATES}",
        *changes,
    ]


def _start(folder: RunFolder, method: str, domain: int, *changes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(folder, method, *changes),
        cwd=folder.path.parent,
        env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=die_with_parent(),
    )


def digests(folder: RunFolder) -> dict[str, Any]:
    """SHA-256 of every recorded transition and of every tensor of the last checkpoint's model."""
    recorded, count = hashlib.sha256(), 0
    for bag in find_bags(folder.path):
        for t in read_transitions(bag):
            observed = (t.observation.images, t.observation.proprio, t.next_observation.images, t.action)
            for array in observed:
                recorded.update(np.ascontiguousarray(array).tobytes())
            said = (t.seq, t.reward, t.policy_version, t.source, t.intervention, t.terminated)
            recorded.update(" ".join(map(str, said)).encode())
            count += 1
    model = hashlib.sha256()
    last = folder.checkpoints / f"step_{folder.checkpoint_steps()[-1]}"
    for name, tensor in sorted(load_file(last / "model.safetensors").items()):
        model.update(name.encode())
        model.update(tensor.tobytes())
    return {"transitions": count, "recorded": recorded.hexdigest(), "model": model.hexdigest()}


@cache
def machine_kind() -> dict[str, str]:
    """Processor and library versions: all that the last bit of a floating-point result depends on."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    said = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    names = ("model name", "cpu family", "model", "stepping")
    return {
        "processor": ", ".join([platform.machine(), *(f"{name} {said.get(name, '?')}" for name in names)]),
        "processors": str(os.cpu_count()),  # decides how many threads the learner has
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "mujoco": mujoco.__version__,
        "renderer": _renderer(),
    }


def _renderer() -> str:
    """Name and version of the OpenGL implementation that draws the simulator's images."""
    program = (
        "import mujoco; context = mujoco.GLContext(16, 16); context.make_current()\n"
        "from OpenGL import GL; print(*(GL.glGetString(n).decode() for n in (GL.GL_RENDERER, GL.GL_VERSION)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def read_digests() -> list[dict[str, Any]]:
    """The committed digests: ``[{"machine": machine_kind(), "runs": {method: digests()}}, …]``."""
    return list(json.loads(DIGESTS.read_text()))
