"""Act with a trained policy in the simulated cell, in one process and without ROS nodes.

    source <(./worldsample env)
    python examples/act_with_policy.py benchmarks/results/table1-2000-seed10/sorting-rlpd_plus-seed10

The folder is a run folder, or what ``./worldsample export`` made of one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from a1x_sim.cell import Cell
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.run.trained_actor import load_actor
from worldsample_core.messages.training_pictures import TrainingPictures


def main() -> None:
    """Run episodes, with actions drawn from the policy as in an evaluation, and count the successes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--episodes", type=int, default=10)
    options = parser.parse_args()
    run = RunFolder(options.run)
    actor, settings = load_actor(run), run.settings()
    pictures = TrainingPictures(settings)
    cell = Cell(settings.task.name, settings.camera_shape, config=settings.task)
    successes = 0
    for seed in range(options.episodes):
        observation = cell.reset(seed)
        actor.seed(seed)
        while not cell.success and cell.steps < settings.task.horizon:
            action, _ = actor.act(pictures.seen(observation), settings.run.evaluates_mean)
            observation = cell.step(action)
        successes += cell.success
        print(f"scene {seed}: {'success' if cell.success else 'no success'} after {cell.steps} steps")
    print(f"{successes} of {options.episodes} episodes succeeded")


if __name__ == "__main__":
    main()
