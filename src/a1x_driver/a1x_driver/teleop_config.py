"""Settings of the operator's devices: section ``teleop`` of a run's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from worldsample_core.units import PerSecond, Seconds

Axes = tuple[int, int, int, int, int, int]
Signs = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Buttons:
    """Indices into ``Joy.buttons``; -1: there is none. The defaults are a gamepad's.

    Where labels are recorded, success labels what is seen while it is held, failure and reset end the episode
    and keep its labels, and abort discards them.
    """

    hold: int = 5
    """Button that is held to drive; without it the operator does not drive."""
    success: int = 0
    """Button that ends the episode as a success."""
    failure: int = 1
    """Button that ends the episode as a failure."""
    abort: int = 3
    """Button that ends the episode as aborted: it counts as neither."""
    reset: int = 6
    """Button that aborts the episode and has the cell reset before the next one."""
    close: int = 2
    """Button that closes the gripper."""
    open: int = 4
    """Button that opens the gripper."""


SPACEMOUSE_BUTTONS = Buttons(hold=0, success=1, failure=-1, abort=-1, reset=-1, close=-1, open=-1)
"""Buttons of a device with two. A task with a gripper needs a gamepad or the keyboard beside it."""


@dataclass(frozen=True)
class TeleopConfig:
    """Section ``teleop``."""

    device: Literal["joy", "spacemouse", "keyboard"] = "joy"
    """joy: a gamepad (``joy_node``); spacemouse: ``spacenav`` (a Twist and a Joy for its buttons); keyboard:
    the terminal of the node; the others' topics are heard in any case."""
    joy_topic: str = "joy"
    """Topic of the device's Joy messages; for a SpaceMouse spacenav/joy, unless another is set."""
    twist_topic: str = "spacenav/twist"
    """Topic of the device's Twist messages."""
    stamped: bool = False
    """The twist topic carries TwistStamped in place of Twist."""
    axes: Axes = (1, 0, 4, -1, -1, 3)
    """Index into ``Joy.axes`` that moves x, y, z, roll, pitch, yaw; -1: none."""
    signs: Signs = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    """Direction and gain of x, y, z, roll, pitch, yaw."""
    twist_scale: tuple[float, float] = (0.35, 0.35)
    """Largest values of the twist (linear, angular): they become action 1."""
    deadband: float = 0.08
    """Deflection of an axis, 0 .. 1, below which it counts as still."""
    buttons: Buttons = field(default_factory=Buttons)
    """Buttons of ``Joy``; a SpaceMouse has two: hold 0, success 1, unless any is set."""
    rate: PerSecond = 30.0
    """Intervention messages per second."""
    timeout: Seconds = 0.3
    """Without a message for this time the device counts as gone, and drives no more."""
    dead_after: Seconds = 2.0
    """A device that is held and sends nothing but zeros for this time is reported as dead."""

    still_after: Seconds = 1.5
    """An axis that is deflected by exactly the same amount for this time is no hand's: the device counts as
    gone (a wireless receiver repeats the last message of a pad that is out of reach)."""
    label_after: Seconds = 10.0
    """Time for which a success button may be held, where frames are labelled, without any other change;
    afterwards it labels no more."""

    def __post_init__(self) -> None:
        if self.device == "spacemouse":
            if self.buttons == Buttons():
                object.__setattr__(self, "buttons", SPACEMOUSE_BUTTONS)
            if self.joy_topic == "joy":
                object.__setattr__(self, "joy_topic", "spacenav/joy")
        self._refuse_shared_buttons()
        if min(self.still_after, self.label_after) <= 0:
            raise ValueError("still_after and label_after must be positive")
        if min(self.rate, self.timeout, self.dead_after, *self.twist_scale) <= 0:
            raise ValueError("rate, timeout, dead_after and twist_scale must be positive")
        if not 0.0 <= self.deadband < 1.0:
            raise ValueError("deadband must be in [0, 1)")
        if self.buttons.hold < 0:
            raise ValueError("teleop.buttons.hold is needed: nobody drives without holding a button")

    def _refuse_shared_buttons(self) -> None:
        by_index: dict[int, list[str]] = {}
        for name, index in vars(self.buttons).items():
            if index >= 0:
                by_index.setdefault(index, []).append(name)
        for index, names in by_index.items():
            if len(names) > 1:
                raise ValueError(
                    f"teleop.buttons: {' and '.join(names)} are all button {index}; each needs one of its "
                    "own, or -1 for none"
                )

    @property
    def last_button(self) -> int:
        """The highest button that is used."""
        return max(vars(self.buttons).values())
