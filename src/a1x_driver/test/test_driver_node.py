"""The driver's node over DDS: the graph's topics and services on one side, the vendor's on the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from a1x_driver.driver_config import DriverConfig, ResetMotion, Watchdog
from worldsample_core.camera_calibration import CameraCalibration
from worldsample_core.config import TaskConfig, to_mapping
from worldsample_core.settings import CamerasConfig, RunConfig, Settings

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs.msg")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import JointState, Joy  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

import a1x_driver.driver_node as driver_node  # noqa: E402
import a1x_driver.teleop_node as teleop_node  # noqa: E402
from a1x_driver.standin_arm_node import StandInArmNode  # noqa: E402
from worldsample_core.messages.conversions import to_time  # noqa: E402
from worldsample_core.messages.qos import (  # noqa: E402
    COMMAND,
    LATCHED,
    RESULTS,
    SENSOR,
    STATUS,
    TRANSFORMS,
)
from worldsample_msgs.msg import (  # noqa: E402
    CommandResult,
    EndEffectorCommand,
    GripperState,
    Intervention,
    RobotStatus,
)
from worldsample_msgs.srv import ArmFunction, Reset  # noqa: E402

pytestmark = pytest.mark.real_time

DOMAIN = 97
# Generous: the tests run on busy machines.
CONFIG = DriverConfig(
    standin=True,
    watchdog=Watchdog(command=1.0, command_age=5.0, feedback=2.0, recovery=0.1),
    reset=ResetMotion(speed=1.0),
)


class DriverBench:
    """Driver, stand-in arm and a client in one thread; the client hears the graph's topics."""

    def __init__(
        self,
        folder: Path,
        task: TaskConfig,
        config: DriverConfig = CONFIG,
        vendor: Callable[[Context], Node] | None = None,
        cameras: CamerasConfig | None = None,
        **arm: Any,
    ) -> None:
        self.config = folder / "config.yaml"
        run = RunConfig(name="real", directory=str(folder), lockstep=False, sim=False)
        settings = Settings(run=run, task=task, cameras=cameras or CamerasConfig(), driver=to_mapping(config))
        self.config.write_text(yaml.safe_dump(to_mapping(settings)))
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes: list[Any] = []
        if vendor is None:
            self.arm = self.add(StandInArmNode, **{"start": "ready", **arm})
        else:
            self.nodes.append(vendor(self.context))
            self.executor.add_node(self.nodes[0])
        self.driver = self.add(driver_node.DriverNode)
        self.client = Node("client", context=self.context)
        self.nodes.append(self.client)
        self.executor.add_node(self.client)
        self.heard: dict[str, list[Any]] = {}
        for name, kind, topic, qos in (
            ("pose", PoseStamped, "a1x/ee_pose", SENSOR),
            ("gripper", GripperState, "a1x/gripper", SENSOR),
            ("joints", JointState, "joint_states", SENSOR),
            ("status", RobotStatus, "a1x/status", STATUS),
            ("executed", CommandResult, "a1x/executed", RESULTS),
            ("diagnostics", DiagnosticArray, "/diagnostics", 10),
            ("tf", TFMessage, "/tf", TRANSFORMS),
            ("tf_static", TFMessage, "/tf_static", LATCHED),
            ("intervention", Intervention, "operator/intervention", STATUS),
            ("target_pose", PoseStamped, config.topics.target_pose.name, 10),
        ):
            self.heard[name] = []
            self.client.create_subscription(kind, topic, self.heard[name].append, qos)
        self.commands = self.client.create_publisher(EndEffectorCommand, "a1x/command", COMMAND)
        assert self.until(lambda: self.heard["pose"] and self.heard["status"])
        assert vendor is not None or self.until(lambda: self.state() != RobotStatus.FAULT)

    def add(self, kind: Any, **parameters: Any) -> Any:
        values = {"config": str(self.config), **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = kind(context=self.context, parameter_overrides=overrides)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def call(self, kind: Any, name: str, request: Any, seconds: float = 40.0) -> Any:
        client = self.client.create_client(kind, name)
        assert self.until(client.service_is_ready)
        future = client.call_async(request)
        assert self.until(future.done, seconds)
        return future.result()

    def send(self, x: float, age: float = 0.0) -> None:
        command = EndEffectorCommand()
        command.header.frame_id = "base_link"
        command.header.stamp = to_time(time.time() - age)
        command.translation.x = x
        self.commands.publish(command)

    def state(self) -> int:
        return int(self.heard["status"][-1].state)

    def close(self) -> None:
        self.executor.shutdown(timeout_sec=1.0)
        for node in self.nodes:
            node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def make(
    tmp_path: Path, task: TaskConfig, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., DriverBench]]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    made: list[DriverBench] = []

    def build(**arguments: Any) -> DriverBench:
        made.append(DriverBench(tmp_path, task, **arguments))
        return made[-1]

    yield build
    for bench in made:
        bench.close()


