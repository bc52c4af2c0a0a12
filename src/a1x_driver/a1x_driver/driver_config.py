"""Settings of the real cell: section ``driver`` of a run's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from worldsample_core.arm.command_law import DRIVER_MAX_LEAD
from worldsample_core.config import ConfigError, TaskConfig

Six = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Topic:
    """A vendor topic and its QoS; notes of users differ, so every part is a setting.

    Attributes:
        name: of the topic. reliability, durability, depth: QoS on our side.
    """

    name: str
    reliability: Literal["reliable", "best_effort"] = "best_effort"
    durability: Literal["volatile", "transient_local"] = "volatile"
    depth: int = 5


@dataclass(frozen=True)
class VendorTopics:
    """The vendor's interface. A best-effort subscription hears both reliable and best-effort publishers; a
    reliable publisher is heard by both kinds of subscription.

    Attributes:
        feedback_arm: JointState, 6 joints (rad) or more. feedback_gripper: JointState, 0 closed .. 100 open.
        feedback_status: hdas_msg, errors.
        target_joints: JointState. target_pose: PoseStamped, for ``ik: vendor``.
        target_gripper: JointState or Float32, 0 .. 100.
        function_frame: hdas_msg, 1 enable, 2 disable, 3 calibrate, 4 clear errors: a topic or a service.
    """

    feedback_arm: Topic = field(default_factory=lambda: Topic("/hdas/feedback_arm"))
    feedback_gripper: Topic = field(default_factory=lambda: Topic("/hdas/feedback_gripper"))
    feedback_status: Topic = field(default_factory=lambda: Topic("/hdas/feedback_status_arm"))
    target_joints: Topic = field(
        default_factory=lambda: Topic("/motion_target/target_joint_state_arm", "reliable", depth=1)
    )
    target_pose: Topic = field(
        default_factory=lambda: Topic("/motion_target/pose_ee_arm", "reliable", depth=1)
    )
    target_gripper: Topic = field(
        default_factory=lambda: Topic("/motion_target/target_position_gripper", "reliable", depth=1)
    )
    function_frame: Topic = field(
        default_factory=lambda: Topic("/arm_node/function_frame_arm", "reliable", depth=5)
    )


@dataclass(frozen=True)
class Limits:
    """What the arm may do, whatever the policy says.

    Attributes:
        joint_velocity: rad/s; the vendor's caps are 3, 3, 3, 5, 5, 5. joint_acceleration: rad/s^2.
        joint_margin: rad, kept from the joint limits.
        rest_tolerance: rad, how far outside its limits a joint may read without being a fault (joint 3 reads
            +1.5 deg at rest).
        linear_velocity, linear_acceleration: of the end effector along each axis, m/s, m/s^2.
        angular_velocity, angular_acceleration: rad/s, rad/s^2.
        max_translation, max_rotation: of one command, per axis, m and rad: a task cannot ask for more.
        max_tilt: largest angle from the reset orientation, rad.
        max_lead: m, how far the commanded position may be ahead of the measured one: bounds contact forces.
        tracking_error: rad, between target and feedback, beyond which the arm counts as blocked.
    """

    joint_velocity: Six = (2.0, 2.0, 2.0, 3.0, 3.0, 3.0)
    joint_acceleration: Six = (30.0, 30.0, 30.0, 50.0, 50.0, 50.0)
    joint_margin: float = 0.01
    rest_tolerance: float = 0.06
    linear_velocity: float = 0.2
    linear_acceleration: float = 2.0
    angular_velocity: float = 1.2
    angular_acceleration: float = 6.0
    max_translation: float = 0.015
    max_rotation: float = 0.15
    max_tilt: float = 0.6
    max_lead: float = DRIVER_MAX_LEAD
    tracking_error: float = 0.3

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
        )
        if min(positive) <= 0 or self.joint_margin < 0 or self.rest_tolerance < 0:
            raise ValueError("velocities, accelerations and sizes must be positive")
        if self.max_tilt > 3.0:
            raise ValueError("max_tilt must be below half a turn (3 rad): a rotation vector ends there")


@dataclass(frozen=True)
class Watchdog:
    """Times after which something counts as lost, s.

    Attributes:
        command: without a command the arm holds its pose; also, a pause after which it starts from the
            measured pose again.
        command_age: a command that answers an older observation is refused.
        feedback: without arm feedback the arm is stopped, and the driver says so.
        recovery: for how long feedback must be back before the arm may move again.
        blocked: for how long the arm may fail to follow.
    """

    command: float = 0.3
    command_age: float = 0.5
    feedback: float = 0.1
    recovery: float = 0.3
    blocked: float = 0.5

    def __post_init__(self) -> None:
        if min(self.command, self.command_age, self.feedback, self.recovery, self.blocked) <= 0:
            raise ValueError("the watchdog's times must be positive")


@dataclass(frozen=True)
class ResetMotion:
    """How the arm goes to the task's reset pose: straight up, over, down.

    Attributes:
        speed: fraction of the limits' joint velocity.
        lift: m above the reset pose, as far as it can be reached.
        clearance: m, how far below the lower end of the workspace box the way may lead.
        table: m, height of the table in base_link; the fingertips stay above it.
        gripper_wait: s for the gripper before the arm moves.
        tolerance: rad, of each joint at the end; settle: s.
        timeout: s for the whole way. patience: s for what forbids it to pass, e.g. feedback just come back.
    """

    speed: float = 0.3
    lift: float = 0.06
    clearance: float = 0.01
    table: float = 0.0
    gripper_wait: float = 0.5
    tolerance: float = 0.03
    settle: float = 0.2
    timeout: float = 40.0
    patience: float = 3.0

    def __post_init__(self) -> None:
        if not 0.0 < self.speed <= 1.0 or min(self.tolerance, self.timeout) <= 0:
            raise ValueError("reset.speed is in (0, 1], tolerance and timeout are positive")


@dataclass(frozen=True)
class CameraNodes:
    """Who publishes the two camera topics.

    Attributes:
        source: realsense: a realsense2_camera node for each view is started; external: somebody else.
        side_serial, wrist_serial: of the RealSense cameras.
        profile: of the colour stream, width x height x frames per second. Depth stays off: two cameras with
            depth do not keep 30 fps on one bus (realsense-ros#3494).
        auto_exposure: of the colour sensor.
    """

    source: Literal["realsense", "external"] = "realsense"
    side_serial: str = ""
    wrist_serial: str = ""
    profile: str = "640x480x30"
    auto_exposure: bool = True


@dataclass(frozen=True)
class StandIns:
    """The cell without a cell (``driver.standin=true``), for tests.

    Attributes:
        person: also start a stand-in of a person, who shows a motion with a gamepad and presses success.
        width, height: of the stand-in cameras' images, pixels; rate: their frames per second.
    """

    person: bool = True
    width: int = 128
    height: int = 96
    rate: float = 20.0


@dataclass(frozen=True)
class DriverConfig:
    """Section ``driver``.

    Attributes:
        standin: start stand-ins of arm, cameras and person in place of hardware.
        topics: the vendor's.
        functions: how enable, disable and clear are sent: topic or service (SDKs differ), none.
        ik: own: joint targets by our inverse kinematics; vendor: poses for the vendor's. Limits hold in both.
        gripper_interface: type of the gripper's target topic.
        enable_on_reset: a reset enables the arm, unless a person has disabled it.
        stream_rate: targets per second. state_rate: at most so many states (poses, joints) per second.
    """

    standin: bool = False
    topics: VendorTopics = field(default_factory=VendorTopics)
    functions: Literal["topic", "service", "none"] = "topic"
    ik: Literal["own", "vendor"] = "own"
    gripper_interface: Literal["joint_state", "float32"] = "joint_state"
    enable_on_reset: bool = True
    stream_rate: float = 100.0
    state_rate: float = 50.0
    gripper_speed: float = 2.5
    limits: Limits = field(default_factory=Limits)
    watchdog: Watchdog = field(default_factory=Watchdog)
    reset: ResetMotion = field(default_factory=ResetMotion)
    cameras: CameraNodes = field(default_factory=CameraNodes)
    standins: StandIns = field(default_factory=StandIns)

    def __post_init__(self) -> None:
        if not 20.0 <= self.stream_rate <= 500.0 or self.state_rate <= 0 or self.gripper_speed <= 0:
            raise ValueError("stream_rate is 20 .. 500 Hz; state_rate and gripper_speed are positive")


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
