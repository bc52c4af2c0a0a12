"""The stream of targets: from where the arm is to where it should be, within velocity and acceleration.

Two layers. The Cartesian one moves a pose towards the goal pose without leaving the workspace; inverse
kinematics turns it into joint angles; the joint layer follows them exactly where that is within the joints'
limits, and otherwise brakes as it must. What leaves :meth:`TargetStream.step` obeys the joint limits always.
"""

from __future__ import annotations

import numpy as np

from a1x_driver.braking import approach, braking_velocity
from a1x_driver.driver_config import Limits
from worldsample_core.arm.a1x_inverse_kinematics import solve_pose
from worldsample_core.arm.a1x_kinematics import (
    JOINT_HIGH,
    JOINT_LOW,
    Array,
    forward_kinematics,
    pose_and_jacobian,
)
from worldsample_core.arm.rotation import matrix_to_rotvec, rotvec_to_matrix

REACH = 0.0005
"""Error that inverse kinematics may leave: m + 0.1 rad."""
BEHIND = 0.05
"""rad; the pose waits while the joints are further behind it."""


class TargetStream:
    """State of the stream. All times in s, lengths in m, angles in rad, frames base_link.

    Attributes:
        joints, velocity: (6,), the newest target. position (3,), rotation (3, 3): the pose that it follows.
        unreachable: the last step met a pose out of reach, or a joint limit, and stays beside or before it.
    """

    def __init__(self, limits: Limits, joints: Array) -> None:
        self._fastest = np.array(limits.joint_velocity)
        self._acceleration = np.array(limits.joint_acceleration)
        self._linear = np.full(3, limits.linear_velocity), np.full(3, limits.linear_acceleration)
        self._angular = limits.angular_velocity, limits.angular_acceleration
        self._margin = limits.joint_margin
        self.anchor(joints)

    def anchor(self, joints: Array) -> None:
        """Start anew, at rest, from measured joint angles (6,): they are the first target."""
        self.joints, self.velocity = joints.copy(), np.zeros(6)
        # A joint that reads outside its limit is not thrown inside: its bound follows it in.
        self._low = np.minimum(JOINT_LOW + self._margin, joints)
        self._high = np.maximum(JOINT_HIGH - self._margin, joints)
        self.position, self.rotation = forward_kinematics(joints)
        self._moving, self._turning = np.zeros(3), np.zeros(3)
        self._reached = self.joints
        self.goal_position, self.goal_rotation = self.position, self.rotation
        self._path: tuple[Array, Array] | None = None
        self._progress, self._speed, self._share = 0.0, 0.0, 1.0
        self.unreachable = False

    def go_to_pose(self, position: Array, rotation: Array) -> None:
        """The goal from now on: a pose of gripper_link."""
        if self._path is not None:
            self.anchor(self.joints)
        self.goal_position, self.goal_rotation = position, rotation

    def go_to_joints(self, joints: Array, share: float) -> None:
        """The goal from now on: joint angles (6,), on a straight line, at ``share`` of the joints' limits."""
        self.anchor(self.joints)
        self._path = (self.joints, np.clip(joints, self._low, self._high))
        self._share = share

    def stop(self) -> None:
        """Brake, and stay where that ends."""
        if self._path is not None:
            start, goal = self._path
            room = self._speed**2 / (2.0 * self._path_limits()[1][0])
            end = min(1.0, self._progress + 1.05 * room)
            self._path = (start, start + (goal - start) * end)
            self._progress, self._speed = (self._progress / end, self._speed / end) if end > 0 else (1.0, 0.0)
            return
        linear, angular = self._linear[1], self._angular[1]
        room = np.sign(self._moving) * self._moving**2 / (2.0 * linear)
        self.goal_position = self.position + 1.05 * room
        speed = float(np.sqrt(self._turning @ self._turning))
        self.goal_rotation = rotvec_to_matrix(self._turning * (0.525 * speed / angular)) @ self.rotation

    @property
    def arrived(self) -> bool:
        """True if the target has reached the goal and is at rest."""
        if self._path is not None:
            return self._progress >= 1.0 and not np.any(self.velocity)
        turn = matrix_to_rotvec(self.goal_rotation @ self.rotation.T)
        return (
            float(np.abs(self.goal_position - self.position).max()) < 1e-4
            and float(np.abs(turn).max()) < 1e-3
            and float(np.abs(self.velocity).max()) < 1e-2
        )

    def within_reach(self, position: Array, rotation: Array) -> Array:
        """The part of a goal position that can be had: all of it, without its height, or only its height."""
        x, y, z = self.goal_position
        for place in (position, np.array([*position[:2], z]), np.array([x, y, position[2]])):
            _, error = solve_pose(place, rotation, self._reached, self._low, self._high, tolerance=1e-6)
            if error <= REACH:
                return place
        return self.goal_position

    def step(self, dt: float, low: Array, high: Array) -> Array:
        """The next target: joint angles (6,). dt: s. low, high: (3,) m, the position's bounds."""
        self._low = np.minimum(JOINT_LOW + self._margin, np.maximum(self._low, self.joints))
        self._high = np.maximum(JOINT_HIGH - self._margin, np.minimum(self._high, self.joints))
        if self._path is not None:
            wanted = self._along_path(dt)
        else:
            if float(np.abs(self._reached - self.joints).max()) < BEHIND:
                self._along_pose(dt, low, high)
            wanted = self._reached
        self._follow(wanted, dt)
        return self.joints

    def _path_limits(self) -> tuple[Array, Array]:
        assert self._path is not None
        length = np.maximum(np.abs(self._path[1] - self._path[0]), 1e-9)
        fastest = self._share * float(np.min(self._fastest / length))
        acceleration = self._share * float(np.min(self._acceleration / length))
        return np.array([fastest]), np.array([acceleration])

    def _along_path(self, dt: float) -> Array:
        assert self._path is not None
        start, goal = self._path
        at, speed = approach(
            np.array([self._progress]), np.array([self._speed]), np.ones(1), *self._path_limits(), dt
        )
        self._progress, self._speed = float(at[0]), float(speed[0])
        point: Array = goal if self._progress >= 1.0 else start + (goal - start) * self._progress
        return point

    def _along_pose(self, dt: float, low: Array, high: Array) -> None:
        (fast, gentle), (turn_fast, turn_gentle) = self._gentle()
        _, moving = approach(
            self.position, self._moving, self.goal_position, np.full(3, fast), np.full(3, gentle), dt
        )
        sudden = self._linear[1]
        up = braking_velocity(high - self.position, sudden, dt)
        down = braking_velocity(self.position - low, sudden, dt)
        moving = np.minimum(np.maximum(moving, -down), up)
        inside = np.minimum(np.maximum(self.position + moving * dt, low), high)
        near = (np.abs(self.goal_position - inside) < 1e-7) & (np.abs(moving) < gentle * dt)
        inside, moving = np.where(near, self.goal_position, inside), np.where(near, 0.0, moving)
        turn = matrix_to_rotvec(self.goal_rotation @ self.rotation.T)
        angle = float(np.sqrt(turn @ turn))
        limit = float(braking_velocity(np.array([angle]), np.array([turn_gentle]), dt)[0])
        change = turn * (min(turn_fast, limit) / angle if angle > 1e-9 else 0.0) - self._turning
        largest = float(np.sqrt(change @ change))
        turning = self._turning + change * min(1.0, turn_gentle * dt / max(largest, 1e-12))
        turned = rotvec_to_matrix(turning * dt) @ self.rotation if np.any(turning) else self.rotation
        if not np.any(moving) and not np.any(turning) and np.array_equal(inside, self.position):
            return
        x, y, z = self.position
        level, upright = np.array([inside[0], inside[1], z]), np.array([x, y, inside[2]])
        # At the edge of what can be reached the motion gives up height, xy, rotation, and then all.
        for place, rotation in (
            (inside, turned),
            (level, turned),
            (upright, turned),
            (inside, self.rotation),
        ):
            reached, error = solve_pose(
                place, rotation, self._reached, self._low, self._high, iterations=6, tolerance=1e-6
            )
            self.unreachable = error > REACH or place is not inside or rotation is not turned
            if error <= REACH:
                self._moving = np.where(place == inside, moving, 0.0)
                self._turning = turning if rotation is turned else np.zeros(3)
                self.position, self.rotation, self._reached = place, rotation, reached
                # What cannot be had is given up, so that the motion comes to an end.
                self.goal_position = np.where(place == inside, self.goal_position, place)
                self.goal_rotation = self.goal_rotation if rotation is turned else rotation
                return
        self._moving, self._turning = np.zeros(3), np.zeros(3)
        self.goal_position, self.goal_rotation = self.position, self.rotation

    def _gentle(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Velocity and acceleration, linear along each axis and angular, that the joints can follow here.

        They hold for every direction. Near a singularity a little way is a lot of joint motion.
        """
        _, _, jacobian = pose_and_jacobian(self._reached)
        gram = jacobian @ jacobian.T
        gram.flat[::7] += 1e-5
        inverse = np.abs(jacobian.T @ np.linalg.inv(gram))  # (6, 6): rad per m and per rad
        linear = inverse[:, :3].sum(axis=1)
        angular = np.sqrt((inverse[:, 3:] ** 2).sum(axis=1))
        turns = bool(np.any(self._turning)) or not np.array_equal(self.goal_rotation, self.rotation)
        share = 0.6 if turns else 1.0
        speed, push = 0.9 * float(np.min(self._fastest / linear)), float(np.min(self._acceleration / linear))
        spin, twist = float(np.min(self._fastest / angular)), float(np.min(self._acceleration / angular))
        return (
            (min(self._linear[0][0], share * speed), min(self._linear[1][0], 0.7 * share * push)),
            (min(self._angular[0], 0.35 * spin), min(self._angular[1], 0.25 * twist)),
        )

    def _follow(self, wanted: Array, dt: float) -> None:
        change = self._acceleration * dt
        up = braking_velocity(self._high - self.joints, self._acceleration, dt)
        down = braking_velocity(self.joints - self._low, self._acceleration, dt)
        exact = (wanted - self.joints) / dt
        if (
            np.all(np.abs(exact) <= self._fastest)
            and np.all(np.abs(exact - self.velocity) <= change)
            and np.all(exact <= up)
            and np.all(-exact <= down)
        ):
            self.joints, self.velocity = wanted, exact
            return
        ahead = wanted - self.joints
        braking = braking_velocity(np.abs(ahead), self._acceleration, dt)
        velocity = np.sign(ahead) * np.minimum(self._fastest, braking)
        velocity = np.minimum(np.maximum(velocity, self.velocity - change), self.velocity + change)
        self.velocity = np.minimum(np.maximum(velocity, -down), up)
        self.joints = self.joints + self.velocity * dt
