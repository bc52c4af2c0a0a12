"""Settings of the real cell: section ``driver`` of a run's configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from a1x_driver.vendor_config import (
    ErrorBits,
    FunctionCodes,
    GripperRange,
    Sdk,
    VendorTopics,
    resolved_codes,
)
from worldsample_core.arm.command_law import DRIVER_MAX_LEAD
from worldsample_core.config import ConfigError, TaskConfig
from worldsample_core.units import (
    Metres,
    MetresPerSecond,
    MetresPerSecond2,
    PerSecond,
    Pixels,
    Radians,
    RadiansPerSecond,
    RadiansPerSecond2,
    Seconds,
)

Rate = RadiansPerSecond
Acceleration = RadiansPerSecond2
SixRates = tuple[Rate, Rate, Rate, Rate, Rate, Rate]
SixAccelerations = tuple[Acceleration, Acceleration, Acceleration, Acceleration, Acceleration, Acceleration]


@dataclass(frozen=True)
class Limits:
    """Limits of the arm, whatever the policy says."""

    joint_velocity: SixRates = (2.0, 2.0, 2.0, 3.0, 3.0, 3.0)
    """Largest speed of each joint; the vendor's caps are 3, 3, 3, 5, 5, 5."""
    joint_acceleration: SixAccelerations = (30.0, 30.0, 30.0, 50.0, 50.0, 50.0)
    """Largest acceleration of each joint."""
    joint_margin: Radians = 0.01
    """Distance kept from the joint limits."""
    rest_tolerance: Radians = 0.06
    """Distance outside its limits at which a joint may rest without a fault (joint 3 reads +1.5 deg)."""
    linear_velocity: MetresPerSecond = 0.2
    """Largest speed of the end effector along each axis."""
    linear_acceleration: MetresPerSecond2 = 2.0
    """Largest acceleration of the end effector along each axis."""
    angular_velocity: RadiansPerSecond = 1.2
    """Largest speed of the end effector's rotation about each axis."""
    angular_acceleration: RadiansPerSecond2 = 6.0
    """Largest acceleration of the end effector's rotation about each axis."""
    max_translation: Metres = 0.015
    """Largest translation of one command, per axis: a task cannot ask for more."""
    max_rotation: Radians = 0.15
    """Largest rotation of one command, per axis: a task cannot ask for more."""
    max_tilt: Radians = 0.6
    """Largest angle from the reset orientation."""
    max_lead: Metres = DRIVER_MAX_LEAD
    """Largest lead of the commanded position over the measured one; it bounds contact forces."""
    catch_up: RadiansPerSecond = 0.05
    """Speed of each joint, beyond its target's own, at which the arm may catch up with its target. The
    vendor's controller gets the sum as the joint's largest speed."""
    tracking_error: Radians = 0.3
    """Difference between target and feedback beyond which the arm counts as blocked."""
    slip: Radians = 0.03
    """Motion of a joint away from its target (pushed, sagging, without power) after which the target is set
    anew at the measured pose."""
    slip_distance: Metres = 0.004
    """Such motion of the end effector. An arm that follows with a lag of 0.05 s comes back from it at 0.08
    m/s."""
    slip_fault: Radians = 0.1
    """Such motion within a short time after which the arm is stopped and the driver says so."""

    def __post_init__(self) -> None:
        caps = (3.0, 3.0, 3.0, 5.0, 5.0, 5.0)
        if any(not 0 < speed <= cap for speed, cap in zip(self.joint_velocity, caps, strict=True)):
            raise ValueError(f"joint_velocity must be positive and at most the vendor's {caps}")
        positive = (
            *self.joint_acceleration,
            self.linear_velocity,
            self.linear_acceleration,
            self.angular_velocity,
            self.angular_acceleration,
            self.max_translation,
            self.max_rotation,
            self.max_tilt,
            self.max_lead,
            self.tracking_error,
            self.catch_up,
            self.slip,
            self.slip_distance,
            self.slip_fault,
        )
        if min(positive) <= 0 or self.joint_margin < 0 or self.rest_tolerance < 0:
            raise ValueError("velocities, accelerations and sizes must be positive")
        if not all(map(math.isfinite, (*positive, self.joint_margin, self.rest_tolerance))):
            raise ValueError("velocities, accelerations and sizes must be finite: they limit the arm")
        if self.max_tilt > 3.0:
            raise ValueError("max_tilt must be below half a turn (3 rad): a rotation vector ends there")


