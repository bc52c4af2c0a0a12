"""Facts about a cell -> what is wrong with it, by name, and what to do. No ROS here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from a1x_driver.cell_facts import CameraFacts, CellFacts, Heard
from a1x_driver.driver_config import DriverConfig
from worldsample_core.arm.a1x_kinematics import ARM_JOINTS, JOINT_HIGH, JOINT_LOW, forward_kinematics
from worldsample_core.config import TaskConfig
from worldsample_core.observation import VIEWS

SLOW_FEEDBACK = 50.0  # Hz; the vendor sends 200
SKEW = 0.1  # s
DARK = 8.0  # of 255
FREE_BYTES = 5_000_000_000

FAULTS = {
    "no_arm_feedback": "nobody publishes the arm's feedback",
    "arm_feedback_wrong_type": "the arm's feedback has another type",
    "arm_feedback_qos": "the QoS of the arm's feedback does not match",
    "arm_feedback_silent": "the arm's feedback is published, and nothing comes",
    "arm_feedback_slow": "the arm's feedback comes too rarely",
    "arm_feedback_malformed": "the arm's feedback is not six finite angles",
    "arm_error": "the arm reports an error",
    "joint_outside_limits": "a joint reads outside its limits",
    "arm_outside_box": "the end effector is outside the task's box (a reset brings it inside)",
    "gripper_silent": "nothing comes from the gripper",
    "gripper_range": "the gripper's readings are outside its range",
    "nobody_listens": "nobody hears what our side sends to the arm",
    "second_writer": "somebody else sends targets to the arm",
    "second_policy": "somebody already commands the driver",
    "camera_missing": "nobody publishes a camera's images",
    "camera_wrong_type": "a camera's images have another type",
    "camera_qos": "the QoS of a camera does not match",
    "camera_stalled": "a camera is there, and no image comes",
    "camera_slow": "a camera's images come more rarely than the policy acts",
    "camera_frozen": "a camera repeats one picture",
    "camera_black": "a camera's picture is black",
    "camera_wrong_size": "a camera's images have another size",
    "camera_wrong_encoding": "a camera's encoding is not rgb8 or bgr8",
    "cameras_swapped": "the side camera's picture is on the wrist topic, and the other way round",
    "clock_skew": "stamps differ from this machine's clock",
    "operator_missing": "the operator's device is silent: nobody could intervene",
    "operator_unproven": "the operator's device has shown nothing but zeros",
    "operator_buttons": "the operator's device has fewer buttons than are used",
    "operator_button_stuck": "a button of the operator's device is down all the time",
    "two_users": "another user's processes are found, and nothing that they send arrives",
    "inherited_environment": "a variable of another project decides which nodes are found",
    "vendor_messages_missing": "hdas_msg is not installed",
    "disk_full": "there is little room for episodes",
    "gpu_missing": "the configuration wants a GPU, and there is none",
}
"""Every fault that is looked for, by name."""


@dataclass(frozen=True)
class Finding:
    """One fault. level: error (do not move), warning. text: what, and what to do."""

    name: str
    level: Literal["error", "warning"]
    text: str


def find_faults(
    facts: CellFacts,
    driver: DriverConfig,
    task: TaskConfig,
    size: tuple[int, int],
    machine: str = "cpu",
    reference: Mapping[str, NDArray[np.float64]] | None = None,
) -> list[Finding]:
    """Find everything that is wrong with a cell, the worst first.

    Args:
        size: (width, height) that images must have; 0: any.
        machine: cpu or gpu, as configured.
        reference: thumbnails by view from when the cell was right, to tell swapped cameras.
    """
    findings = [
        *_arm(facts, driver, task),
        *_cameras(facts, task, size, reference),
        *_clocks(facts, driver),
        *_operator(facts),
        *_environment(facts),
        *_machine(facts, driver, machine),
    ]
    return sorted(findings, key=lambda finding: finding.level)


def _error(name: str, text: str) -> Finding:
    assert name in FAULTS, name
    return Finding(name, "error", text)


def _warning(name: str, text: str) -> Finding:
    assert name in FAULTS, name
    return Finding(name, "warning", text)


def _silence(heard: Heard, absent: str, wrong: str, qos: str, silent: str, start: str) -> Iterator[Finding]:
    """Why nothing is heard on a topic."""
    if not heard.publishers:
        yield _error(absent, f"{heard.topic} has no publisher: {start}")
        return
    others = sorted({end.type for end in heard.publishers} - {heard.type})
    if others:
        yield _error(wrong, f"{heard.topic} is published as {', '.join(others)}, expected {heard.type}")
        return
    if heard.count:
        return
    for end in heard.publishers:
        if heard.reliable and not end.reliable:
            yield _error(
                qos,
                f"{heard.topic}: {end.node} publishes best effort, our side asks for reliable: set its "
                "driver.topics.….reliability=best_effort",
            )
            return
        if heard.latched and not end.latched:
            yield _error(
                qos,
                f"{heard.topic}: {end.node} publishes volatile, our side asks for transient local: set its "
                "driver.topics.….durability=volatile",
            )
            return
    names = ", ".join(sorted({end.node for end in heard.publishers}))
    yield _error(silent, f"{heard.topic}: {names} publishes it, and nothing comes: look at that node's log")


def _arm(facts: CellFacts, driver: DriverConfig, task: TaskConfig) -> Iterator[Finding]:
    arm = facts.arm
    problems = list(
        _silence(
            arm,
            "no_arm_feedback",
            "arm_feedback_wrong_type",
            "arm_feedback_qos",
            "arm_feedback_silent",
            "start the vendor's driver, on the same ROS_DOMAIN_ID",
        )
    )
    yield from problems
    if not problems:
        if facts.malformed:
            yield _error(
                "arm_feedback_malformed",
                f"{facts.malformed} of {arm.count} messages on {arm.topic} are not six finite joint angles",
            )
        if arm.rate < SLOW_FEEDBACK:
            yield _error(
                "arm_feedback_slow",
                f"{arm.topic} comes at {arm.rate:.0f} Hz, the vendor sends 200: is the bus or this computer "
                "overloaded?",
            )
        if not facts.gripper.count:
            yield _warning("gripper_silent", f"nothing comes on {facts.gripper.topic}")
    if facts.error:
        yield _error("arm_error", f"{facts.error}: end its cause, then call /a1x/clear_errors")
    if facts.joints is not None:
        over = np.maximum(JOINT_LOW - facts.joints, facts.joints - JOINT_HIGH)
        bad = [
            f"{joint.name} {np.degrees(value):+.1f} deg"
            for joint, value, beyond in zip(ARM_JOINTS, facts.joints, over, strict=True)
            if beyond > driver.limits.rest_tolerance
        ]
        if bad:
            yield _error("joint_outside_limits", f"{', '.join(bad)}: calibrate the arm, or move it inside")
        at, _ = forward_kinematics(facts.joints)
        if np.any(at < np.asarray(task.box_low) - 0.01) or np.any(at > np.asarray(task.box_high) + 0.01):
            place = ", ".join(f"{value:.2f}" for value in at)
            yield _warning(
                "arm_outside_box",
                f"gripper_link is at ({place}) m, outside the task's box: keep clear, a reset moves it in",
            )
    for link in facts.links:
        if link.problem:
            yield _error("nobody_listens", link.problem)
    yield from _gripper_range(facts, driver)
    if facts.writers:
        yield _error(
            "second_writer", f"{', '.join(facts.writers)} sends targets to the arm: stop it, exactly one may"
        )
    if facts.commanders:
        yield _error("second_policy", f"{', '.join(facts.commanders)} already commands the arm: stop it")


def _gripper_range(facts: CellFacts, driver: DriverConfig) -> Iterator[Finding]:
    if facts.gripper_range is None:
        return
    numbers, (seen_low, seen_high) = driver.gripper, facts.gripper_range
    low, high = sorted((numbers.closed, numbers.open))
    slack = 0.05 * (high - low)
    if seen_low < low - slack or seen_high > high + slack:
        yield _error(
            "gripper_range",
            f"{facts.gripper.topic} reads {seen_low:.3g} .. {seen_high:.3g}, driver.gripper says {low:g} .. "
            f"{high:g}: open and close the gripper with the vendor's tool, note its readings, and set "
            "driver.gripper.closed and open",
        )


def _clocks(facts: CellFacts, driver: DriverConfig) -> Iterator[Finding]:
    for heard in (facts.arm, *facts.cameras.values()):
        yield from _skew(heard, driver.watchdog.command_age)


def _skew(heard: Heard, bound: float) -> Iterator[Finding]:
    """A clock that differs from this machine's. bound: s, from which on nothing may move."""
    if np.isfinite(heard.skew) and abs(heard.skew) > SKEW:
        tell = _error if abs(heard.skew) >= bound else _warning
        yield tell(
            "clock_skew",
            f"stamps on {heard.topic} are {heard.skew:+.2f} s from this machine's clock: synchronise the "
            "machines (chrony)",
        )


