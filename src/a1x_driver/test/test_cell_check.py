"""``check --cell`` names what is wrong: faults seeded at stand-ins over DDS, the rest on facts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from a1x_driver.cell_check import FAULTS, find_faults
from a1x_driver.cell_facts import CameraFacts, CellFacts, Endpoint, Heard, SendingLink
from a1x_driver.driver_config import DriverConfig
from a1x_driver.teleop_config import TeleopConfig
from a1x_driver.vendor_config import Topic, VendorTopics
from worldsample_core.config import TaskConfig, to_mapping
from worldsample_core.node.inherited_environment import left_over
from worldsample_core.settings import CamerasConfig, RunConfig, Settings

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs.msg")

from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import JointState, Joy  # noqa: E402

from a1x_driver.cell_probe import CellProbe, listen  # noqa: E402
from a1x_driver.standin_arm_node import StandInArmNode  # noqa: E402
from a1x_driver.standin_camera_node import StandInCameraNode  # noqa: E402
from a1x_driver.standin_person_node import StandInPersonNode  # noqa: E402

pytestmark = pytest.mark.real_time

DOMAIN = 96
DRIVER = DriverConfig(standin=True)
STRICT = DriverConfig(
    standin=True, topics=VendorTopics(feedback_arm=Topic("/hdas/feedback_arm", reliability="reliable"))
)
SECONDS = 1.2
DISCOVERY = 15.0
"""s within which the stand-ins are discovered."""
SIZE = (64, 48)
READY = np.array([0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0])


class StandInCell:
    """Stand-ins in this process, on a domain of their own; what is not started is not there."""

    def __init__(self, folder: Path, task: TaskConfig) -> None:
        self.task, self.folder = task, folder
        self.config = folder / "config.yaml"
        settings = Settings(
            run=RunConfig(name="check", directory=str(folder), lockstep=False, sim=False, image_size=32),
            task=task,
            cameras=CamerasConfig(*SIZE),
            driver=to_mapping(DRIVER),
        )
        self.config.write_text(yaml.safe_dump(to_mapping(settings)))
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.executor = SingleThreadedExecutor(context=self.context)
        # The probe is another participant, as it is in life.
        self.outside = Context()
        rclpy.init(context=self.outside, domain_id=DOMAIN)
        self.nodes: list[Any] = []

    def start(self, kind: Any, **parameters: Any) -> Any:
        values = {"config": str(self.config), **parameters}
        overrides = [Parameter(key, value=value) for key, value in values.items()]
        node = kind(context=self.context, parameter_overrides=overrides)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def whole(self, arm: dict[str, Any] | None = None, cameras: dict[str, Any] | None = None) -> None:
        self.start(StandInArmNode, start="ready", **(arm or {}))
        self.start(StandInCameraNode, **(cameras or {}))
        self.start(StandInPersonNode)

    def look(self, driver: DriverConfig = DRIVER, reference: Any = None) -> dict[str, str]:
        """Names and texts of the faults found."""
        node = Node("cell_probe", context=self.outside)
        executor = SingleThreadedExecutor(context=self.outside)
        executor.add_node(node)
        self._wait_for_discovery(node)
        probe = CellProbe(node, driver, TeleopConfig())
        done = threading.Event()
        thread = threading.Thread(target=self._live, args=(done,))
        thread.start()
        listen(executor, SECONDS)
        facts = probe.facts(self.folder, gpu=False)
        done.set()
        thread.join()
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        self.thumbnails = {view: camera.thumbnail for view, camera in facts.cameras.items()}
        facts.free_bytes = 1 << 40
        return {
            fault.name: fault.text for fault in find_faults(facts, driver, self.task, SIZE, "cpu", reference)
        }

    def _wait_for_discovery(self, node: Node) -> None:
        """On a busy machine the stand-ins are seen late; a person would look again."""
        there, until = {each.get_name() for each in self.nodes}, time.monotonic() + DISCOVERY
        while not there <= set(node.get_node_names()) and time.monotonic() < until:
            time.sleep(0.05)

    def _live(self, done: threading.Event) -> None:
        while not done.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self.executor.shutdown(timeout_sec=1.0)
        for node in self.nodes:
            node.destroy_node()
        rclpy.shutdown(context=self.context)
        rclpy.shutdown(context=self.outside)


@pytest.fixture
def cell(tmp_path: Path, task: TaskConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInCell]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    cell = StandInCell(tmp_path, task)
    yield cell
    cell.close()


def other_node(cell: StandInCell) -> Node:
    node = Node("stranger", context=cell.context)
    cell.nodes.append(node)
    cell.executor.add_node(node)
    return node


def second_writer(cell: StandInCell) -> None:
    cell.whole()
    cell.keep = other_node(cell).create_publisher(JointState, DRIVER.topics.target_joints.name, 1)  # type: ignore[attr-defined]


def error(cell: StandInCell) -> None:
    cell.whole(arm={"error_after": 0.1})


def silent_arm(cell: StandInCell) -> None:
    cell.whole(arm={"mute_after": 1e-6})


def joint_out(cell: StandInCell) -> None:
    cell.whole()
    cell.nodes[0].arm.joints = READY + np.array([0.0, 0.0, 2.0, 0.0, 0.0, 0.0])


def malformed(cell: StandInCell) -> None:
    cell.whole(arm={"mute_after": 1e-6})
    node = other_node(cell)
    publisher = node.create_publisher(JointState, DRIVER.topics.feedback_arm.name, 5)
    node.create_timer(0.005, lambda: publisher.publish(JointState(position=[0.0, float("nan")])))


def slow_arm(cell: StandInCell) -> None:
    cell.whole(arm={"drop": 0.95})


def stuck_button(cell: StandInCell) -> None:
    cell.start(StandInArmNode, start="ready")
    cell.start(StandInCameraNode)
    node = other_node(cell)
    publisher = node.create_publisher(Joy, "joy", 5)
    buttons = [0] * 12
    buttons[TeleopConfig().buttons.success] = 1
    node.create_timer(0.05, lambda: publisher.publish(Joy(axes=[0.0] * 8, buttons=buttons)))


def without(*kinds: Any) -> Callable[[StandInCell], None]:
    def start(cell: StandInCell) -> None:
        for kind in (StandInArmNode, StandInCameraNode, StandInPersonNode):
            if kind not in kinds:
                cell.start(kind, **({"start": "ready"} if kind is StandInArmNode else {}))

    return start


def camera(fault: str = "", **parameters: Any) -> Callable[[StandInCell], None]:
    return lambda cell: cell.whole(cameras={"fault": fault, "view": "wrist", **parameters})


SEEDED: dict[str, Callable[[StandInCell], None]] = {
    "no_arm_feedback": without(StandInArmNode),
    "arm_feedback_silent": silent_arm,
    "arm_feedback_slow": slow_arm,
    "arm_feedback_malformed": malformed,
    "arm_error": error,
    "joint_outside_limits": joint_out,
    "second_writer": second_writer,
    "camera_missing": without(StandInCameraNode),
    "camera_wrong_type": camera("wrong_type"),
    "camera_stalled": camera("stall"),
    "camera_slow": camera("slow"),
    "camera_frozen": camera("frozen"),
    "camera_black": camera("black"),
    "camera_wrong_size": camera("wrong_size"),
    "camera_wrong_encoding": camera("wrong_encoding"),
    "cameras_swapped": camera("swapped"),
    "clock_skew": camera(skew=-3.0),
    "operator_missing": without(StandInPersonNode),
    "operator_button_stuck": stuck_button,
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", SEEDED)
def test_a_seeded_fault_is_found_by_its_name(fault: str, cell: StandInCell) -> None:
    SEEDED[fault](cell)
    found = cell.look()
    assert fault in found, found
    assert len(found[fault]) > 30, "it says what to do"


@pytest.mark.slow
def test_a_healthy_cell_has_no_fault(cell: StandInCell) -> None:
    cell.whole()
    found = cell.look()
    assert set(found) <= {"arm_feedback_slow", "camera_slow"}, found  # a busy machine is slow


@pytest.mark.slow
def test_a_qos_mismatch_names_the_side_and_the_setting(cell: StandInCell) -> None:
    cell.whole(arm={"reliability": "best_effort"})
    text = cell.look(STRICT)["arm_feedback_qos"]
    assert "/standin_arm publishes best effort" in text and "reliability=best_effort" in text


@pytest.mark.slow
def test_either_qos_of_the_vendor_is_heard_with_the_default_settings(cell: StandInCell) -> None:
    cell.whole(arm={"reliability": "reliable", "durability": "transient_local"})
    found = cell.look()
    assert not {"arm_feedback_qos", "arm_feedback_silent", "no_arm_feedback"} & set(found)


@pytest.mark.slow
def test_remembered_pictures_tell_swapped_cables(cell: StandInCell) -> None:
    """With the serial numbers exchanged the frame ids are right and the pictures are not."""
    cell.whole()
    cell.look()
    right = dict(cell.thumbnails)
    assert "cameras_swapped" not in cell.look(reference=right)
    assert "cameras_swapped" in cell.look(reference={"side": right["wrist"], "wrist": right["side"]})


def healthy(task: TaskConfig) -> CellFacts:
    def heard(kind: type[Any], topic: str, type_name: str) -> Any:
        facts = kind(topic, type_name)
        facts.publishers = [Endpoint("/x", type_name, True, False)]
        facts.count, facts.rate = 100, 100.0
        return facts

    cameras = {}
    for view in ("side", "wrist"):
        facts = heard(CameraFacts, f"/{view}/color/image_raw", "sensor_msgs/msg/Image")
        facts.sizes, facts.encodings, facts.different = {SIZE}, {"rgb8"}, 90
        facts.frames = {f"{view}_color_optical_frame"}
        cameras[view] = facts
    joints = "sensor_msgs/msg/JointState"
    return CellFacts(
        arm=heard(Heard, "/hdas/feedback_arm", joints),
        gripper=heard(Heard, "/hdas/feedback_gripper", joints),
        joy=heard(Heard, "/joy", "sensor_msgs/msg/Joy"),
        cameras=cameras,
        seconds=1.0,
        joints=READY,
    )


def names(facts: CellFacts, task: TaskConfig, machine: str = "cpu") -> set[str]:
    return {fault.name for fault in find_faults(facts, DriverConfig(), task, SIZE, machine)}


def test_facts_without_a_fault_give_none(task: TaskConfig) -> None:
    assert names(healthy(task), task) == set()


def test_joint_3_at_rest_is_no_fault_but_the_place_is_said(task: TaskConfig) -> None:
    facts = healthy(task)
    facts.joints = np.array([0.0, 0.0, np.radians(1.5), 0.0, 0.0, 0.0])
    assert names(facts, task) == {"arm_outside_box"}


def test_what_stand_ins_cannot_seed(task: TaskConfig) -> None:
    facts = healthy(task)
    facts.free_bytes, facts.have_vendor = 100, False
    facts.commanders = ["/policy"]
    facts.gripper.count = 0
    facts.cameras["side"].count = 0
    facts.cameras["side"].reliable = True
    facts.cameras["side"].publishers = [Endpoint("/side", "sensor_msgs/msg/Image", False, False)]
    facts.arm.publishers = [Endpoint("/hdas", "std_msgs/msg/String", True, False)]
    expected = {"disk_full", "gpu_missing", "vendor_messages_missing", "second_policy", "camera_qos"}
    assert names(facts, task, "gpu") >= expected | {"arm_feedback_wrong_type"}
    other = healthy(task)
    other.gripper.count = 0
    assert names(other, task) == {"gripper_silent"}


def test_field_report_05_08_10_targets_unheard_and_an_operator_s_device_that_is_none(
    task: TaskConfig,
) -> None:
    facts = healthy(task)
    facts.links = [SendingLink("driver.topics.target_joints", "nobody listens to /x")]
    facts.few_buttons, facts.unproven = "/joy has 2 buttons, teleop.buttons names button 6", True
    assert names(facts, task) == {"nobody_listens", "operator_buttons", "operator_unproven"}


@pytest.mark.parametrize(
    ("seen", "wrong"), [((0.0, 98.0), False), ((-3.0, 103.0), False), ((3.0, 250.0), True)]
)
def test_field_report_gripper_range_is_seen(seen: tuple[float, float], wrong: bool, task: TaskConfig) -> None:
    facts = healthy(task)
    facts.gripper_range = seen
    assert names(facts, task) == ({"gripper_range"} if wrong else set())


@pytest.mark.parametrize(
    ("skew", "level"), [(0.05, None), (-0.3, "warning"), (0.6, "error"), (-30.0, "error")]
)
def test_attack_03_clocks_of_two_computers_are_bounded(
    skew: float, level: str | None, task: TaskConfig
) -> None:
    facts = healthy(task)
    facts.cameras["side"].skew = skew
    found = find_faults(facts, DriverConfig(), task, SIZE, "cpu")
    assert [(fault.name, fault.level) for fault in found] == ([("clock_skew", level)] if level else [])


def test_field_report_14_two_users_of_one_machine_are_named(task: TaskConfig) -> None:
    facts = healthy(task)
    facts.other_users = ["root"]
    assert names(facts, task) == set(), "they are heard: another way than shared memory was chosen"
    facts.arm.count = 0
    (text,) = (f.text for f in find_faults(facts, DriverConfig(), task, SIZE) if f.name == "two_users")
    assert "/hdas/feedback_arm" in text and "root runs ROS 2 here" in text and "as one user" in text


def test_field_report_15_a_discovery_server_left_in_the_shell_is_named(task: TaskConfig) -> None:
    facts = healthy(task)
    facts.left_over = left_over({"ROS_DISCOVERY_SERVER": "10.0.0.1:11811", "ROS_LOCALHOST_ONLY": "0"})
    assert names(facts, task) == {"inherited_environment"}
    facts.arm.count, facts.arm.publishers = 0, []
    found = {f.name: f for f in find_faults(facts, DriverConfig(), task, SIZE)}["inherited_environment"]
    assert found.level == "error" and "unset ROS_DISCOVERY_SERVER" in found.text


@pytest.mark.slow
def test_field_report_05_a_listener_that_asks_for_more_is_named(cell: StandInCell) -> None:
    """Both ends: a transient-local subscription never hears a volatile publisher."""
    cell.whole()
    node, standin = other_node(cell), cell.nodes[0]
    for subscription in list(standin.subscriptions):
        if subscription.topic_name == DRIVER.topics.target_joints.name:
            standin.destroy_subscription(subscription)
    assert "nobody listens to /motion_target/target_joint_state_arm" in cell.look()["nobody_listens"]
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(JointState, DRIVER.topics.target_joints.name, lambda message: None, qos)
    text = cell.look()["nobody_listens"]
    assert "nobody can hear" in text, text
    assert "/stranger asks for transient-local" in text and "durability=transient_local" in text


def test_every_fault_that_is_looked_for_is_tested() -> None:
    here = Path(__file__).read_text()
    assert len(SEEDED) >= 15
    assert not [name for name in FAULTS if f'"{name}"' not in here]