@dataclass(frozen=True)
class Watchdog:
    """Times after which something counts as lost."""

    command: Seconds = 0.3
    """Without a command for this time the arm holds its pose; also, a pause after which it starts from the
    measured pose again."""
    command_age: Seconds = 0.5
    """A command that answers an observation older than this is refused."""
    feedback: Seconds = 0.1
    """Without arm feedback for this time the arm is stopped, and the driver says so."""
    recovery: Seconds = 0.3
    """Time for which feedback must be back before the arm may move again."""
    blocked: Seconds = 0.5
    """Time for which the arm may fail to follow."""
    frozen: Seconds = 0.1
    """Time for which the arm's reading may stay the same, to the bit, while its target moves. After an
    emergency stop the vendor's driver repeats one reading at the usual rate."""
    answer: Seconds = 3.0
    """Time for the arm's answer to a function call."""

    def __post_init__(self) -> None:
        times = (self.command, self.command_age, self.feedback, self.recovery, self.blocked)
        if min(*times, self.frozen, self.answer) <= 0:
            raise ValueError("the watchdog's times must be positive")
        if not all(map(math.isfinite, times)):
            raise ValueError("the watchdog's times must be finite: without them nothing stops the arm")


@dataclass(frozen=True)
class ResetMotion:
    """The way to the task's reset pose: straight up, over, down."""

    speed: float = 0.3
    """Fraction of the limits' joint velocity."""
    lift: Metres = 0.06
    """Height above the reset pose, as far as it can be reached."""
    clearance: Metres = 0.01
    """Largest distance below the lower end of the workspace box at which the way may lead."""
    table: Metres = 0.0
    """Height of the table in base_link; the fingertips stay above it."""
    gripper_wait: Seconds = 0.5
    """Time for the gripper before the arm moves."""
    tolerance: Radians = 0.03
    """Largest error of each joint at the end."""
    settle: Seconds = 0.2
    """Time for which the joints must be within the tolerance."""
    timeout: Seconds = 40.0
    """Time for the whole way."""
    patience: Seconds = 3.0
    """Time for what forbids the way to pass, e.g. feedback that has just come back."""

    def __post_init__(self) -> None:
        if not 0.0 < self.speed <= 1.0 or min(self.tolerance, self.timeout) <= 0:
            raise ValueError("reset.speed is in (0, 1], tolerance and timeout are positive")
        if min(self.lift, self.clearance) < 0:
            raise ValueError("reset.lift and clearance must not be negative: the way would lead down")
        if not all(map(math.isfinite, (self.lift, self.clearance, self.table, self.timeout))):
            raise ValueError("lift, clearance, table and timeout of the reset must be finite")


@dataclass(frozen=True)
class CameraNodes:
    """The nodes that publish the two camera topics."""

    source: Literal["realsense", "external"] = "realsense"
    """realsense: a realsense2_camera node for each view is started; external: somebody else publishes."""
    side_serial: str = ""
    """Serial number of the side view's RealSense camera."""
    wrist_serial: str = ""
    """Serial number of the wrist view's RealSense camera."""
    profile: str = "640x480x30"
    """Profile of the colour stream, width x height x frames per second. Depth stays off: two cameras with
    depth do not keep 30 fps on one bus (realsense-ros#3494)."""
    auto_exposure: bool = True
    """The colour sensor chooses its exposure itself."""