def _cameras(
    facts: CellFacts,
    task: TaskConfig,
    size: tuple[int, int],
    reference: Mapping[str, NDArray[np.float64]] | None,
) -> Iterator[Finding]:
    for view in VIEWS:
        camera = facts.cameras[view]
        problems = list(
            _silence(
                camera,
                "camera_missing",
                "camera_wrong_type",
                "camera_qos",
                "camera_stalled",
                "is it plugged in (USB 3), and its node running?",
            )
        )
        yield from problems or _camera(view, camera, task, size)
    yield from _swapped(facts.cameras, reference)


def _camera(view: str, camera: CameraFacts, task: TaskConfig, size: tuple[int, int]) -> Iterator[Finding]:
    needed = 1.0 / task.control_period
    if camera.rate < 0.95 * needed:
        yield _error(
            "camera_slow",
            f"{camera.topic} comes at {camera.rate:.1f} Hz, the policy acts at {needed:.0f}: colour only, no "
            "depth; USB 3; a lower profile",
        )
    if camera.different <= 1 and camera.count > 3:
        yield _error(
            "camera_frozen",
            f"{camera.topic} repeated one picture {camera.count} times: unplug the {view} camera and plug it "
            "in again",
        )
    if camera.brightness < DARK:
        yield _error("camera_black", f"the {view} camera's picture is black: lens cap, light, exposure?")
    wrong = {
        seen
        for seen in camera.sizes
        if any(want not in (0, got) for want, got in zip(size, seen, strict=True))
    }
    if len(camera.sizes) > 1 or wrong:
        seen = ", ".join(f"{width}x{height}" for width, height in sorted(camera.sizes))
        yield _error(
            "camera_wrong_size",
            f"{camera.topic} has {seen} pixels, cameras.width and height say {size[0]}x{size[1]}: give the "
            "camera that profile",
        )
    bad = camera.encodings - {"rgb8", "bgr8"}
    if bad:
        yield _error(
            "camera_wrong_encoding",
            f"{camera.topic} is {', '.join(sorted(bad))}: set rgb_camera.color_format to RGB8",
        )


