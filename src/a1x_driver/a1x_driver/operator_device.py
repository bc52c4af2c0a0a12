"""Turns the input of an operator's device into the operator's wish. No ROS here.

The operator drives only while the hold button is held. A device that has gone away wants nothing, and says
so. So does one that has never shown anything but zeros, which some drivers send without any device, and one
whose deflected axes do not change at all: a hand is never that still (joystick_drivers#92). A device that
sends nothing but zeros while it is held is reported (hil-serl#40).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from a1x_driver.teleop_config import TeleopConfig


@dataclass(frozen=True)
class Wish:
    """Wish of the operator at this moment.

    Attributes:
        active: drives. action: (7,) in [-1, 1].
        success, failure, abort, reset: buttons pressed since the last wish was taken.
    """

    active: bool = False
    action: NDArray[np.float32] = field(default_factory=lambda: np.zeros(7, np.float32))
    success: bool = False
    failure: bool = False
    abort: bool = False
    reset: bool = False


def shape(value: float, deadband: float) -> float:
    """An axis in [-1, 1] with a deadband, continuous at its edge; 0 for what is not finite."""
    if not np.isfinite(value) or abs(value) <= deadband:
        return 0.0
    return float(np.sign(value) * min(1.0, (abs(value) - deadband) / (1.0 - deadband)))


class OperatorDevice:
    """Collects the messages of the operator's devices. ``now``: s, monotonic.

    Args:
        labels: frames are being labelled: success lasts as long as its button is held, and reset ends the
            episode as failure does, so that its labels are kept.
    """

    BUTTONS = ("success", "failure", "abort", "reset")

    def __init__(self, config: TeleopConfig, labels: bool = False) -> None:
        self._config, self._labels = config, labels
        self._motion = np.zeros(6)
        self._buttons: tuple[int, ...] = ()
        self._pressed = dict.fromkeys(self.BUTTONS, False)
        self._joy_at = self._twist_at = -np.inf
        self._held_since: float | None = None
        self._moved_at = -np.inf
        self._content: dict[str, tuple[float, ...]] = {}
        self._changed_at = -np.inf
        self._alive = config.device == "keyboard"  # its terminal is there

    def take_joy(self, axes: Sequence[float], buttons: Sequence[int], now: float) -> None:
        """A Joy message. Its axes drive only where the device is a gamepad."""
        config = self._config
        before, self._buttons = self._buttons, tuple(int(button) for button in buttons)
        for name in self.BUTTONS:
            index = getattr(config.buttons, name)
            was_down = 0 <= index < len(before) and bool(before[index])
            if self._down(index) and not was_down and before:
                self._pressed[name] = True
        self._joy_at = now
        self._note("joy", (*axes, *self._buttons), now)
        if config.device != "spacemouse":
            values = [
                sign * (axes[axis] if 0 <= axis < len(axes) else 0.0)
                for axis, sign in zip(config.axes, config.signs, strict=True)
            ]
            self._take_motion(values, now)

    def take_twist(self, linear: Sequence[float], angular: Sequence[float], now: float) -> None:
        """A Twist or TwistStamped, of a SpaceMouse or any other device."""
        line, turn = self._config.twist_scale
        values = [*(value / line for value in linear), *(value / turn for value in angular)]
        self._twist_at = now
        self._note("twist", tuple(values), now)
        self._take_motion([sign * v for sign, v in zip(self._config.signs, values, strict=True)], now)

    def _note(self, source: str, content: tuple[float, ...], now: float) -> None:
        """Note when the content of a device's messages has changed."""
        before = self._content.get(source)
        if content != before:
            self._changed_at = now
            self._alive |= before is not None or any(content)
        self._content[source] = content

    def _take_motion(self, values: Sequence[float], now: float) -> None:
        self._motion = np.array([shape(float(value), self._config.deadband) for value in values])
        if np.any(self._motion):
            self._moved_at = now

    def _down(self, index: int) -> bool:
        return 0 <= index < len(self._buttons) and bool(self._buttons[index])

    def _held(self) -> bool:
        return self._down(self._config.buttons.hold)

    def gone(self, now: float) -> str:
        """Which device is silent, in words; "" if none is. Without it nobody can intervene."""
        needed = {self._config.joy_topic: self._joy_at}
        if self._config.device == "spacemouse":
            needed[self._config.twist_topic] = self._twist_at
        for topic, at in needed.items():
            if not np.isfinite(at):
                return f"nothing on {topic} yet: is the device plugged in, and its node running?"
            if now - at > self._config.timeout:
                return f"nothing on {topic} for {now - at:.1f} s: the device is gone"
        return self._absent() or self._still(now)

    def _absent(self) -> str:
        """Words for messages that no operator's device sends; "" otherwise."""
        topic, config = self._config.joy_topic, self._config
        if len(self._buttons) <= config.buttons.hold:
            return (
                f"{topic} has {len(self._buttons)} buttons, and teleop.buttons.hold is "
                f"{config.buttons.hold}: set teleop.device and teleop.buttons for this device"
            )
        if not self._alive:
            return f"{topic} has shown only zeros yet: move a stick once, to show that a device is there"
        return ""

    def _still(self, now: float) -> str:
        """Words for a device that is held with its axes deflected, and does not change at all."""
        still = now - self._changed_at
        drives = self._held() and bool(np.any(self._motion))
        if self._config.device == "keyboard" or not drives or still <= self._config.still_after:
            return ""
        return (
            f"the device repeats one deflection for {still:.1f} s: a hand is never that still; is the pad "
            "out of reach, or its battery empty? Move the stick to go on"
        )

    def dead(self, now: float) -> str:
        """Words for a device that has been held for a while and sends only zeros; "" otherwise."""
        if not self._held():
            self._held_since = None
            return ""
        self._held_since = now if self._held_since is None else self._held_since
        quiet = now - max(self._held_since, self._moved_at)
        if quiet <= self._config.dead_after:
            return ""
        return (
            f"the hold button has been held for {quiet:.0f} s and every axis is zero: wrong device, wrong "
            "axes (teleop.axes), or no permission to read it (udev rule)?"
        )

    def wish(self, now: float) -> Wish:
        """The operator's wish; each button press is told once, except success while it labels frames."""
        pressed = dict(self._pressed)
        self._pressed = dict.fromkeys(self.BUTTONS, False)
        if self._labels:
            recent = now - self._changed_at <= self._config.label_after
            shown = self._down(self._config.buttons.success) and recent and not self.gone(now)
            pressed["success"] |= shown
            pressed["failure"] |= pressed["reset"]
            pressed["reset"] = False
        action = np.zeros(7, np.float32)
        active = self._held() and not self.gone(now)
        if active:
            action[:6] = self._motion
            buttons = self._config.buttons
            action[6] = float(self._down(buttons.open)) - float(self._down(buttons.close))
        return Wish(active, action, **pressed)
