"""A bad sample of the cell is dropped and counted; only a camera that never sends a good one ends the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from worldsample_core.arm.joint_reading import JOINT_NAMES
from worldsample_core.messages.conversions import image_to_message, to_time
from worldsample_core.messages.reception import Reception
from worldsample_core.node.exit_codes import BAD_CONFIGURATION
from worldsample_core.node.stopping import RunFailed
from worldsample_core.settings import CamerasConfig, RunConfig, Settings
from worldsample_msgs.msg import GripperState, Intervention
from worldsample_policy.acting.cell_input import UNUSABLE, CellInput
from worldsample_policy.acting.observation_assembly import Tick

from .test_rollout import TASK


class ListeningNode:
    """Keeps the callbacks of subscriptions by topic."""

    def __init__(self) -> None:
        self.heard: dict[str, Callable[[Any], None]] = {}

    def create_subscription(self, _: Any, topic: str, callback: Callable[[Any], None], __: Any) -> None:
        self.heard[topic] = callback

    def resolve_topic_name(self, topic: str) -> str:
        return f"/{topic}"


class Senses:
    """The input of a policy whose cell is the test."""

    def __init__(self, lockstep: bool = True, **cameras: int) -> None:
        run = RunConfig("r", str(Path("unused")), image_size=16, lockstep=lockstep)
        values: Any = SimpleNamespace(
            run=run,
            task=TASK,
            cameras=CamerasConfig(**{"max_age": 1e9, **cameras}),
        )
        settings: Settings = values
        self.node, self.reception = ListeningNode(), Reception(str)
        node: Any = self.node  # it stands for the topics, too
        self.input = CellInput(node, settings, node, self.reception, lambda: None, lambda: None)
        self.stamp = 0

    def say(self, topic: str, message: Any) -> None:
        message.header.stamp = to_time(float(self.stamp))
        self.node.heard[topic](message)

    def picture(self, view: str, size: int = 16, **changes: Any) -> None:
        message = image_to_message(np.zeros((size, size, 3), np.uint8), view, to_time(0.0))
        for name, value in changes.items():
            setattr(message, name, value)
        self.say(f"{view}/color/image_raw", message)

    def pose(self, x: float = 0.3, w: float = 1.0) -> None:
        message = PoseStamped()
        message.pose.position.x, message.pose.orientation.w = x, w
        self.say("a1x/ee_pose", message)

    def rest(self) -> None:
        """All of a tick but the pose and the side view."""
        self.picture("wrist")
        self.say("a1x/gripper", GripperState(opening=0.5))
        self.say("operator/intervention", Intervention())

    def whole(self) -> Tick | None:
        self.picture("side")
        self.pose()
        self.rest()
        return self.input.take()


def spoil_pose(senses: Senses) -> None:
    senses.pose(x=math.nan)


def spoil_orientation(senses: Senses) -> None:
    senses.pose(w=math.nan)


def spoil_distance(senses: Senses) -> None:
    senses.pose(x=1e30)


def spoil_opening(senses: Senses) -> None:
    senses.say("a1x/gripper", GripperState(opening=math.nan))


def spoil_size(senses: Senses) -> None:
    senses.picture("side", size=8)


def spoil_bytes(senses: Senses) -> None:
    senses.picture("side", data=b"\x00" * 7)


def spoil_encoding(senses: Senses) -> None:
    senses.picture("side", encoding="mono8")


SPOILS = (
    spoil_pose, spoil_orientation, spoil_distance, spoil_opening, spoil_size, spoil_bytes, spoil_encoding,
)  # fmt: skip


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize("spoil", SPOILS)
def test_attack_07_one_bad_sample_is_dropped_and_counted(
    spoil: Callable[[Senses], None], lockstep: bool
) -> None:
    senses = Senses(lockstep)
    senses.input.restart(0)
    for number in range(UNUSABLE - 1):
        senses.stamp += 1
        spoil(senses)
        tick = senses.whole()
        assert tick is not None and np.isfinite(tick.observation.proprio).all()
        assert senses.reception.total == number + 1
    assert len(senses.reception.dropped) == 1 and "dropped" in senses.reception.words()


def test_attack_07_a_bad_pose_alone_makes_no_tick() -> None:
    senses = Senses()
    senses.input.restart(0)
    senses.stamp = 1
    senses.picture("side")
    senses.pose(x=math.nan)
    senses.rest()
    assert senses.input.take() is None
    senses.pose()
    assert senses.input.take() is not None


@pytest.mark.parametrize(
    ("cameras", "changes", "reason"),
    [
        ({"width": 640, "height": 480}, {}, "cameras.width"),
        ({}, {"size": 8}, "smaller than the training size"),
        ({}, {"encoding": "mono8"}, "rgb8 or bgr8"),
    ],
)
def test_a_camera_that_never_sends_a_usable_image_ends_the_run(
    cameras: dict[str, int], changes: dict[str, Any], reason: str
) -> None:
    senses = Senses(**cameras)
    for _ in range(UNUSABLE):
        assert senses.input.take() is None
        senses.picture("side", **changes)
    with pytest.raises(RunFailed, match=f"/side/color/image_raw: .*{reason}") as end:
        senses.input.take()
    assert end.value.code == BAD_CONFIGURATION


@pytest.mark.parametrize("lockstep", [True, False])
def test_a_tick_has_the_joints_of_its_own_time(lockstep: bool) -> None:
    """The names may have any order. With another robot's joints the policy acts all the same."""
    senses = Senses(lockstep)

    def tick(names: tuple[str, ...], value: float) -> Tick:
        senses.stamp += 1
        values = [value + place for place in range(len(names))]
        senses.say("joint_states", JointState(name=names, position=values, velocity=values))
        taken = senses.whole()
        assert taken is not None
        return taken

    first, other, later = tick(JOINT_NAMES[::-1], 0.5), tick(("wheel",), 1.0), tick(JOINT_NAMES, 2.0)
    assert first.joints is not None and list(first.joints.positions[:2]) == [7.5, 6.5]
    assert other.joints is None and senses.reception.words()
    assert later.joints is not None and later.joints.velocities[0] == 2.0
