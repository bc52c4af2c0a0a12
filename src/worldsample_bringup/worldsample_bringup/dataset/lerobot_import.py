"""A LeRobotDataset's episodes as demonstrations of one of our tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsample_bringup.dataset import lerobot_format as fmt
from worldsample_bringup.dataset.lerobot_format import DatasetInfo
from worldsample_bringup.dataset.lerobot_reader import (
    Columns,
    episode_rows,
    origin_files,
    read_columns,
    read_pictures,
)
from worldsample_bringup.dataset.name_mapping import Element, NameMapping, Unit
from worldsample_bringup.dataset.recorded_episode import RecordedEpisode
from worldsample_core.config import ConfigError, TaskConfig
from worldsample_core.messages.images import Crop, to_training_size
from worldsample_core.observation import GRIPPER, VIEWS, InvalidObservation, clean_action
from worldsample_core.settings import CamerasConfig

ROOM = 0.05
"""Distance by which a position may leave the workspace box, m: an arm that is pushed leaves it a little."""


class LerobotDemonstrations:
    """Episodes of a dataset, seen as one task's.

    Args:
        info: the dataset.
        mapping: where our cameras and numbers stand in it.
        task: the task that the demonstrations show.
        image_size: side of the images, pixels.
        cameras: their regions of interest, for datasets of others; None: none.
        unit: unit of the dataset's actions: "normalised" (-1 .. 1), or "si" (m and rad per control step).

    Raises:
        ConfigError: the dataset has another rate than the task, or cannot be read.
    """

    def __init__(
        self,
        info: DatasetInfo,
        mapping: NameMapping,
        task: TaskConfig,
        image_size: int,
        unit: Unit,
        cameras: CamerasConfig | None = None,
    ) -> None:
        rate = 1.0 / task.control_period
        if abs(info.fps - rate) > 1e-6:
            raise ConfigError(
                f"the dataset has {info.fps} frames per second, the task {task.name} acts {rate:g} times per "
                "second: an action means another motion then. Record at that rate, or set "
                f"task.control_period={1 / info.fps:.4g} and task.action_scale to fit"
            )
        self.info, self.mapping, self.task, self.size, self.unit = info, mapping, task, image_size, unit
        self.rows = episode_rows(info)
        self.crops: dict[str, Crop | None] = dict.fromkeys(mapping.cameras)
        ours = origin_files(info.root)  # those were cropped when they were recorded
        if cameras is not None and not ours:
            views = zip(mapping.cameras, VIEWS, strict=True)
            self.crops = {camera: cameras.calibration(view).crop for camera, view in views}
        self.final: dict[str, NDArray[Any]] = {}
        if ours:
            from safetensors.numpy import load_file

            shown = json.loads((info.root / fmt.ORIGIN).read_text()).get("task")
            if shown != task.name:
                raise ConfigError(f"{info.root} shows the task {shown}, not {task.name}")
            self.final = load_file(info.root / fmt.FINAL_OBSERVATIONS)

    def __len__(self) -> int:
        return len(self.rows)

    def explained(self) -> list[str]:
        """Lines for people: what is taken from where, and what is assumed."""
        if "next.success" in self.info.features:
            success = "next.success says which episodes succeeded"
        elif "next.reward" in self.info.features:
            success = "an episode whose last next.reward is positive succeeded"
        else:
            success = "nothing says which episodes succeeded: all are taken as successes"
        end = "" if self.final else "; the last frame of an episode is what its last action led to"
        return [*self.mapping.explained(), f"  end     {success}{end}"]

    def __iter__(self) -> Iterator[RecordedEpisode]:
        """Each episode. Raises :class:`ConfigError` where its numbers cannot be those of the task."""
        for row in self.rows:
            yield self._episode(row)

    def _episode(self, row: dict[str, Any]) -> RecordedEpisode:
        columns, number = read_columns(self.info, row), int(row["episode_index"])
        views = [
            np.stack([self._picture(image, camera) for image in read_pictures(self.info, row, camera)])
            for camera in self.mapping.cameras
        ]
        images, proprio = np.stack(views, 1), self._proprio(columns)
        last_image, last_proprio = (self.final.get(f"{number}.{name}") for name in ("images", "proprio"))
        if last_image is not None and last_proprio is not None and last_proprio.shape == proprio.shape[1:]:
            pictures = [self._picture(image, "side") for image in last_image]
            images = np.concatenate([images, np.stack(pictures)[None]])
            proprio = np.concatenate([proprio, last_proprio[None].astype(np.float32)])
        steps = len(images) - 1
        if steps < 1:
            raise ConfigError(f"{self.info.root}: episode {number} has one frame; a control step needs two")
        self._check_positions(proprio, number)
        success = self._success(columns, steps)
        over = np.arange(steps) == steps - 1
        failed = "next.truncated" in columns and not columns["next.truncated"][-1] and not success[-1]
        rewards = columns.get("next.reward", np.zeros(0))[:steps].astype(np.float32)
        flags = columns.get("is_intervention", np.zeros(steps, np.bool_))[:steps].astype(np.bool_)
        return RecordedEpisode(
            images,
            proprio,
            self._actions(columns, number)[:steps],
            rewards if rewards.any() else success.astype(np.float32),
            terminated=over & (success | failed),
            truncated=over & ~(success | failed),
            success=success,
            intervention=flags,
            period=self.task.control_period,
        )

    def _picture(self, image: NDArray[np.uint8], camera: str) -> NDArray[np.uint8]:
        try:
            return to_training_size(image, self.size, self.crops.get(camera))
        except InvalidObservation as error:
            raise ConfigError(f"{camera}: {error}; choose a smaller one with --image-size") from error

    def _vector(self, columns: Columns, elements: tuple[Element | None, ...]) -> NDArray[np.float32]:
        length = len(next(iter(columns.values())))
        numbers = np.zeros((length, len(elements)), np.float32)
        for place, element in enumerate(elements):
            if element is not None and element.feature:
                if element.feature not in columns:
                    raise ConfigError(f"{self.info.root}: the column {element.feature!r} is missing")
                numbers[:, place] = columns[element.feature].reshape(length, -1)[:, element.index]
        return numbers

    def _proprio(self, columns: Columns) -> NDArray[np.float32]:
        """``(T, 10)``; a velocity that the dataset lacks is the difference of two positions."""
        proprio = self._vector(columns, self.mapping.state)
        for axis, element in enumerate(self.mapping.state[7:]):
            if element is None:
                proprio[1:, 7 + axis] = np.diff(proprio[:, axis]) / self.task.control_period
        return proprio

    def _actions(self, columns: Columns, number: int) -> NDArray[np.float32]:
        actions = self._vector(columns, self.mapping.action)
        if self.unit == "si":
            actions[:, :GRIPPER] /= self.task.scale[:GRIPPER]
        where = f"{self.info.root}: episode {number}"
        frame, axis = np.unravel_index(np.abs(actions).argmax(), actions.shape)
        if abs(actions[frame, axis]) > 1 + 1e-4:
            raise ConfigError(
                f"{where}, frame {frame}: the action {fmt.ACTION_NAMES[axis]} is {actions[frame, axis]:.4g}, "
                f"outside [-1, 1]. In what unit is it? Normalised: 1 is {self.task.action_scale[axis]:g} per "
                "control step. In m and rad per control step: --action-unit si"
            )
        unused = np.flatnonzero(~self.task.active_mask & (np.abs(actions).max(0) > 1e-3))
        if len(unused):
            raise ConfigError(
                f"{where} moves in {', '.join(fmt.ACTION_NAMES[axis] for axis in unused)}, which "
                f"{self.task.name} does not use: the arm would not repeat this demonstration. Leave it out "
                f"with --map action.{fmt.ACTION_NAMES[unused[0]]}=none if that does not matter"
            )
        cleaned = np.stack([clean_action(action, self.task.active_mask) for action in actions])
        cleaned[:, GRIPPER] = np.rint(cleaned[:, GRIPPER])
        return cleaned

    def _success(self, columns: Columns, steps: int) -> NDArray[np.bool_]:
        """``(T,)``: True in the last step of an episode that succeeded."""
        if "next.success" in columns:
            succeeded = bool(columns["next.success"].any())
        elif "next.reward" in columns:
            succeeded = bool(columns["next.reward"][-1] > 0)
        else:
            succeeded = True
        success = np.zeros(steps, np.bool_)
        success[-1] = succeeded
        return success

    def _check_positions(self, proprio: NDArray[np.float32], number: int) -> None:
        low, high = np.array(self.task.box_low) - ROOM, np.array(self.task.box_high) + ROOM
        outside = (proprio[:, :3] < low) | (proprio[:, :3] > high)
        if outside.any():
            frame, axis = np.argwhere(outside)[0]
            raise ConfigError(
                f"{self.info.root}: episode {number}, frame {frame}: {'xyz'[axis]} is "
                f"{proprio[frame, axis]:.3f}; the workspace of {self.task.name} is "
                f"{self.task.box_low[axis]:g} .. {self.task.box_high[axis]:g} m in base_link. Is it the "
                "position of the end effector, in m?"
            )