@pytest.mark.slow
def test_reset_then_commands_move_the_arm(make: Callable[..., DriverBench]) -> None:
    """Out of the box: folded, switched off, joint 3 at +1.5 deg; feedback lossy and late."""
    bench = make(start="rest", drop=0.1, late=0.1)
    assert not bench.arm.arm.enabled
    answer = bench.call(Reset, "a1x/reset", Reset.Request(mode="train"))
    assert answer.success, answer.message
    assert bench.arm.arm.enabled, "the reset has enabled it"
    assert np.allclose(bench.arm.arm.joints, bench.driver.arm.home, atol=0.03)
    before = bench.heard["pose"][-1].pose.position.x
    for _ in range(4):
        bench.send(0.01)
        bench.until(lambda: False, 0.15)
    assert bench.until(lambda: bench.heard["pose"][-1].pose.position.x > before + 0.03)
    assert bench.heard["status"][-1].commands_applied >= 3
    assert bench.arm.arm.judgement.jump == 0, bench.arm.arm.judgement.examples
    joints, pose = bench.heard["joints"][-1], bench.heard["pose"][-1]
    assert joints.name[:6] == [f"arm_joint{i}" for i in range(1, 7)] and len(joints.position) == 8
    assert pose.header.frame_id == "base_link"
    assert abs(pose.header.stamp.sec - time.time()) < 5, "this machine's clock"
    assert bench.until(lambda: bench.heard["diagnostics"])
    values = {v.key: v.value for v in bench.heard["diagnostics"][-1].status[0].values}
    assert float(values["feedback_hz"]) > 5 and "command_to_target_p99_ms" in values


def frames(message: TFMessage) -> dict[str, str]:
    """Parent of each frame in a message."""
    return {each.child_frame_id: each.header.frame_id for each in message.transforms}


def test_transforms_come_with_the_joints_and_the_calibration(make: Callable[..., DriverBench]) -> None:
    side = CameraCalibration(position=(0.8, -0.4, 0.4), rotation=(0.0, 0.5, 2.4))
    bench = make(cameras=CamerasConfig(side=side))
    assert bench.until(lambda: bench.heard["tf"] and bench.heard["tf_static"])
    assert frames(bench.heard["tf_static"][-1]) == {
        "gripper_link": "arm_link6",
        "side_link": "base_link",  # the wrist camera is not calibrated
        "side_color_frame": "side_link",
        "side_color_optical_frame": "side_color_frame",
    }
    assert len(frames(bench.heard["tf"][-1])) == 8
    joints = {message.header.stamp.nanosec for message in bench.heard["joints"]}
    stamps = {message.transforms[0].header.stamp.nanosec for message in bench.heard["tf"]}
    assert joints & stamps


@pytest.mark.slow
def test_bad_commands_are_counted_and_a_silent_policy_means_holding(make: Callable[..., DriverBench]) -> None:
    bench = make()
    assert bench.call(Trigger, "a1x/enable", Trigger.Request()).success
    for x in (float("nan"), 1e9):
        bench.send(x)
        bench.until(lambda: False, 0.05)
    bench.send(0.005, age=30.0)
    assert bench.until(lambda: bench.heard["status"][-1].commands_rejected == 3)
    bench.send(0.005)
    assert bench.until(lambda: bench.state() == RobotStatus.OK)
    assert bench.until(lambda: bench.state() == RobotStatus.HOLDING)


