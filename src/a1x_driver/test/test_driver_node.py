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
from worldsample_core.config import TaskConfig, to_mapping
from worldsample_core.settings import RunConfig, Settings

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs.msg")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import JointState, Joy  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

import a1x_driver.driver_node as driver_node  # noqa: E402
import a1x_driver.teleop_node as teleop_node  # noqa: E402
from a1x_driver.standin_arm_node import StandInArmNode  # noqa: E402
from worldsample_core.messages.conversions import to_time  # noqa: E402
from worldsample_core.messages.qos import COMMAND, SENSOR, STATUS  # noqa: E402
from worldsample_msgs.msg import EndEffectorCommand, GripperState, Intervention, RobotStatus  # noqa: E402
from worldsample_msgs.srv import Reset  # noqa: E402

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

    def __init__(self, folder: Path, task: TaskConfig, config: DriverConfig = CONFIG, **arm: Any) -> None:
        self.config = folder / "config.yaml"
        run = RunConfig(name="real", directory=str(folder), lockstep=False, sim=False)
        settings = Settings(run=run, task=task, driver=to_mapping(config))
        self.config.write_text(yaml.safe_dump(to_mapping(settings)))
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes: list[Any] = []
        self.arm = self.add(StandInArmNode, **{"start": "ready", **arm})
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
            ("diagnostics", DiagnosticArray, "/diagnostics", 10),
            ("intervention", Intervention, "operator/intervention", STATUS),
            ("target_pose", PoseStamped, config.topics.target_pose.name, 10),
        ):
            self.heard[name] = []
            self.client.create_subscription(kind, topic, self.heard[name].append, qos)
        self.commands = self.client.create_publisher(EndEffectorCommand, "a1x/command", COMMAND)
        assert self.until(lambda: self.heard["pose"] and self.heard["status"])
        assert self.until(lambda: self.state() != RobotStatus.FAULT)

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