@dataclass(frozen=True)
class StandIns:
    """The cell without a cell (``driver.standin=true``), for tests."""

    person: bool = True
    """Also start a stand-in of a person, who shows a motion with a gamepad and presses success."""
    width: Pixels = 128
    """Width of the stand-in cameras' images."""
    height: Pixels = 96
    """Height of the stand-in cameras' images."""
    rate: PerSecond = 20.0
    """Frames per second of the stand-in cameras."""


@dataclass(frozen=True)
class DriverConfig:
    """Section ``driver``."""

    standin: bool = False
    """Start stand-ins of arm, cameras and person in place of hardware."""
    topics: VendorTopics = field(default_factory=VendorTopics)
    """The vendor's topics."""
    sdk: Sdk = "a1x_2"
    """Version of the vendor's SDK, for the codes of its functions."""
    functions: Literal["topic", "service", "none"] = "service"
    """Channel of enable and clear: a service, whose answer is awaited; a topic, which gives no answer; or
    none: they are done with the vendor's own tool."""
    codes: FunctionCodes = field(default_factory=FunctionCodes)
    """Codes of the arm's functions."""
    errors: ErrorBits = field(default_factory=ErrorBits)
    """Meaning of the arm's error codes."""
    gripper: GripperRange = field(default_factory=GripperRange)
    """Numbers of the gripper's topics."""
    ik: Literal["own", "vendor"] = "own"
    """own: joint targets by our inverse kinematics; vendor: poses for the vendor's. Limits hold in both."""
    gripper_interface: Literal["joint_state", "float32"] = "joint_state"
    """Type of the gripper's target topic."""
    enable_on_reset: bool = True
    """A reset enables the arm, unless a person has disabled it."""
    stream_rate: PerSecond = 100.0
    """Targets per second."""
    state_rate: PerSecond = 50.0
    """Largest number of states (poses, joints) per second."""
    gripper_speed: PerSecond = 2.5
    """Largest speed of the gripper's target, full strokes per second."""
    limits: Limits = field(default_factory=Limits)
    """Limits of the arm."""
    watchdog: Watchdog = field(default_factory=Watchdog)
    """Times after which something counts as lost."""
    reset: ResetMotion = field(default_factory=ResetMotion)
    """The way to the reset pose."""
    cameras: CameraNodes = field(default_factory=CameraNodes)
    """The nodes that publish the camera topics."""
    standins: StandIns = field(default_factory=StandIns)
    """The stand-ins."""

    def __post_init__(self) -> None:
        if not 20.0 <= self.stream_rate <= 500.0 or self.state_rate <= 0 or self.gripper_speed <= 0:
            raise ValueError("stream_rate is 20 .. 500 Hz; state_rate and gripper_speed are positive")
        resolved_codes(self.sdk, self.codes)


def check_task(config: DriverConfig, task: TaskConfig) -> None:
    """Raises :class:`ConfigError` where a task asks for more than the arm's limits allow."""
    limits = config.limits
    steps = [scale for scale, used in zip(task.action_scale[:6], task.active[:6], strict=True) if used]
    caps = [limits.max_translation] * 3 + [limits.max_rotation] * 3
    caps = [cap for cap, used in zip(caps, task.active[:6], strict=True) if used]
    if any(step > cap + 1e-9 for step, cap in zip(steps, caps, strict=True)):
        raise ConfigError(
            f"task.action_scale {list(task.action_scale[:6])} is more than one command may move the arm "
            f"(driver.limits.max_translation {limits.max_translation} m, max_rotation {limits.max_rotation} "
            "rad): lower the first, or raise the second"
        )
    fastest = max(task.action_scale[:3]) / task.control_period
    if any(task.active[:3]) and fastest > limits.linear_velocity:
        raise ConfigError(
            f"task.action_scale asks for {fastest:.2f} m/s, driver.limits.linear_velocity allows "
            f"{limits.linear_velocity} m/s: the arm would fall behind its commands"
        )
