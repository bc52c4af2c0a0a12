"""Runs in an environment with the package ``lerobot`` and without ours, for ``tests/test_dataset.py``.

LEROBOT_PYTHON lerobot_checks.py load DATASET EXPECTED.npz
LEROBOT_PYTHON lerobot_checks.py write ARRAYS DATASET VIDEOS
LEROBOT_PYTHON lerobot_checks.py train DATASET OUTPUT
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

CAMERAS = ("side", "wrist")


def load(dataset: Path, expected: Path) -> None:
    """Compare every frame as lerobot gives it with the expected arrays."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset  # type: ignore[import-not-found]

    frames, wanted = LeRobotDataset("local/exported", root=dataset), np.load(expected)
    assert len(frames) == len(wanted["action"]), (len(frames), len(wanted["action"]))
    for index in range(len(frames)):
        frame = frames[index]
        for name, key in (("observation.state", "state"), ("action", "action")):
            assert frame[name].numpy().tobytes() == wanted[key][index].tobytes(), (index, name)
        for view, camera in enumerate(CAMERAS):
            image = frame[f"observation.images.{camera}"].numpy().transpose(1, 2, 0) * 255
            assert np.array_equal(np.rint(image).astype(np.uint8), wanted["images"][index, view]), index
    assert frames.meta.stats["action"]["mean"].shape == (7,)
    print(f"{len(frames)} frames are equal")


def write(arrays: Path, dataset: Path, videos: bool) -> None:
    """Record a dataset with lerobot's own writer."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    state = ("x", "y", "z", "rx", "ry", "rz", "gripper", "vx", "vy", "vz")
    action = ("delta_x", "delta_y", "delta_z", "drx", "dry", "drz", "gripper")
    kind = "video" if videos else "image"
    image = {"dtype": kind, "shape": (64, 64, 3), "names": ["height", "width", "channels"]}
    features = {
        "observation.images.front": image,
        "observation.images.hand": image,
        "observation.state": {"dtype": "float32", "shape": (len(state),), "names": list(state)},
        "action": {"dtype": "float32", "shape": (len(action),), "names": list(action)},
    }
    written = LeRobotDataset.create(
        "local/theirs", fps=10, features=features, root=dataset, use_videos=videos
    )
    for path in sorted(arrays.glob("*.npz"), key=lambda path: int(path.stem)):
        episode = np.load(path)
        for images, seen, done in zip(episode["images"], episode["state"], episode["action"], strict=True):
            frame = {"observation.state": seen, "action": done, "task": "put the block into the tray"}
            frame |= {"observation.images.front": images[0], "observation.images.hand": images[1]}
            written.add_frame(frame)
        written.save_episode()
    written.finalize()


def train(dataset: Path, output: Path) -> None:
    """Take one step with lerobot's training script."""
    script = Path(sys.executable).with_name("lerobot-train")
    options = [
        "--dataset.repo_id=local/exported", f"--dataset.root={dataset}", "--policy.type=act",
        "--policy.device=cpu", "--policy.push_to_hub=false", "--policy.pretrained_backbone_weights=null",
        "--policy.dim_model=64", "--policy.n_heads=2", "--policy.dim_feedforward=64",
        "--policy.chunk_size=4", "--policy.n_action_steps=4",
        f"--output_dir={output}", "--steps=1", "--batch_size=2", "--num_workers=0", "--log_freq=1",
        "--save_checkpoint=false", "--wandb.enable=false",
    ]  # fmt: skip
    done = subprocess.run([str(script), *options], capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-3000:]
    print("\n".join(line for line in text.splitlines() if "loss" in line))


if __name__ == "__main__":
    what, first, second = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if what == "load":
        load(first, second)
    elif what == "train":
        train(first, second)
    else:
        write(first, second, sys.argv[4] == "1")
