"""``worldsample bench coverage``: whether a policy corrects itself where no path of a person has led.

A policy that has learned from few paths stands still beside them: low over the part, a finger's width off,
it answers with no motion at all. The scripted expert drives through scenes that no run has seen, and is
pushed off its path again and again. At each step after a push both are asked for an action:

    gain = sum a . e / sum e . e    over x and y, a the policy's mean action and e the expert's

1: the whole correction, 0: none. The truth of the simulator is used for the expert and to judge, and the
policy sees the cameras only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a1x_sim.arm_dimensions import FINGERTIP
from a1x_sim.cell import Cell
from a1x_sim.sim_config import SimConfig
from worldsample_bringup.bench.machine_load import MachineLoad
from worldsample_bringup.run.provenance import git_revision
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.run.trained_actor import load_actor
from worldsample_bringup.selftest import find_checkout
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.messages.training_pictures import TrainingPictures
from worldsample_core.observation import GRIPPER, Observation

Array = NDArray[np.float64]

FIRST_SCENE = 0x5EED_0000_0000
"""Seeds of the scenes; runs and evaluations draw theirs from elsewhere."""
BETWEEN = 6
"""Steps of the expert before it is pushed again."""
PUSH_STEPS = (2, 4)
"""Shortest and longest push, in control steps of full speed."""
AFTER = 5
"""Steps after a push at which both are asked."""
LOW = 0.04
"""m over the table; fingertips below it are low."""
SLOW = 0.6
"""An expert whose largest translation is below this is near a pose that counts: a grasp, a goal."""
STILL = 0.12
"""An action whose largest part is below this is none."""
TOLD_EVERY = 4
"""Scenes between two words of progress."""
REGIONS = ("all", "low", "near")


@dataclass(frozen=True)
class Judged:
    """N steps after pushes.

    Attributes:
        actions, expert: ``(N, 7)`` in [-1, 1], of the policy and of the expert.
        tip: ``(N,)`` m, height of the fingertips over the table.
    """

    actions: Array
    expert: Array
    tip: Array

    def region(self, name: str) -> NDArray[np.bool_]:
        """The steps of a region, ``(N,)``."""
        if name == "low":
            return np.asarray(self.tip < LOW)
        if name == "near":
            return np.asarray(np.abs(self.expert[:, :3]).max(1) < SLOW)
        return np.ones(len(self.tip), bool)


def figures(judged: Judged) -> dict[str, dict[str, float | int | None]]:
    """By region: n, gain, share of steps without motion, share with the expert's gripper command.

    The gain is None where the expert does not move, and the motionless count where it does.
    """
    found: dict[str, dict[str, float | int | None]] = {}
    for name in REGIONS:
        rows = judged.region(name)
        mine, theirs = judged.actions[rows], judged.expert[rows]
        square = float((theirs[:, :2] ** 2).sum())
        moves = np.abs(theirs[:, :6]).max(1, initial=0.0) >= STILL
        still = np.abs(mine[:, :6]).max(1, initial=0.0) < STILL
        grips = np.rint(mine[:, GRIPPER]) == np.rint(theirs[:, GRIPPER])
        found[name] = {
            "n": int(rows.sum()),
            "gain": round(float((mine[:, :2] * theirs[:, :2]).sum()) / square, 3) if square else None,
            "still": round(float(still[moves].mean()), 3) if moves.any() else None,
            "gripper": round(float(grips.mean()), 3) if len(grips) else None,
        }
    return found


def pushed_steps(
    cell: Cell,
    act: Callable[[Observation], NDArray[np.float32]],
    scenes: int,
    say: Callable[[int], object] = lambda scene: None,
) -> Judged:
    """Drive through scenes with pushes, and ask both after each.

    Args:
        act: the policy, an observation to its mean action (7,).
        say: is told how many scenes are done.
    """
    actions, expert, tips = [], [], []
    active = np.asarray(cell.config.active_mask[:3])
    for scene in range(scenes):
        rng = np.random.default_rng(FIRST_SCENE + scene)
        observation = cell.reset(FIRST_SCENE + scene)
        push, left, asked, undisturbed = np.zeros(3), 0, 0, 0
        while not cell.success and cell.steps < cell.config.horizon:
            wanted = np.asarray(cell.task.expert(cell.state()), np.float64)
            if asked and not left:
                actions.append(np.asarray(act(observation), np.float64))
                expert.append(wanted)
                tips.append(cell.ee_pose()[0][2] - FINGERTIP)
                asked -= 1
            executed = wanted.copy()
            if left:
                executed[:3] = push
                left -= 1
            else:
                undisturbed += 1
            observation = cell.step(executed)
            if undisturbed > BETWEEN and not asked:
                push = _push(rng, active)
                left, asked, undisturbed = int(rng.integers(PUSH_STEPS[0], PUSH_STEPS[1] + 1)), AFTER, 0
        say(scene + 1)
    shape = (-1, 7)
    return Judged(np.reshape(actions, shape), np.reshape(expert, shape), np.asarray(tips))


def _push(rng: np.random.Generator, active: NDArray[np.bool_]) -> Array:
    """A direction of full speed, along what the task moves; half as fast down, so that nothing is rammed."""
    direction = rng.normal(size=3) * active
    direction[2] = max(direction[2], -0.5)
    return np.asarray(direction / max(1e-9, float(np.abs(direction).max())))


def published_policy(task: str) -> Path:
    """The folder of the checkout's published policy of ``worldsample`` for a task.

    Raises:
        ConfigError: there is none.
    """
    folder = find_checkout() / "benchmarks" / "results" / "table1"
    found = sorted(folder.glob(f"{task}-worldsample-seed*"))
    if not found:
        there = sorted({path.name.partition("-")[0] for path in folder.glob("*-worldsample-seed*")})
        raise ConfigError(
            f"no policy for {task!r} is published, only for {', '.join(there) or 'none'}: --run-dir"
        )
    return found[0]


def measure(run: Path, scenes: int = 24, say: Callable[[str], object] = lambda text: None) -> dict[str, Any]:
    """Measure the newest checkpoint of a run, or an exported policy.

    Raises:
        ConfigError: there is none, or it does not act in the simulated cell.
    """
    if scenes < 1:
        raise ConfigError(f"--scenes must be at least 1, got {scenes}")
    load, began, folder = MachineLoad(), time.monotonic(), RunFolder(run)
    settings = folder.settings()
    if not settings.run.sim:
        raise ConfigError(f"{run} is of the real cell: only the simulator knows what an expert would do")
    actor = load_actor(folder)
    lines = from_mapping(SimConfig, settings.sim, "sim").rendered_lines
    pictures = TrainingPictures(settings)
    cell = Cell(settings.task.name, settings.camera_shape, 0, settings.task, rendered_lines=lines)
    try:
        judged = pushed_steps(
            cell,
            lambda observation: actor.act(pictures.seen(observation), deterministic=True)[0],
            scenes,
            lambda done: None if done % TOLD_EVERY else say(f"{done}/{scenes} scenes"),
        )
    finally:
        cell.close()
    return {
        "task": settings.task.name,
        "method": settings.run.method,
        "run": str(run),
        "checkpoint": folder.checkpoint().name,
        "scenes": scenes,
        **figures(judged),
        "seconds": round(time.monotonic() - began, 1),
        "git_revision": git_revision(),
        "machine": load.describe(),
    }


def table(result: Mapping[str, Any]) -> str:
    """The regions in lines, for people."""
    rows = [
        f"{result['task']}, {result['method']}, {result['checkpoint']}: {result['scenes']} scenes",
        f"{'':<6}{'n':>6}{'gain':>8}{'still':>8}{'gripper':>9}",
    ]
    for name in REGIONS:
        of = result[name]
        cells = ["-" if of[key] is None else f"{of[key]:.2f}" for key in ("gain", "still", "gripper")]
        rows.append(f"{name:<6}{of['n']:>6}{cells[0]:>8}{cells[1]:>8}{cells[2]:>9}")
    rows += [
        "gain: the policy's correction after a push, as a share of the expert's. still: no motion where the",
        "expert moves. gripper: the same command. low: fingertips below 4 cm. near: where the expert is slow",
    ]
    return "\n".join(rows)
