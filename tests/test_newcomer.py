"""Things over which newcomers stumbled: each is right now, and said where a person meets it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("worldsample_msgs")
import rclpy
from rcl_interfaces.srv import ListParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from worldsample_bringup import cli
from worldsample_bringup.dashboard.progress import Pace, follow, live_line, seconds_left
from worldsample_bringup.graph.announcement import closing
from worldsample_bringup.graph.runner import Outcome
from worldsample_bringup.report.report import write_report
from worldsample_bringup.run import prepare
from worldsample_bringup.run.history import History
from worldsample_bringup.run.options import Request, options_of
from worldsample_core.command_name import BESIDE_ROS, command_name
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.episodes.episode_bag import encode_transition
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import RunBounds
from worldsample_core.node.fixed_parameter import fixed_parameter
from worldsample_core.node.quiet_imports import is_node
from worldsample_core.observation import Observation
from worldsample_core.settings import RunConfig
from worldsample_core.transition import EpisodeSummary, Transition
from worldsample_policy.acting.episode_service import EpisodeService

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def node(ros_domain: int) -> Iterator[Node]:
    """A node in a context and a ROS domain of its own."""
    context = rclpy.context.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    node = Node("policy", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


# Demonstrations that failed are kept, and count as nothing else.


def record(folder: Path, outcomes: list[bool], size: int = 16) -> None:
    """Demonstrations of two steps, as a recording leaves them."""
    store = EpisodeStore(folder, "r", min_free_bytes=0, custom={"task": "pushing", "image_size": str(size)})
    seen = Observation(np.zeros((2, size, size, 3), np.uint8), np.zeros(10, np.float32))
    for success in outcomes:
        episode = store.begin("demo")
        for step in range(2):
            last = step == 1
            taken = Transition(
                seen, np.zeros(7, np.float32), float(last and success), seen, last and success,
                last and not success, last and success, False, store.next_seq, episode, step, "demo",
            )  # fmt: skip
            store.append(encode_transition(taken))
        store.finish(EpisodeSummary("demo", episode, 2, float(success), success, not success))
    store.close()


def test_failed_demonstrations_are_not_counted(tmp_path: Path) -> None:
    plan = prepare.plan(Request("demos", machine="cpu", episodes=7, out=str(tmp_path / "d")), tmp_path)
    plan.begin().close()
    history = History()
    for number, success in enumerate([True, True, False, True, True]):
        episode = {"kind": "episode", "episode_kind": "demo", "episode": number, "steps": 9, "t": 1.0}
        history.add({**episode, "success": success})
    line = live_line(plan.settings, history, {"phase": "demo"}, {}, Pace())
    assert line == "demonstrations 4/7 · 1 did not succeed"
    history.add({"kind": "done", "t": 9.0})
    summary = write_report(plan.folder, plan.settings, history)
    assert (summary["demo_episodes"], summary["demo_successes"]) == (5, 4)
    assert "demonstrations, 1 more did not succeed" in plan.folder.report.read_text()
    said = closing(plan.folder, plan.settings, Outcome(0))
    assert "  demos     4 demonstrations; 1 more did not succeed" in said


def test_a_recording_with_six_successes_of_seven_goes_on(tmp_path: Path) -> None:
    plan = prepare.plan(Request("demos", machine="cpu", episodes=7, out=str(tmp_path / "d")), tmp_path)
    plan.begin().close()
    record(plan.folder.path, [True, False, True, True, True, True, True])
    plan.folder.summary.write_text('{"finished": true, "demo_episodes": 7}')
    again = prepare.plan(Request("demos", resume=str(plan.folder.path), episodes=7), tmp_path)
    assert again.settings.run.demos == 7
    with pytest.raises(ConfigError, match=r"is complete \(6 demonstrations\)"):
        prepare.plan(Request("demos", resume=str(plan.folder.path), episodes=6), tmp_path)


# Pictures of another size are refused before anything starts.


def test_recordings_at_another_image_size_are_refused_at_once(tmp_path: Path) -> None:
    record(tmp_path / "demos", [True, True], size=64)
    asked = {"machine": "cpu", "demos_from": str(tmp_path / "demos")}
    with pytest.raises(ConfigError, match=r"are 64 pixels wide, this run's are 128: say run.image_size=64"):
        prepare.plan(Request("train", overrides=("run.image_size=128",), **asked), tmp_path)  # type: ignore[arg-type]
    assert prepare.plan(Request("train", **asked), tmp_path).settings.run.demos == 2  # type: ignore[arg-type]


# Parameters.


def test_a_parameter_that_is_read_once_refuses_to_be_set(node: Node) -> None:
    assert fixed_parameter(node, "patience", 60.0, "Time that is waited, s.") == 60.0
    (answer,) = node.set_parameters([Parameter("patience", value=1.0)])
    assert not answer.successful and "read-only" in answer.reason
    assert node.get_parameter("patience").value == 60.0
    assert node.describe_parameter("patience").description == "Time that is waited, s."


def test_no_node_declares_a_parameter_that_looks_settable() -> None:
    for path in (ROOT / "src").glob("*/*/**/*.py"):
        if path.name != "fixed_parameter.py":
            assert ".declare_parameter(" not in path.read_text(), path


@pytest.mark.alone
def test_every_node_of_the_policy_lists_its_parameters(node: Node, tmp_path: Path) -> None:
    """``ros2 param list`` asks all nodes, and waited for ever for this one."""
    store = EpisodeStore(tmp_path, "r", min_free_bytes=0)
    bounds = RunBounds(counts=100, image_size=16)
    service = EpisodeService(node, "r", store, None, lambda: None, Reception(str), bounds)  # type: ignore[arg-type]
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    client = node.create_client(ListParameters, "/policy_episodes/list_parameters")
    assert client.wait_for_service(timeout_sec=10.0)
    answer = client.call_async(ListParameters.Request())
    executor.spin_until_future_complete(answer, timeout_sec=10.0)
    assert answer.done() and "use_sim_time" in answer.result().result.names
    service.close()
    store.close()
    executor.shutdown()


# The command in hints.


def test_hints_name_a_command_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLDSAMPLE_ROOT", str(ROOT))
    monkeypatch.chdir(ROOT)
    assert command_name() == "./worldsample"
    monkeypatch.chdir(tmp_path)
    assert Path(command_name()) == ROOT / "worldsample"
    monkeypatch.delenv("WORLDSAMPLE_ROOT")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_name() == BESIDE_ROS
    with pytest.raises(ConfigError, match=f"All of them: {BESIDE_ROS} settings run"):
        from_mapping(RunConfig, {"nmae": 1}, "run")
    assert cli.make_parser().prog == cli.BESIDE_ROS == BESIDE_ROS
    executable = (ROOT / "src/worldsample_bringup/setup.py").read_text()
    assert f'"{BESIDE_ROS.split()[-1]} = worldsample_bringup.cli:main"' in executable


def test_no_message_names_a_bare_command() -> None:
    """Help texts may: they stand below the name of the program. Docstrings may."""
    hint = re.compile(r"[`:;] ?worldsample (train|eval|demos|label|settings|report|check|export)")
    for path in (ROOT / "src").glob("*/*/**/*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            literal = re.search(r'f?"(?!"")[^"]*"', line)
            assert not (literal and hint.search(literal.group())), f"{path}:{number}: {line.strip()}"


# Times.


def test_the_first_estimate_is_near_the_truth_and_a_run_that_stands_still_has_none(tmp_path: Path) -> None:
    """A run that waits for its world model after 250 steps: the old estimate grew to 124 times the truth."""
    overrides = ("run.eval_every=0", "run.final_eval_episodes=4")
    settings = prepare.plan(
        Request("train", machine="cpu", steps=1000, overrides=overrides), tmp_path
    ).settings
    history, pace, told = History(), Pace(), []

    def at(second: int) -> int:
        """Real steps: fast until the learner trains, then 4 a second, with a pause of 90 s."""
        if second < 10:
            return 10 * second
        return 100 + 4 * (min(second, 48) - 10) + 4 * max(0, second - 138)

    end = next(second for second in range(2000) if at(second) >= 1000)
    for second in range(end):
        state = "training" if second >= 10 else "waiting"
        history.add({"kind": "policy", "t": float(second), "real_steps": at(second)})
        follow(pace, float(second), {"phase": "train", "real_steps": at(second)}, {"state": state})
        left = seconds_left(settings, history, pace)
        if left is not None:
            told.append((second, left / (end + 4 * settings.task.horizon / 4 - second)))
        assert left is None or second >= 30
    assert all(1 / 4 < ratio < 4 for _, ratio in told), told
    assert not [second for second, _ in told if 60 <= second <= 138]


def test_everything_says_the_same_of_the_quick_runs_time() -> None:
    (option,) = (option for option in options_of("train") if option.name == "quick")
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    pages += [*(ROOT / "src/worldsample_bringup/config").glob("*.yaml"), ROOT / "worldsample_setup/main.py"]
    said = [option.help]
    for page in pages:
        said += [line for line in page.read_text().splitlines() if re.search(r"quick", line)]
    for line in said:
        if re.search(r"minute|seconds|\d s\b", line):
            assert "about a minute" in line, line


# Ctrl-C.


def interrupted(command: list[str], after: float, importing: bool = False) -> tuple[int, str]:
    """Exit code and output of a process that gets SIGINT while it starts.

    Args:
        after: s, of its start; with ``importing`` of the moment at which a node begins to import libraries.
    """
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        if importing:
            wait_until(lambda: handles_sigint(process.pid))
            wait_until(lambda: not handles_sigint(process.pid))
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
    return process.returncode, output


def handles_sigint(number: int) -> bool:
    """True while a process has a handler of its own for SIGINT, as Python has one once it is up."""
    status = Path(f"/proc/{number}/status").read_text()
    caught = re.findall(r"^SigCgt:\s*([0-9a-f]+)", status, re.MULTILINE)[0]
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait up to 30 s, and fail then."""
    until = time.monotonic() + 30.0
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.mark.alone
@pytest.mark.parametrize("after", [0.0, 0.5])
def test_ctrl_c_during_a_nodes_imports_leaves_no_traceback(after: float) -> None:
    assert is_node("/x/lib/worldsample_policy/learner_node") and not is_node("/usr/bin/pytest")
    code, output = interrupted(
        [sys.executable, "-m", "worldsample_policy.learner_node"], after, importing=True
    )
    assert code == -signal.SIGINT and "Traceback" not in output


@pytest.mark.alone
@pytest.mark.parametrize("after", [0.15, 0.25])
def test_ctrl_c_before_a_command_begins_leaves_no_traceback(after: float) -> None:
    code, output = interrupted([str(ROOT / "worldsample"), "settings", "learner"], after)
    assert code in (130, 0, -signal.SIGINT) and "Traceback" not in output, output


def test_every_node_imports_the_quiet_module_first() -> None:
    nodes = [path for path in (ROOT / "src").glob("*/*/*_node.py") if path.parent.name != "test"]
    assert len(nodes) >= 11
    for path in nodes:
        imports = re.findall(r"^(?:import|from) (\S+)", path.read_text(), re.MULTILINE)
        assert imports[:2] == ["__future__", "worldsample_core.node.quiet_imports"], path
