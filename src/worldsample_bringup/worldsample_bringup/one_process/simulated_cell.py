"""The simulated cell and its scripted operator, tick by tick, as the policy sees them through topics."""

from __future__ import annotations

import time

import numpy as np

from a1x_sim.cell import Cell
from a1x_sim.lockstep import LearnerPacing
from a1x_sim.operator_turns import OperatorTurns
from a1x_sim.sim_config import SimConfig
from a1x_sim.ticking_cell import FIRST_STAMP, TickingCell
from worldsample_core.arm.joint_reading import JointReading
from worldsample_core.arm.motion_command import Command
from worldsample_core.arm.rotation import matrix_to_quaternion
from worldsample_core.config import from_mapping
from worldsample_core.messages.training_pictures import TrainingPictures
from worldsample_core.node.stopping import RunFailed
from worldsample_core.observation import GRIPPER, Observation
from worldsample_core.settings import Settings
from worldsample_policy.acting.observation_assembly import OperatorInput, Tick
from worldsample_policy.acting.proprioception import Pose, Proprioception
from worldsample_policy.acting.rollout import Action

NEVER_HELD = 1 << 60
"""Real steps that the learner may be behind: here it never is, and the cell waits for nobody."""


class SimulatedCell:
    """Resets, gives ticks and executes actions; nothing waits.

    Args:
        settings: of a run in the simulated cell.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError, NoRenderer."""
        run = settings.run
        config = from_mapping(SimConfig, settings.sim, "sim")
        self._run, self._scale, self._pictures = run.name, settings.task.scale, TrainingPictures(settings)
        shape, lines = settings.camera_shape, config.rendered_lines
        cell = Cell(settings.task.name, shape, run.seed, settings.task, rendered_lines=lines)
        pacing = LearnerPacing(NEVER_HELD, config.learner_patience)
        self._ticks = TickingCell(cell, config, pacing, run.seed, FIRST_STAMP, time.monotonic())
        self._operator = OperatorTurns(settings)
        self._proprioception = Proprioception(settings.task.control_period)

    def reset(self, seed: int, mode: str, episode: int) -> None:
        """Start an episode."""
        now = time.monotonic()
        self._ticks.reset(self._run, seed, mode, episode, now, 0)
        self._ticks.release(now)
        self._proprioception.restart()

    def tick(self) -> Tick:
        """The control step's input. Once per step: the operator answers to it."""
        ticks = self._ticks
        position, rotation = ticks.cell.ee_pose()
        w, x, y, z = map(float, matrix_to_quaternion(rotation))
        pose = Pose(position, (x, y, z, w), ticks.stamp)
        proprio = self._proprioception.observe(pose, float(np.float32(ticks.cell.gripper()[0])))
        signal = self._operator.answer(ticks.state)
        operator = OperatorInput()
        if signal is not None:
            action = np.asarray(signal.action, np.float32)
            operator = OperatorInput(signal.active, action, signal.success, signal.failure, signal.abort)
        observation = Observation(
            self._pictures(ticks.observation.images), proprio, ticks.stamp * 1e-9
        ).validate()
        joints = JointReading.of(*ticks.cell.joint_states())
        return Tick(ticks.stamp, observation, operator, joints)

    def execute(self, action: Action) -> None:
        """Move for one control period. Raises :class:`RunFailed` where the cell refuses the command."""
        motion = (action * self._scale).astype(float)
        ticks, now = self._ticks, time.monotonic()
        command = Command(motion[:3], motion[3:6], int(action[GRIPPER]), "base_link", ticks.stamp)
        if problem := ticks.command(command, now):
            raise RunFailed(problem, "look at the task's action scale")
        ticks.release(now)

    def close(self) -> None:
        """Free the renderer."""
        self._ticks.cell.close()
