"""Settings of the operator's devices: section ``teleop`` of a run's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Axes = tuple[int, int, int, int, int, int]
Signs = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Buttons:
    """Indices into ``Joy.buttons``; -1: there is none.

    Attributes:
        hold: the operator drives only while it is held.
        success, failure, abort: end the episode so. reset: abort, and the cell is reset before the next one.
            Where labels are recorded: success labels what is seen while it is held, failure and reset end the
            episode and keep its labels, abort discards them.
        close, open: the gripper.
    """

    hold: int = 5
    success: int = 0
    failure: int = 1
    abort: int = 3
    reset: int = 6
    close: int = 2
    open: int = 4


@dataclass(frozen=True)
class TeleopConfig:
    """Section ``teleop``.

    Attributes:
        device: joy: a gamepad (``joy_node``); spacemouse: ``spacenav`` (a Twist and a Joy for its buttons);
            keyboard: the terminal of the node; the others' topics are heard in any case.
        joy_topic, twist_topic, stamped: of the device; ``stamped``: TwistStamped in place of Twist.
        axes: which of ``Joy.axes`` moves x, y, z, roll, pitch, yaw; -1: none. signs: direction and gain.
        twist_scale: what the twist's largest values are (linear, angular): they become action 1.
        deadband: of an axis, 0 .. 1.
        buttons: of ``Joy``.
        rate: Intervention messages per second.
        timeout: s without a message after which the device counts as gone, and drives no more.
        dead_after: s of holding with nothing but zeros after which the device is reported as dead.
    """

    device: Literal["joy", "spacemouse", "keyboard"] = "joy"
    joy_topic: str = "joy"
    twist_topic: str = "spacenav/twist"
    stamped: bool = False
    axes: Axes = (1, 0, 4, -1, -1, 3)
    signs: Signs = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    twist_scale: tuple[float, float] = (0.35, 0.35)
    deadband: float = 0.08
    buttons: Buttons = field(default_factory=Buttons)
    rate: float = 30.0
    timeout: float = 0.3
    dead_after: float = 2.0

    def __post_init__(self) -> None:
        if min(self.rate, self.timeout, self.dead_after, *self.twist_scale) <= 0:
            raise ValueError("rate, timeout, dead_after and twist_scale must be positive")
        if not 0.0 <= self.deadband < 1.0:
            raise ValueError("deadband must be in [0, 1)")
        if self.buttons.hold < 0:
            raise ValueError("teleop.buttons.hold is needed: nobody drives without holding a button")
