"""The vendor's interface as settings: topics, function codes, error bits; SDK versions differ in all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from worldsample_core.units import Seconds


@dataclass(frozen=True)
class Topic:
    """A vendor topic and its QoS; notes of users differ, so every part is a setting."""

    name: str
    """Name of the topic."""
    reliability: Literal["reliable", "best_effort"] = "best_effort"
    """Reliability of our publisher or subscription."""
    durability: Literal["volatile", "transient_local"] = "volatile"
    """Durability of our publisher or subscription."""
    depth: int = 5
    """Messages that our side keeps."""


@dataclass(frozen=True)
class VendorTopics:
    """The vendor's interface.

    A best-effort subscription hears both reliable and best-effort publishers. A reliable, transient-local
    publisher is heard by every kind of subscription.
    """

    feedback_arm: Topic = field(default_factory=lambda: Topic("/hdas/feedback_arm"))
    """Measured joints: JointState, 6 joints (rad) or more."""
    feedback_gripper: Topic = field(default_factory=lambda: Topic("/hdas/feedback_gripper"))
    """Measured gripper: JointState; ``driver.gripper`` says what its numbers mean."""
    feedback_status: Topic = field(default_factory=lambda: Topic("/hdas/feedback_status_arm"))
    """Errors of the arm: hdas_msg."""
    target_joints: Topic = field(
        default_factory=lambda: Topic("/motion_target/target_joint_state_arm", "reliable", depth=1)
    )
    """Joint targets, for ``ik: own``: JointState."""
    target_pose: Topic = field(
        default_factory=lambda: Topic("/motion_target/pose_ee_arm", "reliable", depth=1)
    )
    """Pose targets, for ``ik: vendor``: PoseStamped."""
    target_gripper: Topic = field(
        default_factory=lambda: Topic("/motion_target/target_position_gripper", "reliable", depth=1)
    )
    """Gripper targets: JointState or Float32."""
    function_frame: Topic = field(default_factory=lambda: Topic("/function_frame_arm", "reliable", depth=5))
    """Functions of the arm: hdas_msg, a service or a topic (``driver.functions``). The ROS 1 SDK has the
    topic /arm_node/function_frame_arm."""


@dataclass(frozen=True)
class FunctionCodes:
    """Codes of the arm's functions; -1: as ``driver.sdk`` has it."""

    enable: int = -1
    """Code that enables the motors."""
    clear: int = -1
    """Code that clears errors."""
    release: tuple[int, ...] = ()
    """Codes that may release the motors (the arm has no brakes and drops): never sent. Empty: as the SDK
    version has them."""


@dataclass(frozen=True)
class ErrorBits:
    """Meaning of ``error_code`` in the arm's status."""

    coding: Literal["bits", "numbers"] = "bits"
    """bits: several errors are added up in one code; numbers: each code is one error."""
    names: tuple[str, ...] = ("2 disconnected", "16 no command received")
    """Known bits or codes, each as its value and words for it."""
    at_rest: tuple[int, ...] = (16,)
    """Bits or codes that only a command ends: they forbid nothing."""

    def __post_init__(self) -> None:
        for name in self.names:
            if not name.partition(" ")[0].isdigit():
                raise ValueError(f"driver.errors.names: {name!r} does not begin with a bit's value")
        if any(value <= 0 for value in self.at_rest):
            raise ValueError("driver.errors.at_rest lists bits or codes above 0")


SDK_CODES = {
    "a1x_2": FunctionCodes(enable=1, clear=5, release=(2, 3, 4)),
    "ros1": FunctionCodes(enable=1, clear=4, release=(2, 3)),
}
"""Function codes by SDK version. a1x_2: measured by a user of SDK 2.0.4 (github.com/machinekind/
galaxeo-manipulators), where 4 releases the motors. ros1: the vendor's text on the ROS 1 edition."""

Sdk = Literal["a1x_2", "ros1"]


def resolved_codes(sdk: Sdk, codes: FunctionCodes) -> FunctionCodes:
    """The codes to use: those of the SDK version where ``codes`` leaves them open.

    Raises:
        ValueError: a code that is to be sent may release the motors.
    """
    known = SDK_CODES[sdk]
    enable = known.enable if codes.enable < 0 else codes.enable
    clear = known.clear if codes.clear < 0 else codes.clear
    release = codes.release or known.release
    for name, code in (("enable", enable), ("clear", clear)):
        if code in release:
            raise ValueError(
                f"driver.codes.{name}={code} may release the motors (driver.codes.release {list(release)}): "
                "an arm without brakes drops. Correct the code, or driver.sdk"
            )
    return FunctionCodes(enable, clear, release)


@dataclass(frozen=True)
class GripperRange:
    """Numbers of the gripper's topics."""

    closed: float = 0.0
    """Reading when closed."""
    open: float = 100.0
    """Reading when open. Documented as 100; another user measured 3.1 to 3.4 with SDK 2.0.4."""
    target_closed: float = 0.0
    """Target that closes."""
    target_open: float = 100.0
    """Target that opens."""
    timeout: Seconds = 1.0
    """Without a reading for this time the gripper's state is not published: the policy gets no step then."""
    frozen: Seconds = 3.0
    """Time for which the reading may stay the same although the target has moved by half the stroke."""

    def __post_init__(self) -> None:
        if self.closed == self.open or self.target_closed == self.target_open:
            raise ValueError("driver.gripper: closed and open must differ")
        if min(self.timeout, self.frozen) <= 0:
            raise ValueError("driver.gripper: timeout and frozen must be positive")
