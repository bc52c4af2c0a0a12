"""The simulated cell without ROS: reset, step, observe."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from a1x_sim.cameras import Cameras
from a1x_sim.inverse_kinematics import InverseKinematics
from a1x_sim.scene import TIMESTEP, build_model
from a1x_sim.tasks import make_task
from a1x_sim.tasks.base import State, Task
from worldsample_core.arm.a1x_kinematics import ARM_JOINT_NAMES, FINGER_JOINT_NAMES, FINGER_STROKE
from worldsample_core.arm.command_law import MAX_LEAD, REACH_TOLERANCE
from worldsample_core.arm.rotation import matrix_to_rotvec, rotvec_to_matrix
from worldsample_core.config import TaskConfig
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import GRIPPER, Observation, clean_action

Array = NDArray[np.float64]

CHUNK = 0.01  # s of physics between updates of the joint targets and of the task's friction
GRIPPER_SPEED = 0.25  # opening per control step


class Cell:
    """A1X arm, table, two cameras and one task's objects, stepped one control period at a time.

    Deterministic: equal seeds and actions give equal observations. To be used in the thread that made it.
    """

    def __init__(
        self,
        task: str | Task,
        image_size: int | tuple[int, int] = 64,
        seed: int = 0,
        config: TaskConfig | None = None,
        render: bool = True,
        rendered_lines: int = 256,
    ) -> None:
        """Build the cell of ``task``: a name, with a run's own ``config`` if given, or a Task.

        ``image_size`` is a side or (height, width), pixels; without ``render`` images are zeros.
        ``rendered_lines``: see :class:`a1x_sim.cameras.Cameras`.

        Raises:
            ConfigError: unknown task. NoRenderer: OpenGL is missing.
        """
        self.task = make_task(task, config) if isinstance(task, str) else task
        self.config = self.task.config
        self.model = build_model(self.task)
        self.data = mujoco.MjData(self.model)
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self._image_shape = (2, height, width, 3)
        self._cameras = Cameras(self.model, height, width, rendered_lines) if render else None
        self._kinematics = InverseKinematics()
        self._ee = self.model.body("gripper_link").id
        self._chunks = round(self.config.control_period / CHUNK)
        self._chunk_steps = round(CHUNK / TIMESTEP)
        self._low, self._high = np.asarray(self.config.box_low), np.asarray(self.config.box_high)
        self._scale = np.asarray(self.config.action_scale, np.float64)
        self._active = self.config.active_mask
        self._lights = (
            self.model.light_diffuse.copy(),
            self.model.light_dir.copy(),
            self.model.vis.headlight.diffuse.copy(),
            self.model.vis.headlight.ambient.copy(),
        )
        names = (*ARM_JOINT_NAMES, *FINGER_JOINT_NAMES)
        self._qpos = np.array([self.model.joint(name).qposadr[0] for name in names])
        self._dofs = np.array([self.model.joint(name).dofadr[0] for name in names])
        self.task.bind(self.model)
        self.home, self.reset_rotation = self._kinematics.pose(np.asarray(self.config.reset_joints))
        self.at_box_limit = self.at_joint_limit = False
        self.reset(seed)

    # -- episode --

    @cpu_piece("physics")
    def reset(self, seed: int) -> Observation:
        """Start an episode: everything random in it is drawn from ``seed``."""
        rng = np.random.default_rng(seed)
        mujoco.mj_resetData(self.model, self.data)
        self._light(rng)
        self.task.randomise(self.model, self.data, rng)
        start = np.clip(self.home + self.task.start_offset(rng), self._low, self._high)
        joints, _ = self._kinematics.solve(start, self.reset_rotation, np.asarray(self.config.reset_joints))
        opening = self.config.reset_gripper * FINGER_STROKE
        self.data.qpos[self._qpos] = [*joints, opening, -opening]
        self._target, self._turn = start, np.eye(3)
        self._joint_target, self._opening = joints, self.config.reset_gripper
        self._gripper_goal = self._opening
        self.data.ctrl[:] = [*joints, opening]
        self._held, self.success, self.steps = 0, False, 0
        mujoco.mj_forward(self.model, self.data)
        self.at_box_limit = self.at_joint_limit = False
        return self._observe(self.ee_pose()[0])

    def step(self, action: ArrayLike) -> Observation:
        """Advance one control period with a normalised action (7,) in [-1, 1].

        Raises:
            InvalidObservation: wrong shape or non-finite values; nothing moves then.
        """
        motion = clean_action(np.asarray(action), self._active).astype(np.float64) * self._scale
        return self.move(motion[:3], motion[3:6], int(np.sign(np.rint(motion[GRIPPER]))))

    @cpu_piece("physics")
    def move(self, translation: Array, rotation: Array, gripper: int) -> Observation:
        """Advance one control period with a physical motion: m (3,), rad (3,), gripper -1, 0 or 1."""
        at, _ = self.ee_pose()
        wanted = self._target + translation
        lead = wanted - at
        distance = float(np.sqrt(lead @ lead))
        if distance > MAX_LEAD + float(np.abs(self._scale[:3]).max()):
            wanted = at + lead * ((MAX_LEAD + float(np.abs(self._scale[:3]).max())) / distance)
        target = np.clip(wanted, self._low, self._high)
        self.at_box_limit = bool(np.any(np.abs(target - wanted) > 1e-9))
        turn = matrix_to_rotvec(rotvec_to_matrix(rotation) @ self._turn)
        angle = float(np.sqrt(turn @ turn))
        if angle > self.task.rotation_limit:
            turn *= self.task.rotation_limit / angle
            self.at_box_limit = True
        turned = rotvec_to_matrix(turn)
        joints = self._reach(target, turned)
        if gripper:
            self._gripper_goal = 0.0 if gripper < 0 else 1.0
        self._opening += float(np.clip(self._gripper_goal - self._opening, -GRIPPER_SPEED, GRIPPER_SPEED))
        first = self.data.ctrl.copy()
        last = np.array([*joints, self._opening * FINGER_STROKE])
        for chunk in range(1, self._chunks + 1):
            self.data.ctrl[:] = first + (last - first) * min(1.0, chunk / (self._chunks - 2))
            self.task.before_physics(self.model, self.data)
            mujoco.mj_step(self.model, self.data, nstep=self._chunk_steps)
        self._joint_target = joints
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self.steps += 1
        self._held = self._held + 1 if self.task.solved(self._state()) else 0
        self.success = self._held >= self.task.hold_steps
        return self._observe(at)

    # -- what can be known --

    @property
    def time(self) -> float:
        """Simulated time since reset, s."""
        return float(self.data.time)

    @property
    def commanded_position(self) -> Array:
        """(3,) m: what the actions so far have commanded."""
        return self._target.copy()

    def ee_pose(self) -> tuple[Array, Array]:
        """Position (3,) m and rotation (3, 3) of gripper_link in base_link, as simulated."""
        return self.data.xpos[self._ee].copy(), self.data.xmat[self._ee].reshape(3, 3).copy()

    def joint_states(self) -> tuple[tuple[str, ...], Array, Array]:
        """Names, positions (8,) and velocities (8,) of the arm's and fingers' joints; rad, m, per second."""
        names = (*ARM_JOINT_NAMES, *FINGER_JOINT_NAMES)
        return names, self.data.qpos[self._qpos].copy(), self.data.qvel[self._dofs].copy()

    def intrinsics(self, view: str) -> float:
        """Focal length of a view, pixels (square pixels, centred)."""
        fovy = float(self.model.cam_fovy[self.model.camera(view).id])
        return 0.5 * self._image_shape[1] / float(np.tan(np.radians(fovy) / 2))

    def gripper(self) -> tuple[float, float]:
        """Opening 0 closed .. 1 open, and its speed per second."""
        opening, speed = self.data.qpos[self._qpos[6]], self.data.qvel[self._dofs[6]]
        return float(np.clip(opening / FINGER_STROKE, 0.0, 1.0)), float(speed / FINGER_STROKE)

    def state(self) -> State:
        """Privileged truth for the scripted operator and for people; never for the policy."""
        return {**self._state(), "success": float(self.success)}

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        """Both views at another size, ``(2, H, W, 3) uint8``; slow, for people."""
        cameras = Cameras(self.model, height, width)
        images = cameras.render(self.data)
        cameras.close()
        return images

    def close(self) -> None:
        """Free the renderer."""
        if self._cameras is not None:
            self._cameras.close()
            self._cameras = None

    # -- parts --

    def _reach(self, target: Array, turned: Array) -> Array:
        """Joint targets (6,) for a commanded pose; out of reach, it gives up height, xy, rotation, all."""
        x, y, z = self._target
        self.at_joint_limit = False
        for position, turn in (
            (target, turned),
            (np.array([target[0], target[1], z]), turned),
            (np.array([x, y, target[2]]), turned),
            (target, self._turn),
        ):
            joints, error = self._kinematics.solve(position, turn @ self.reset_rotation, self._joint_target)
            if error < REACH_TOLERANCE:
                self._target, self._turn = position, turn
                return joints
            self.at_joint_limit = True
        return self._joint_target

    def _state(self) -> State:
        x, y, z = (float(value) for value in self.data.xpos[self._ee])
        common = {"ee_x": x, "ee_y": y, "ee_z": z, "gripper": self.gripper()[0], "time": self.time}
        return {**common, **self.task.state(self.model, self.data)}

    def _observe(self, before: Array) -> Observation:
        """The observation of this moment.

        Args:
            before: position of the end effector one control period earlier. The velocity is the
                difference, which can be known of a real arm, too.
        """
        position, rotation = self.ee_pose()
        velocity = (position - before) / self.config.control_period
        turn = matrix_to_rotvec(rotation @ self.reset_rotation.T)
        proprio = np.array([*position, *turn, self.gripper()[0], *velocity], np.float32)
        images = (
            np.zeros(self._image_shape, np.uint8)
            if self._cameras is None
            else self._cameras.render(self.data)
        )
        return Observation(images, proprio, self.time)

    def _light(self, rng: np.random.Generator) -> None:
        diffuse, direction, head, ambient = self._lights
        model = self.model
        model.light_diffuse[:] = diffuse * rng.uniform(0.8, 1.2, (len(diffuse), 1))
        model.light_dir[:] = direction + rng.uniform(-0.15, 0.15, direction.shape)
        model.light_dir[:] /= np.linalg.norm(model.light_dir, axis=1, keepdims=True)
        model.vis.headlight.diffuse[:] = head * rng.uniform(0.8, 1.2)
        model.vis.headlight.ambient[:] = ambient * rng.uniform(0.9, 1.1)