@pytest.mark.slow
def test_lost_feedback_and_an_error_are_faults_with_a_remedy(make: Callable[..., DriverBench]) -> None:
    quick = dataclasses.replace(CONFIG, watchdog=dataclasses.replace(CONFIG.watchdog, feedback=0.3))
    bench = make(config=quick)
    bench.arm._muted = True
    assert bench.until(lambda: bench.state() == RobotStatus.FAULT)
    assert "no feedback" in bench.heard["status"][-1].detail
    bench.arm._muted = False
    assert bench.until(lambda: bench.state() != RobotStatus.FAULT)
    bench.arm.arm.error = 17
    assert bench.until(lambda: "code 17" in bench.heard["status"][-1].detail)
    answer = bench.call(Reset, "a1x/reset", Reset.Request(mode="train"))
    assert not answer.success and "clear_errors" in answer.message
    bench.call(Trigger, "a1x/clear_errors", Trigger.Request())
    assert bench.until(lambda: bench.state() != RobotStatus.FAULT)
    assert bench.arm.arm.error == 0, "the arm was asked to clear it"


class Vendor(Node):  # type: ignore[misc]
    """The vendor's driver without a listener for targets, whose function service notes what it is told."""

    def __init__(self, context: Context, answer: bool | None) -> None:
        super().__init__("vendor", context=context)
        self.codes: list[int] = []
        self.answer = answer
        self.publisher = self.create_publisher(JointState, CONFIG.topics.feedback_arm.name, 5)
        self.pose = [0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0]
        self.create_timer(0.01, lambda: self.publisher.publish(JointState(position=self.pose)))
        if answer is not None:
            self.create_service(ArmFunction, CONFIG.topics.function_frame.name, self._on_function)

    def hear(self, qos: Any) -> None:
        self.create_subscription(JointState, CONFIG.topics.target_joints.name, lambda message: None, qos)
        self.create_subscription(JointState, CONFIG.topics.target_gripper.name, lambda message: None, 1)

    def _on_function(self, request: Any, response: Any) -> Any:
        self.codes.append(int(request.command))
        response.success, response.message = bool(self.answer), "" if self.answer else "not while it is hot"
        return response


def ready(bench: DriverBench) -> bool:
    """The vendor's driver is heard, and hears."""
    unbroken = bench.driver.arm.feedback.unbroken(time.monotonic())
    return bench.driver._vendor.unheard() == "" and bool(unbroken > 0.2)


@pytest.mark.slow
def test_field_report_02_an_answer_no_is_told(make: Callable[..., DriverBench]) -> None:
    bench = make(vendor=lambda context: Vendor(context, answer=False))
    bench.nodes[0].hear(1)
    assert bench.until(lambda: ready(bench))
    answer = bench.call(Trigger, "a1x/enable", Trigger.Request())
    assert not answer.success and "not while it is hot" in answer.message
    assert not bench.driver.arm.enabled and bench.nodes[0].codes == [1]
    answer = bench.call(Reset, "a1x/reset", Reset.Request(mode="train"))
    assert not answer.success and "was not enabled" in answer.message and "hot" in answer.message
    answer = bench.call(Trigger, "a1x/clear_errors", Trigger.Request())
    assert not answer.success
    assert set(bench.nodes[0].codes) == {1, 5}, "never a code that releases the motors"


@pytest.mark.slow
@pytest.mark.parametrize("functions", ["service", "topic"])
def test_field_report_02_nobody_at_the_other_end_is_no_success(
    make: Callable[..., DriverBench], functions: Any
) -> None:
    bench = make(
        vendor=lambda context: Vendor(context, answer=None),
        config=dataclasses.replace(CONFIG, functions=functions),
    )
    bench.nodes[0].hear(1)
    assert bench.until(lambda: ready(bench))
    for name in ("a1x/enable", "a1x/clear_errors"):
        answer = bench.call(Trigger, name, Trigger.Request())
        assert not answer.success and "nobody" in answer.message and "function_frame" in answer.message


