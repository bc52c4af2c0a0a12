"""Logs a finished run again from its folder: pictures of its episodes, its metrics, what was imagined."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import rerun as rr

from worldsample_bringup.dashboard.imagined import pictures
from worldsample_bringup.run.history import Record, read_records
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.viewer import entities
from worldsample_bringup.viewer.arm_scene import ArmScene, log_workspace
from worldsample_bringup.viewer.camera_frusta import log_frusta
from worldsample_bringup.viewer.curves import Curves
from worldsample_bringup.viewer.pictures import log_picture
from worldsample_bringup.viewer.recording import set_moment
from worldsample_core.arm.a1x_kinematics import forward_kinematics
from worldsample_core.arm.rotation import rotvec_to_matrix
from worldsample_core.episodes.episode_bag import DamagedBag, read_transitions
from worldsample_core.episodes.episode_store import bag_name, find_bags
from worldsample_core.observation import GRIPPER, VIEWS, InvalidObservation
from worldsample_core.transition import Transition


@dataclass
class Replayed:
    """Counts of what was logged.

    Attributes:
        episodes, steps: whose pictures were read.
        records: lines of ``metrics.jsonl``.
        imagined: pictures of real segments above their imagined twins.
        problems: episodes that could not be read, and why.
    """

    episodes: int = 0
    steps: int = 0
    records: int = 0
    imagined: int = 0
    problems: list[str] = field(default_factory=list)

    def in_words(self) -> str:
        """One line for people."""
        return (
            f"{self.episodes} episodes with {self.steps:,} steps, {self.records:,} records of metrics, "
            f"{self.imagined} pictures of the imagination"
        )


class RunReplay:
    """Logs one run.

    Args:
        run: its folder.
        stream: of the recording.
        told: called with a line of progress, often.

    Raises:
        ConfigError: its config.yaml cannot be used.
    """

    def __init__(
        self, run: RunFolder, stream: rr.RecordingStream, told: Callable[[str], None] = lambda line: None
    ) -> None:
        self._run, self._stream, self._told = run, stream, told
        self._settings = run.settings()
        counts = (self._settings.run.eval_episodes, self._settings.run.final_eval_episodes)
        self._curves = Curves(stream, counts)
        self._arm = ArmScene(stream)
        self._done = Replayed()
        self._driver = ""
        self._reset_rotation = forward_kinematics(np.asarray(self._settings.task.reset_joints))[1]

    def log(self) -> Replayed:
        """Log everything, and return how much it was."""
        log_workspace(self._stream, self._settings.task.box_low, self._settings.task.box_high)
        log_frusta(self._stream, self._settings, trained_on=True)
        records = list(read_records(self._run.metrics))
        begin = _began(records, self._run.config.stat().st_mtime)
        for record in records:
            if record["kind"] != "start":
                set_moment(self._stream, begin + float(record.get("t", 0.0)), _steps(record))
                self._curves.take(record)
            self._done.records += 1
        self._log_episodes(begin, records)
        self._log_imagined(begin, records)
        return self._done

    def _log_episodes(self, begin: float, records: Iterable[Record]) -> None:
        bags = {bag.name: bag for bag in find_bags(self._run.path)}
        recorded = [
            record for record in records if record["kind"] == "episode" and record["episode_kind"] != "eval"
        ]
        before = 0.0
        for number, record in enumerate(recorded):
            bag = bags.get(bag_name(record["episode"]))
            ended = float(record.get("t", 0.0))
            if bag is None:
                continue
            self._told(f"episode {number + 1} of {len(recorded)}")
            try:
                steps = list(read_transitions(bag))
            except (DamagedBag, InvalidObservation, OSError) as problem:
                self._done.problems.append(f"{bag.name}: {problem}")
                continue
            since = max(before, ended - len(steps) * self._settings.task.control_period)
            self._log_steps(steps, begin + since, begin + ended, record)
            before = ended
            self._done.episodes += 1

    def _log_steps(self, steps: list[Transition], since: float, until: float, record: Record) -> None:
        """Log an episode's steps, evenly between two times."""
        training = record["episode_kind"] == "train"
        first = record["real_steps"] - len(steps) if training else record["real_steps"]
        for number, step in enumerate(steps, start=1):
            moment = since + (until - since) * number / len(steps)
            set_moment(self._stream, moment, max(0, first + number) if training else first)
            for index, view in enumerate(VIEWS):
                log_picture(self._stream, entities.CAMERAS[view], step.next_observation.images[index])
            self._log_arm(step)
            driver = "operator" if step.intervention or step.source == "demo" else "policy"
            if driver != self._driver:
                self._driver = driver
                self._stream.log(entities.DRIVER, rr.StateChange(state=driver))
        self._done.steps += len(steps)

    def _log_arm(self, step: Transition) -> None:
        """Log what a step's action asked for, and where the arm was after it."""
        task, numbers = self._settings.task, step.next_observation.proprio.astype(float)
        move = step.action[:GRIPPER] * np.asarray(task.action_scale[:GRIPPER])
        self._arm.command(move[:3], move[3:], int(step.action[GRIPPER]))
        self._arm.gripper(numbers[:3], rotvec_to_matrix(numbers[3:6]) @ self._reset_rotation)
        self._arm.joints_for_gripper(float(numbers[6]), task.reset_joints)

    def _log_imagined(self, begin: float, records: Iterable[Record]) -> None:
        times = {
            int(record["real_steps"]): float(record.get("t", 0.0))
            for record in records
            if _steps(record) is not None
        }
        passed = sorted(times.items())
        for path, figures in pictures(self._run.imagined):
            place = bisect.bisect_left([steps for steps, _ in passed], figures.real_steps)
            at = passed[min(place, len(passed) - 1)][1] if passed else 0.0
            set_moment(self._stream, begin + at, figures.real_steps)
            image = rr.EncodedImage(contents=path.read_bytes(), media_type="image/png")
            self._stream.log(entities.COMPARISON, image)
            self._done.imagined += 1


def _began(records: Iterable[Record], otherwise: float) -> float:
    """Seconds since 1970 at which the run began."""
    for record in records:
        if record["kind"] == "start":
            try:
                return datetime.fromisoformat(record["utc"]).timestamp() - float(record.get("t", 0.0))
            except ValueError:
                break
    return otherwise


def _steps(record: Record) -> int | None:
    """The real steps that a record names; None where it names none."""
    steps = record.get("real_steps")
    return steps if isinstance(steps, int) and not isinstance(steps, bool) else None
