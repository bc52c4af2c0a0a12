"""Units of settings, as types: ``lift: Metres`` tells readers and ``worldsample settings`` its unit."""

from __future__ import annotations

from typing import Annotated

Seconds = Annotated[float, "s"]
Metres = Annotated[float, "m"]
MetresPerSecond = Annotated[float, "m/s"]
MetresPerSecond2 = Annotated[float, "m/s²"]
Radians = Annotated[float, "rad"]
RadiansPerSecond = Annotated[float, "rad/s"]
RadiansPerSecond2 = Annotated[float, "rad/s²"]
PerSecond = Annotated[float, "1/s"]
Decibels = Annotated[float, "dB"]
Nats = Annotated[float, "nats"]

Pixels = Annotated[int, "pixels"]
ControlSteps = Annotated[int, "control steps"]
RealSteps = Annotated[int, "real steps"]
"""Control steps of the robot in training; imagined ones and those of demonstrations do not count."""
Updates = Annotated[int, "updates"]
Episodes = Annotated[int, "episodes"]
Frames = Annotated[int, "frames"]
Transitions = Annotated[int, "transitions"]
Segments = Annotated[int, "segments"]

NEVER_NEGATIVE = frozenset(
    [
        "s",
        "1/s",
        "pixels",
        "control steps",
        "real steps",
        "updates",
        "episodes",
        "frames",
        "transitions",
        "segments",
    ]
)
"""Units of durations, rates and counts: a negative one is a mistake, and so is one that is not a number."""
