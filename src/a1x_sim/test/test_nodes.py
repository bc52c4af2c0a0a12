"""The simulator and operator nodes over real DDS, all in one process and one thread."""

import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from worldsample_core.arm.a1x_kinematics import ARM_JOINT_NAMES, forward_kinematics
from worldsample_core.config import to_mapping

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs.msg")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, JointState  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

import a1x_sim.operator_node as operator_node  # noqa: E402
import a1x_sim.sim_node as sim_node  # noqa: E402
from a1x_sim.simulated_cameras import calibrations  # noqa: E402
from a1x_sim.tasks import TASKS  # noqa: E402
from worldsample_core.messages.conversions import image_to_numpy, stamp_ns  # noqa: E402
from worldsample_core.messages.qos import COMMAND, LATCHED, SENSOR, STATUS, TRANSFORMS  # noqa: E402
from worldsample_core.settings import CamerasConfig, RunConfig, Settings  # noqa: E402
from worldsample_msgs.msg import (  # noqa: E402
    EndEffectorCommand,
    Intervention,
    LearnerStatus,
    RobotStatus,
    SimState,
)
from worldsample_msgs.srv import Reset  # noqa: E402

pytestmark = pytest.mark.real_time

PERIOD = 100_000_000
URDF = Path(__file__).parent.parent / "urdf" / "a1x.urdf"


class CellClient(Node):
    """Stands in for policy and learner: keeps everything it hears, by topic."""

    TOPICS = (
        ("side", "/side/color/image_raw", Image, SENSOR),
        ("wrist", "/wrist/color/image_raw", Image, SENSOR),
        ("info", "/wrist/color/camera_info", CameraInfo, SENSOR),
        ("joints", "/joint_states", JointState, SENSOR),
        ("pose", "/a1x/ee_pose", PoseStamped, SENSOR),
        ("status", "/a1x/status", RobotStatus, STATUS),
        ("truth", "/sim/state", SimState, STATUS),
        ("operator", "/operator/intervention", Intervention, STATUS),
    )

    def __init__(self) -> None:
        super().__init__("client")
        self.heard: dict[str, list[Any]] = {key: [] for key, *_ in self.TOPICS}
        for key, topic, kind, qos in self.TOPICS:
            self.create_subscription(kind, topic, self.heard[key].append, qos)
        self.commands = self.create_publisher(EndEffectorCommand, "/a1x/command", COMMAND)
        self.learner = self.create_publisher(LearnerStatus, "/learner/status", STATUS)
        self.resets = self.create_client(Reset, "/a1x/reset")

    def last(self, key: str) -> Any:
        return self.heard[key][-1]

    def stamp(self) -> int:
        return stamp_ns(self.last("truth").header.stamp)