def _swapped(
    cameras: Mapping[str, CameraFacts], reference: Mapping[str, NDArray[np.float64]] | None
) -> Iterator[Finding]:
    side, wrist = VIEWS
    named = all(
        cameras[view].frames and all(other in frame and view not in frame for frame in cameras[view].frames)
        for view, other in ((side, wrist), (wrist, side))
    )
    if named or (reference is not None and _looks_swapped(cameras, reference)):
        why = "their frame ids say so" if named else "they look like each other's remembered picture"
        yield _error(
            "cameras_swapped",
            f"side and wrist camera are swapped ({why}): exchange the two serial numbers in driver.cameras",
        )


def _looks_swapped(cameras: Mapping[str, CameraFacts], reference: Mapping[str, NDArray[np.float64]]) -> bool:
    def distance(view: str, remembered: str) -> float:
        thumbnail = cameras[view].thumbnail
        return np.inf if thumbnail is None else float(np.abs(thumbnail - reference[remembered]).mean())

    side, wrist = VIEWS
    if not all(view in reference for view in VIEWS):
        return False
    straight = distance(side, side) + distance(wrist, wrist)
    crossed = distance(side, wrist) + distance(wrist, side)
    return crossed < 0.7 * straight


def _operator(facts: CellFacts) -> Iterator[Finding]:
    joy = facts.joy
    if not joy.count:
        yield _error(
            "operator_missing",
            f"nothing on {joy.topic}: plug the device in and start its node (joy_node, spacenav); without it "
            "the arm does not move",
        )
        return
    if facts.few_buttons:
        yield _error("operator_buttons", f"{facts.few_buttons}: set teleop.device and teleop.buttons")
    if facts.unproven:
        yield _warning(
            "operator_unproven",
            f"{joy.topic} shows only zeros, as without any device: move a stick while this check listens",
        )
    if facts.held or facts.pressed:
        names = [*facts.pressed, *(["hold"] if facts.held else [])]
        yield _error(
            "operator_button_stuck",
            f"{', '.join(names)} of the operator's device is down all the time: let go, or correct "
            "teleop.buttons",
        )


def _environment(facts: CellFacts) -> Iterator[Finding]:
    """Reasons why nodes of one machine do not hear each other, although all run."""
    topics = (facts.arm, facts.gripper, facts.joy, *facts.cameras.values())
    silent = [heard.topic for heard in topics if heard.publishers and not heard.count]
    if facts.other_users and silent:
        yield _error(
            "two_users",
            f"{', '.join(silent)}: nothing comes, and {', '.join(facts.other_users)} runs ROS 2 here, too: "
            "Fast DDS's shared memory does not reach from one user to another. Run both as one user (in a "
            "compose file: `user:`), or start both with ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET and "
            "FASTDDS_BUILTIN_TRANSPORTS=UDPv4",
        )
    tell = _warning if facts.arm.count else _error
    for sentence in facts.left_over:
        yield tell("inherited_environment", sentence)


def _machine(facts: CellFacts, driver: DriverConfig, machine: str) -> Iterator[Finding]:
    if not facts.have_vendor and not driver.standin:
        yield _warning(
            "vendor_messages_missing",
            "hdas_msg is not installed: errors of the arm cannot be seen, functions cannot be sent; source "
            "the vendor's SDK",
        )
    if facts.free_bytes < FREE_BYTES:
        yield _error("disk_full", f"{facts.free_bytes / 1e9:.1f} GB free: episodes need 5 and more")
    if machine == "gpu" and not facts.gpu:
        yield _error("gpu_missing", "machine gpu is configured, and torch sees no CUDA device")
