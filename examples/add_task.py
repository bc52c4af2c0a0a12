"""Try a task of your own: let its expert play, and look at what the cameras show.

    source <(./worldsample env)
    python examples/add_task.py examples/tasks touch --out touch.png

The folder holds ``touch.py`` and ``touch.yaml``. Then train it like any other task::

    WORLDSAMPLE_TASK_PATH=examples/tasks ./worldsample train --task touch
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from PIL import Image

from a1x_sim.cell import Cell
from worldsample_core.extension_path import TASK_PATH


def main() -> None:
    """Let the expert play ten scenes, and draw the first and the last frame of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the folder of your tasks")
    parser.add_argument("task", help="the task's name, which is also the name of its files")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("task.png"))
    options = parser.parse_args()
    os.environ[TASK_PATH] = str(options.folder)
    cell = Cell(options.task, image_size=64)
    lengths, columns = [], []
    for seed in range(options.episodes):
        first = last = cell.reset(seed)
        while not cell.success and cell.steps < cell.config.horizon:
            last = cell.step(cell.task.expert(cell.state()))
        if cell.success:
            lengths.append(cell.steps)
        columns.append(np.concatenate([*first.images, *last.images]))  # side, wrist, side, wrist
    Image.fromarray(np.concatenate(columns, axis=1)).save(options.out)
    longest = f", the longest took {max(lengths)} of {cell.config.horizon} steps" if lengths else ""
    print(f"the expert solved {len(lengths)} of {options.episodes} scenes{longest}")
    print(f"{options.out}: start (side, wrist) and end (side, wrist) of each scene")


if __name__ == "__main__":
    main()
