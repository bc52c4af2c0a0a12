"""Measures how hard the tasks are: success of the operator, of chance and of memory; cost of a step.

    .venv/bin/python benchmarks/tasks.py --episodes 100          # the table of docs/tasks.md, two minutes

"Average scene" is the expert who believes that everything is where it starts on average. It shows what a
policy can reach without looking at the images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from a1x_sim.cell import Cell
from a1x_sim.operator import ScriptedOperator
from a1x_sim.tasks import TASKS
from a1x_sim.tasks.base import State

NOT_DRAWN = {"ee_x", "ee_y", "ee_z", "gripper", "time", "success", "fingers"}
"""Keys of the state that do not describe the randomised scene."""

Act = Callable[[], np.ndarray]


def episode(cell: Cell, act: Act) -> int | None:
    """Act until success; returns the number of steps, or None without success."""
    for step in range(1, cell.config.horizon + 1):
        cell.step(act())
        if cell.success:
            return step
        if cell.task.failed(cell.state()):
            return None
    return None


def demonstrations(cell: Cell, episodes: int) -> list[int | None]:
    """Run episodes of the scripted operator, with its tremor, errors and speed; returns their steps."""
    operator, results = ScriptedOperator(cell.task), []
    for seed in range(episodes):
        cell.reset(seed)
        operator.start_episode(seed)
        results.append(episode(cell, lambda: operator.act(cell.state(), "demo").action))
    return results


def chance(cell: Cell, episodes: int) -> float:
    """Success rate of uniformly random actions."""
    rng, results = np.random.default_rng(1), []
    for seed in range(episodes):
        cell.reset(seed)
        results.append(episode(cell, lambda: rng.uniform(-1, 1, 7)))
    return np.mean([steps is not None for steps in results]).item()


def memory(cell: Cell, episodes: int) -> float:
    """Success rate of the expert in the average scene."""
    scenes = []
    for seed in range(1000, 1040):
        cell.reset(seed)
        scenes.append(cell.state())
    average = {key: float(np.mean([scene[key] for scene in scenes])) for key in scenes[0].keys() - NOT_DRAWN}
    results = []
    for seed in range(episodes):
        cell.reset(seed)
        first = cell.state()

        def act(first: State = first) -> np.ndarray:
            state = cell.state()
            shifted = {key: state[key] + average[key] - first[key] for key in average}
            return cell.task.expert(state | shifted)

        results.append(episode(cell, act))
    return np.mean([steps is not None for steps in results]).item()


def cost(name: str, render: bool) -> float:
    """CPU time of a control step of the expert, all threads, ms: the least of several episodes."""
    cell = Cell(name, 64, render=render)
    best = np.inf
    for seed in range(5):
        cell.reset(seed)
        began, steps = time.process_time(), 0
        while not cell.success and steps < 30:
            cell.step(cell.task.expert(cell.state()))
            steps += 1
        best = min(best, (time.process_time() - began) / steps * 1000)
    cell.close()
    return float(best)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    options = parser.parse_args()
    columns = "task | horizon | demonstrations | steps: mean, 95 %, longest | random | average scene"
    print(f"| {columns} | ms | ms with images |")
    print("|---" * 8 + "|")
    for name in options.tasks:
        cell = Cell(name, render=False)
        demos = demonstrations(cell, options.episodes)
        steps = [count for count in demos if count is not None]
        lengths = f"{np.mean(steps):.0f}, {np.percentile(steps, 95):.0f}, {max(steps)}" if steps else "none"
        print(
            f"| {name} | {cell.config.horizon} | {len(steps) / len(demos):.2f} | {lengths} "
            f"| {chance(cell, options.episodes):.2f} | {memory(cell, options.episodes):.2f} "
            f"| {cost(name, False):.1f} | {cost(name, True):.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