@pytest.mark.slow
def test_field_report_05_both_ends_of_the_target_topic_are_checked(make: Callable[..., DriverBench]) -> None:
    bench = make(vendor=lambda context: Vendor(context, answer=True))
    answer = bench.call(Reset, "a1x/reset", Reset.Request(mode="train"))
    assert not answer.success and "nobody listens to /motion_target/target_joint_state_arm" in answer.message
    assert bench.until(lambda: bench.state() == RobotStatus.FAULT)
    bench.nodes[0].hear(QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    bench.until(lambda: False, 1.5)
    answer = bench.call(Reset, "a1x/reset", Reset.Request(mode="train"))
    assert not answer.success and "/vendor asks for transient-local" in answer.message
    assert "driver.topics.target_joints.durability=transient_local" in answer.message


@pytest.mark.slow
def test_field_report_03_an_emergency_stop_at_the_nodes(make: Callable[..., DriverBench]) -> None:
    bench = make()
    assert bench.call(Trigger, "a1x/enable", Trigger.Request()).success
    stop = bench.client.create_publisher(Bool, "standin_arm/emergency_stop", 1)
    bench.send(0.01)
    assert bench.until(lambda: bench.state() == RobotStatus.OK)
    assert bench.until(lambda: stop.get_subscription_count() > 0)
    stop.publish(Bool(data=True))

    def push() -> bool:
        bench.send(0.01)
        bench.until(lambda: False, 0.1)
        return "repeats one reading" in bench.heard["status"][-1].detail

    assert bench.until(push)
    assert bench.until(lambda: push() and bench.heard["executed"][-1].outcome == CommandResult.REFUSED)
    stop.publish(Bool(data=False))
    assert bench.until(lambda: bench.state() != RobotStatus.FAULT)
    assert np.abs(bench.driver.arm._stream.joints - bench.arm.arm.joints).max() < 0.02
    assert bench.arm.arm.judgement.worst_after_jump < 0.2


@pytest.mark.slow
def test_attack_03_every_command_is_acknowledged(make: Callable[..., DriverBench]) -> None:
    bench = make()
    assert bench.call(Trigger, "a1x/enable", Trigger.Request()).success
    bench.send(0.005)
    assert bench.until(lambda: bench.heard["executed"])
    result = bench.heard["executed"][-1]
    assert result.outcome == CommandResult.EXECUTED and result.translation.x == pytest.approx(0.005)
    bench.send(0.005, age=30.0)
    assert bench.until(lambda: len(bench.heard["executed"]) == 2)
    result = bench.heard["executed"][-1]
    assert result.outcome == CommandResult.REFUSED and "old" in result.reason
    assert abs(time.time() - result.answers.sec - 30.0) < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("jump", [-30.0, 30.0])
def test_field_report_07_commands_count_again_at_once_after_the_clock_was_set(
    make: Callable[..., DriverBench], jump: float
) -> None:
    """The driver's clock is injected; commands answer observations that it has stamped."""
    bench = make()
    assert bench.call(Trigger, "a1x/enable", Trigger.Request()).success

    def answered() -> bool:
        command = EndEffectorCommand()
        command.header.frame_id = "base_link"
        command.header.stamp = bench.heard["pose"][-1].header.stamp
        command.translation.x = 0.001
        bench.commands.publish(command)
        bench.until(lambda: False, 0.1)
        return bool(bench.heard["executed"] and bench.heard["executed"][-1].outcome != CommandResult.REFUSED)

    assert bench.until(answered)
    bench.driver._stamps._wall = lambda: time.time_ns() + round(jump * 1e9)
    results = len(bench.heard["executed"])
    end = time.monotonic() + 4.0
    while time.monotonic() < end:
        answered()
    refused = [r for r in bench.heard["executed"][results:] if r.outcome == CommandResult.REFUSED]
    assert len(refused) <= 2, "the one or two that were under way"
    assert abs(bench.heard["pose"][-1].header.stamp.sec - time.time() - jump) < 2.0, "stamps follow"


@pytest.mark.slow
def test_a_second_writer_is_named(make: Callable[..., DriverBench]) -> None:
    bench = make()
    other = bench.client.create_publisher(JointState, CONFIG.topics.target_joints.name, 1)
    assert bench.until(lambda: "/client" in bench.heard["status"][-1].detail)
    assert bench.state() == RobotStatus.FAULT
    bench.client.destroy_publisher(other)
    assert bench.until(lambda: bench.state() != RobotStatus.FAULT), "and forgotten when it is gone"


@pytest.mark.slow
def test_two_policies_at_once_move_nothing(make: Callable[..., DriverBench]) -> None:
    bench = make()
    bench.client.create_publisher(EndEffectorCommand, "a1x/command", COMMAND)
    assert bench.until(lambda: "2 nodes that command" in bench.heard["status"][-1].detail)
    assert bench.state() == RobotStatus.FAULT


def reset_from_outside(bench: DriverBench, request: Reset.Request) -> Reset.Response:
    """Another program's reset: for DDS a second context is a second process."""
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    intruder, executor = Node("intruder", context=context), SingleThreadedExecutor(context=context)
    executor.add_node(intruder)
    client = intruder.create_client(Reset, "a1x/reset")
    try:
        assert bench.until(client.service_is_ready)
        answer = client.call_async(request)
        assert bench.until(lambda: executor.spin_once(timeout_sec=0.01) or answer.done())
        return answer.result()
    finally:
        executor.shutdown(timeout_sec=1.0)
        intruder.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.slow
def test_attack_04_another_run_s_reset_moves_nothing(make: Callable[..., DriverBench]) -> None:
    """Neither in an episode nor between two: the run that drives the arm is still there."""
    bench = make()
    assert bench.call(Reset, "a1x/reset", Reset.Request(mode="train", run="first")).success
    bench.driver._arm_services._writer.silence = 0.2
    for pause in (0.0, 0.5):
        bench.until(lambda: False, pause)
        answer = bench.call(Reset, "a1x/reset", Reset.Request(mode="train", run="second"))
        assert answer.taken and "the run first drives this arm" in answer.message
    assert not bench.driver.arm.resetting
    forged = reset_from_outside(bench, Reset.Request(mode="train", run="first"))
    assert forged.taken and "another program drives this arm for the run first" in forged.message
    assert not bench.driver.arm.resetting
    client = bench.client.create_client(Reset, "a1x/reset")
    again = Reset.Request(mode="train", run="first")
    slow = client.call_async(again)
    assert bench.until(lambda: bench.driver._arm_services._reset.under_way)
    answer = bench.call(Reset, "a1x/reset", again)
    assert answer.busy and not answer.success, "the run itself is asked to ask again"
    assert bench.until(slow.done) and slow.result().success
    bench.client.destroy_publisher(bench.commands)
    second = Reset.Request(mode="train", run="second")
    assert bench.until(lambda: bench.call(Reset, "a1x/reset", second).success), "the first one has left"


@pytest.mark.slow
def test_with_the_vendor_s_inverse_kinematics_poses_are_sent(make: Callable[..., DriverBench]) -> None:
    bench = make(config=dataclasses.replace(CONFIG, ik="vendor", gripper_interface="float32"))
    assert bench.call(Trigger, "a1x/enable", Trigger.Request()).success
    bench.send(0.005)
    assert bench.until(lambda: bench.heard["target_pose"])
    first, measured = bench.heard["target_pose"][0].pose.position, bench.heard["pose"][-1].pose.position
    assert abs(first.x - measured.x) < 0.01 and abs(first.z - measured.z) < 0.01


@pytest.mark.slow
def test_an_unknown_mode_and_a_disabled_arm_are_refused(make: Callable[..., DriverBench]) -> None:
    bench = make()
    assert "demo, train, eval" in bench.call(Reset, "a1x/reset", Reset.Request(mode="play")).message
    assert "no brakes" in bench.call(Trigger, "a1x/disable", Trigger.Request()).message
    answer = bench.call(Reset, "a1x/reset", Reset.Request(mode="train"))
    assert not answer.success and "~/enable" in answer.message


@pytest.mark.slow
def test_the_operator_s_node_speaks_only_while_its_device_does(make: Callable[..., DriverBench]) -> None:
    """Without a device nobody could intervene: nothing is published, and the policy holds."""
    bench = make()
    bench.add(teleop_node.TeleopNode)
    bench.until(lambda: False, 0.5)
    assert not bench.heard["intervention"]
    joy = bench.client.create_publisher(Joy, "joy", 5)
    buttons = [0] * 12

    def wish() -> Any:
        joy.publish(Joy(axes=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], buttons=buttons))
        return bench.heard["intervention"][-1] if bench.heard["intervention"] else Intervention()

    bench.client.create_timer(0.05, wish)
    assert bench.until(lambda: bench.heard["intervention"])
    assert not bench.heard["intervention"][-1].active
    buttons[5] = 1
    assert bench.until(lambda: bench.heard["intervention"][-1].active)
    message = bench.heard["intervention"][-1]
    assert message.action[0] == 1.0 and message.header.stamp.sec > 0
    buttons[0] = 1
    assert bench.until(lambda: any(m.success for m in bench.heard["intervention"]))


@pytest.mark.parametrize("node", [driver_node, teleop_node])
def test_a_missing_configuration_is_exit_code_2(node: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert node.main(["--ros-args", "-p", "config:=/does/not/exist.yaml"]) == 2
    assert "/does/not/exist.yaml" in capsys.readouterr().err
