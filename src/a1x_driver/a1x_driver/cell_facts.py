"""Facts about a cell that can be seen from outside before anything moves, without judgement."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Endpoint:
    """One publisher of a topic. reliable, latched: its QoS (latched: transient-local)."""

    node: str
    type: str
    reliable: bool
    latched: bool


@dataclass(frozen=True)
class SendingLink:
    """A topic or service that our side sends on. setting: where it is configured.

    Attributes:
        problem: why nobody hears it, in words; "" where somebody does.
    """

    setting: str
    problem: str


@dataclass
class Heard:
    """Facts about one topic, heard while listening.

    Attributes:
        topic, type: what we expect. reliable, latched: what our subscription asks for.
        publishers: of the topic. count: messages. rate: per s. longest_gap: s.
        skew: s, largest difference of a stamp from this machine's clock (nan: unknown).
    """

    topic: str
    type: str
    reliable: bool = False
    latched: bool = False
    publishers: list[Endpoint] = field(default_factory=list)
    count: int = 0
    rate: float = 0.0
    longest_gap: float = 0.0
    skew: float = float("nan")


@dataclass
class CameraFacts(Heard):
    """Facts about a camera.

    Attributes:
        sizes: (width, height) of the frames seen; encodings, frames: likewise. pictures that differed.
        brightness: 0 .. 255. thumbnail: (8, 8, 3) float, 0 .. 1, of the newest frame.
    """

    sizes: set[tuple[int, int]] = field(default_factory=set)
    encodings: set[str] = field(default_factory=set)
    frames: set[str] = field(default_factory=set)
    different: int = 0
    brightness: float = 255.0
    thumbnail: NDArray[np.float64] | None = None


@dataclass
class CellFacts:
    """Everything.

    Attributes:
        arm, gripper, joy: topics. cameras: by view.
        joints: (6,) rad, the newest believable reading. malformed: readings without six finite joints.
        error: what the vendor's status says. writers: nodes that send targets, ours left out.
        commanders: nodes that send commands to our driver.
        held, pressed: operator's buttons that are down throughout.
        links: what our side sends on. few_buttons: words for a device with too few; unproven: nothing but
            zeros has come from the operator's device. gripper_range: smallest and largest reading.
        have_vendor: hdas_msg is installed. free_bytes: on the disk of the run. gpu: there is one.
        seconds: for how long was listened.
        other_users: whose processes use the shared memory of DDS, too.
        left_over: sentences about variables by which nodes do not find each other.
    """

    arm: Heard
    gripper: Heard
    joy: Heard
    cameras: dict[str, CameraFacts]
    seconds: float
    joints: NDArray[np.float64] | None = None
    malformed: int = 0
    error: str = ""
    writers: list[str] = field(default_factory=list)
    commanders: list[str] = field(default_factory=list)
    held: bool = False
    pressed: list[str] = field(default_factory=list)
    links: list[SendingLink] = field(default_factory=list)
    few_buttons: str = ""
    unproven: bool = False
    gripper_range: tuple[float, float] | None = None
    have_vendor: bool = True
    free_bytes: int = 1 << 40
    gpu: bool = False
    other_users: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
