"""A keyboard as the operator's device: the terminal's keys as Joy-like axes and buttons.

w s: x   a d: y   r f: z   i k, j l, u o: rotations   g: close   h: open
y: success   n: failure   x: abort   z: reset   Holding any motion key is holding the hold button.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator

from a1x_driver.teleop_config import TeleopConfig

MOTION = {"w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "r": (2, 1), "f": (2, -1)} | {
    "i": (3, 1), "k": (3, -1), "j": (4, 1), "l": (4, -1), "u": (5, 1), "o": (5, -1)
}  # fmt: skip
BUTTONS = {"g": "close", "h": "open", "y": "success", "n": "failure", "x": "abort", "z": "reset"}
REPEAT = 0.6
"""s for which a key counts as held: the pause before a terminal repeats it, and a little more."""


class Keyboard:
    """Which keys are held, as far as a terminal can tell."""

    def __init__(self, config: TeleopConfig) -> None:
        self._config = config
        self._at: dict[str, float] = {}

    def take(self, keys: str, now: float) -> None:
        """Characters that have come from the terminal. now: s, monotonic."""
        for key in keys:
            self._at[key.lower()] = now

    def joy(self, now: float) -> tuple[list[float], list[int]]:
        """Axes and buttons as the gamepad of the configuration would send them."""
        held = {key for key, at in self._at.items() if now - at < REPEAT}
        axes, size = self._config.axes, 16
        values, buttons = [0.0] * (max(axes) + 1), [0] * size
        for key in held & MOTION.keys():
            axis, sign = MOTION[key]
            if axes[axis] >= 0:
                values[axes[axis]] += sign
        for key in held & BUTTONS.keys():
            index = getattr(self._config.buttons, BUTTONS[key])
            if 0 <= index < size:
                buttons[index] = 1
        if held & (MOTION.keys() | {"g", "h"}):
            buttons[self._config.buttons.hold] = 1
        return values, buttons


@contextlib.contextmanager
def raw_terminal() -> Iterator[int | None]:
    """The terminal, giving keys at once; None where standard input is none."""
    if not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def pending_keys(descriptor: int) -> str:
    """Characters that have been typed since the last call."""
    ready, _, _ = select.select([descriptor], [], [], 0.0)
    return os.read(descriptor, 64).decode(errors="ignore") if ready else ""