class CellGraph:
    """The nodes under one executor."""

    def __init__(self, config: Path, lag: int, lockstep: bool) -> None:
        options = f"--ros-args -p config:={config} -p lag:={lag} -p lockstep:={str(lockstep).lower()}"
        options += f" -p urdf:={URDF}"
        rclpy.init(args=options.split(), domain_id=90)
        self.sim, self.operator, self.client = sim_node.SimNode(), operator_node.OperatorNode(), CellClient()
        self.executor = SingleThreadedExecutor()
        for node in (self.sim, self.operator, self.client):
            self.executor.add_node(node)
        assert self.until(lambda: self.client.resets.service_is_ready() and self.client.heard["truth"])

    def until(self, condition: Callable[[], Any], seconds: float = 5.0) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def spin(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def reset(self, seed: int, mode: str, episode: int = 0) -> Reset.Response:
        future = self.client.resets.call_async(Reset.Request(seed=seed, mode=mode, episode=episode))
        assert self.until(future.done)
        response = future.result()
        if response.success:
            assert self.until(lambda: self.complete(stamp_ns(response.stamp)))
        return response

    def complete(self, stamp: int) -> bool:
        """True if every message of a tick has arrived, the operator's too."""
        heard = self.client.heard.values()
        return all(messages and stamp_ns(messages[-1].header.stamp) == stamp for messages in heard)

    def send(self, stamp: int, x: float = 0.0, z: float = 0.0) -> None:
        command = EndEffectorCommand()
        command.header.frame_id = "base_link"
        command.header.stamp.sec, command.header.stamp.nanosec = divmod(stamp, 10**9)
        command.translation.x, command.translation.z = x, z
        self.client.commands.publish(command)

    def close(self) -> None:
        for node in (self.sim, self.operator, self.client):
            node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "config.yaml"
    cameras = CamerasConfig(**calibrations(TASKS["pushing"](), (64, 64)))
    run, task = RunConfig(name="test", directory=str(path.parent)), TASKS["pushing"].config
    settings = Settings(run=run, task=task, cameras=cameras)
    path.write_text(yaml.safe_dump(to_mapping(settings)))
    return path


@pytest.fixture
def graph(config: Path, request: pytest.FixtureRequest) -> Iterator[CellGraph]:
    graph = CellGraph(config, **{"lag": 1000, "lockstep": True, **getattr(request, "param", {})})
    yield graph
    graph.close()


def test_lockstep_advances_exactly_on_the_right_stamp(graph: CellGraph) -> None:
    client = graph.client
    start = stamp_ns(graph.reset(1, "train").stamp)
    position = client.last("pose").pose.position.x
    graph.send(start - PERIOD, x=0.01)
    graph.send(start + PERIOD, x=0.01)
    graph.spin(0.2)
    assert client.stamp() == start
    graph.send(start, x=0.01)
    assert graph.until(lambda: graph.complete(start + PERIOD))
    graph.send(start, x=0.01)  # the same command again
    graph.spin(0.2)
    assert client.stamp() == start + PERIOD
    assert client.last("status").commands_applied == 1
    assert 0.005 < client.last("pose").pose.position.x - position < 0.012
    assert image_to_numpy(client.last("side")).shape == (64, 64, 3)
    assert client.last("joints").name[:1] == ["arm_joint1"] and len(client.last("joints").position) == 8
    assert client.last("info").k[0] == pytest.approx(32 / np.tan(np.radians(33)))


def test_the_tree_of_frames_is_complete(graph: CellGraph) -> None:
    """A viewer that joins late finds every frame, and the hand where the arm says it is."""
    graph.reset(1, "train")
    heard: dict[str, list[Any]] = {"tf": [], "tf_static": [], "description": []}
    client = graph.client
    client.create_subscription(TFMessage, "/tf", heard["tf"].append, TRANSFORMS)
    client.create_subscription(TFMessage, "/tf_static", heard["tf_static"].append, LATCHED)
    client.create_subscription(String, "/robot_description", heard["description"].append, LATCHED)
    assert graph.until(lambda: all(heard.values()))
    moving, fixed = heard["tf"][-1].transforms, heard["tf_static"][-1].transforms
    assert all(each.header.stamp == heard["tf"][-1].transforms[0].header.stamp for each in moving)
    parents = {each.child_frame_id: each.header.frame_id for each in (*moving, *fixed)}
    assert len(parents) == len(moving) + len(fixed)  # nobody has two parents
    robot = ElementTree.fromstring(heard["description"][0].data)
    links = {str(link.get("name")) for link in robot.findall("link")}
    cameras = {client.last(view).header.frame_id for view in ("side", "wrist")}
    assert set(parents) >= (links - {"base_link"}) | cameras
    for frame in parents:
        while frame != "base_link":
            frame = parents[frame]
    joints = dict(zip(client.last("joints").name, client.last("joints").position, strict=True))
    position, _ = forward_kinematics(np.array([joints[name] for name in ARM_JOINT_NAMES]))
    at = client.last("pose").pose.position
    np.testing.assert_allclose(position, (at.x, at.y, at.z), atol=1e-6)
    angle = {each.child_frame_id: each.transform.rotation for each in moving}["arm_link2"]
    assert 2 * np.arctan2(angle.y, angle.w) == pytest.approx(joints["arm_joint2"])


def test_bad_commands_are_counted_and_not_applied(graph: CellGraph) -> None:
    start = stamp_ns(graph.reset(1, "train").stamp)
    for x in (float("nan"), float("inf"), 0.5):
        graph.send(start, x=x)
        graph.spin(0.05)
    assert graph.client.stamp() == start
    graph.send(start, x=0.0)
    assert graph.until(lambda: graph.complete(start + PERIOD))
    assert graph.client.last("status").commands_rejected == 3
    assert graph.client.last("status").commands_applied == 1


def test_a_tick_without_an_answer_comes_again(graph: CellGraph) -> None:
    start = stamp_ns(graph.reset(1, "train").stamp)
    count, answers = len(graph.client.heard["side"]), len(graph.client.heard["operator"])
    assert graph.until(lambda: len(graph.client.heard["side"]) > count, seconds=1.5)
    assert graph.until(lambda: len(graph.client.heard["operator"]) > answers)
    assert graph.client.stamp() == start


def test_attack_04_a_forged_reset_in_mid_episode_moves_nothing(graph: CellGraph) -> None:
    """Under the run's own name, from another process: for DDS a second context is one."""
    stamp = stamp_ns(graph.reset(1, "train").stamp)
    graph.send(stamp, x=0.01)
    assert graph.until(lambda: graph.client.stamp() == stamp + PERIOD)
    context = Context()
    rclpy.init(context=context, domain_id=90)
    intruder, executor = Node("intruder", context=context), SingleThreadedExecutor(context=context)
    executor.add_node(intruder)
    client = intruder.create_client(Reset, "/a1x/reset")
    try:
        assert graph.until(client.service_is_ready)
        answer = client.call_async(Reset.Request(seed=2, mode="train"))
        assert graph.until(lambda: executor.spin_once(timeout_sec=0.01) or answer.done())
        assert answer.result().taken and "another program drives this arm" in answer.result().message
    finally:
        executor.shutdown(timeout_sec=1.0)
        intruder.destroy_node()
        rclpy.shutdown(context=context)
    assert graph.client.stamp() == stamp + PERIOD, "the episode goes on"
    assert graph.reset(2, "train").success, "who commands may reset"


def test_an_unknown_mode_is_refused(graph: CellGraph) -> None:
    response = graph.reset(1, "play")
    assert not response.success and "demo, train, eval" in response.message


@pytest.mark.parametrize("graph", [{"lag": 1}], indirect=True)
def test_ticks_wait_for_the_learner_but_not_for_ever(graph: CellGraph) -> None:
    client = graph.client
    start = stamp_ns(graph.reset(1, "train").stamp)
    client.learner.publish(LearnerStatus(state=LearnerStatus.TRAINING, completed_steps=0))
    graph.send(start)
    assert graph.until(lambda: graph.complete(start + PERIOD))  # one step ahead is allowed
    graph.send(start + PERIOD)
    graph.spin(0.3)
    assert client.stamp() == start + PERIOD
    client.learner.publish(LearnerStatus(state=LearnerStatus.TRAINING, completed_steps=1))
    assert graph.until(lambda: graph.complete(start + 2 * PERIOD))
    graph.send(start + 2 * PERIOD)
    began = time.monotonic()
    assert graph.until(lambda: graph.complete(start + 3 * PERIOD), seconds=4)
    assert time.monotonic() - began > 1.0


def test_a_demonstration_runs_through(graph: CellGraph) -> None:
    stamp = stamp_ns(graph.reset(7, "demo").stamp)
    scale = TASKS["pushing"].config.action_scale
    for _ in range(60):
        answer = graph.client.last("operator")
        if answer.success:
            break
        assert answer.active
        command = EndEffectorCommand()
        command.header = answer.header
        command.header.frame_id = "base_link"
        move = command.translation
        move.x, move.y, move.z = (float(a) * s for a, s in zip(answer.action[:3], scale[:3], strict=True))
        graph.client.commands.publish(command)
        stamp += PERIOD
        assert graph.until(lambda stamp=stamp: graph.complete(stamp))
    assert graph.client.last("truth").success and graph.client.last("operator").success


@pytest.mark.parametrize("graph", [{"lockstep": False}], indirect=True)
def test_real_time_keeps_its_own_pace(graph: CellGraph) -> None:
    graph.reset(1, "train")
    count = len(graph.client.heard["truth"])
    graph.spin(1.2)
    assert 9 <= len(graph.client.heard["truth"]) - count <= 14
    assert graph.client.last("status").state == RobotStatus.HOLDING
    graph.send(graph.client.stamp(), x=0.005)
    applied = graph.client.last("status").commands_applied
    assert graph.until(lambda: graph.client.last("status").commands_applied == applied + 1, seconds=1)
    graph.send(graph.client.stamp() - 10 * PERIOD, x=0.005)
    assert graph.until(lambda: graph.client.last("status").commands_rejected == 1, seconds=1)


@pytest.mark.parametrize("node", [sim_node, operator_node])
def test_a_missing_configuration_is_exit_code_2(node: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert node.main(["--ros-args", "-p", "config:=/does/not/exist.yaml"]) == 2
    assert "/does/not/exist.yaml" in capsys.readouterr().err
