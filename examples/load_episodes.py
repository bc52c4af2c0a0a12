"""Read the recorded episodes of a run, and print what is in each of them.

    source <(./worldsample env)
    python examples/load_episodes.py runs/pushing-worldsample-seed0

Every real episode is one rosbag2 folder (MCAP), so ``ros2 bag info`` and Foxglove open it, too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from worldsample_core.episodes.episode_bag import read_metadata, read_transitions
from worldsample_core.episodes.episode_store import find_bags


def main() -> None:
    """Print one line for each episode, and the shapes of the last one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run folder")
    bags = find_bags(parser.parse_args().run)
    if not bags:
        raise SystemExit("there are no episodes in this folder")
    for bag in bags:
        summary, _ = read_metadata(bag)  # reads no images, so it is quick
        end = "success" if summary.success else "no success"
        helped = f"{summary.intervention_steps} of {summary.steps} steps driven by the operator"
        print(f"episode {summary.episode:4d}  {summary.kind:5s}  {end:10s}  {helped}")

    transitions = read_transitions(bags[-1])
    images = np.stack([t.observation.images for t in transitions])
    proprio = np.stack([t.observation.proprio for t in transitions])
    actions = np.stack([t.action for t in transitions])
    print(f"\nthe last one, {bags[-1].name}:")
    print(f"  images   {images.shape} {images.dtype}: steps, view (side, wrist), height, width, rgb")
    print(
        f"  proprio  {proprio.shape} {proprio.dtype}: position (m), rotation (rad), gripper, velocity (m/s)"
    )
    print(f"  actions  {actions.shape} {actions.dtype}: in [-1, 1]: x y z, rotation, gripper")
    print(f"  return   {sum(t.reward for t in transitions):g}")


if __name__ == "__main__":
    main()
