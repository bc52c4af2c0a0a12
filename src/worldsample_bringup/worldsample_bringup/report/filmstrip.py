"""Frames of a recorded episode as a strip of both views, for people to look at."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldsample_bringup.run.history import History, Record
from worldsample_core.transition import Transition
from worldsample_policy.acting.evaluation_pictures import FOLDER

FRAMES, GAP = 10, 2


def png(image: NDArray[np.uint8]) -> bytes:
    """``(H, W, 3) uint8`` rgb as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", optimize=True)
    return file.getvalue()


def data_url(image: NDArray[np.uint8]) -> str:
    """``(H, W, 3) uint8`` as a ``data:`` address for a page that stands alone."""
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


def file_url(path: Path) -> str:
    """A PNG file as a ``data:`` address, as it is."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


@dataclass(frozen=True)
class Clip:
    """A moving picture of one evaluation episode, as the run folder has it.

    Attributes:
        path: of the WebP file.
        real_steps: behind the weights that acted.
        scene: seed of the reset.
        success: result.
    """

    path: Path
    real_steps: int
    scene: int
    success: bool

    @property
    def url(self) -> str:
        """The file as a ``data:`` address."""
        return "data:image/webp;base64," + base64.b64encode(self.path.read_bytes()).decode()


def evaluation_clips(folder: Path) -> dict[int, list[Clip]]:
    """The kept evaluation episodes by real steps, newest first; of each evaluation the failures first."""
    clips: dict[int, list[Clip]] = {}
    for path in sorted(folder.glob(f"{FOLDER}/step_*_scene_*_*.webp")):
        _, step, _, scene, result = path.stem.split("_")
        clip = Clip(path, int(step), int(scene), result == "success")
        clips.setdefault(clip.real_steps, []).append(clip)
    return {step: sorted(clips[step], key=lambda clip: clip.success) for step in sorted(clips, reverse=True)}


def choose_episodes(history: History) -> list[tuple[str, Record]]:
    """The episodes worth showing, with captions: a demonstration, and the success with the least help."""
    chosen = []
    demo = next((r for r in history.demos if r["success"] and r.get("path")), None)
    if demo is not None:
        chosen.append((f"A demonstration (episode {demo['episode']}, {demo['steps']} steps)", demo))
    successes = [r for r in history.train[-100:] if r["success"] and r.get("path")]
    if successes:
        best = min(reversed(successes), key=lambda r: int(r["intervention_steps"]))
        helped = (
            f", {best['intervention_steps']} of them driven by the operator"
            if best["intervention_steps"]
            else ""
        )
        episode = f"episode {best['episode']}, {best['steps']} steps{helped}"
        caption = f"The policy, after {best['real_steps']:,} real steps ({episode})"
        chosen.append((caption, best))
    return chosen


def filmstrip(transitions: Sequence[Transition], frames: int = FRAMES) -> NDArray[np.uint8]:
    """``(2 H + 2, frames (W + 2) - 2, 3) uint8``: side above, wrist below; the end is included."""
    images = [t.observation.images for t in transitions] + [transitions[-1].next_observation.images]
    indices = np.unique(np.linspace(0, len(images) - 1, frames).round().astype(int))
    views = np.stack([images[i] for i in indices])  # (n, 2, H, W, 3)
    views = np.pad(views, ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    n, _, height, width, _ = views.shape
    strip = views.transpose(1, 2, 0, 3, 4).reshape(2 * height, n * width, 3)
    return np.ascontiguousarray(strip[:-GAP, :-GAP])


def strips(folder: Path, history: History) -> list[tuple[str, NDArray[np.uint8]]]:
    """Captions and strips of the chosen episodes whose bags can be read."""
    from worldsample_core.episodes.episode_bag import read_transitions  # needs the message packages

    result = []
    for caption, record in choose_episodes(history):
        try:
            transitions = read_transitions(folder / record["path"])
        except (RuntimeError, ValueError, OSError):
            continue  # the report is not worth failing over one bag
        if transitions:
            result.append((caption, filmstrip(transitions)))
    return result
