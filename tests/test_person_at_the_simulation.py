"""A person in place of the script: the meaning of ``--operator``, and a gamepad that demonstrates."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import rclpy

from worldsample_bringup.graph.announcement import opening
from worldsample_bringup.graph.graph import build_graph
from worldsample_bringup.run import prepare
from worldsample_bringup.run.options import Request
from worldsample_core.config import ConfigError
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.episode_store import find_bags
from worldsample_core.messages.qos import STATUS
from worldsample_core.node.parent_death import die_with_parent
from worldsample_msgs.msg import Intervention


def planned(folder: Path, **said: Any) -> prepare.Plan:
    said = {"mode": "train", "machine": "cpu", **said}
    return prepare.plan(Request(**said), folder)


@pytest.mark.parametrize(
    ("who", "device"), [("gamepad", "joy"), ("spacemouse", "spacemouse"), ("keyboard", "keyboard")]
)
def test_a_person_drives_the_simulation_in_real_time(tmp_path: Path, who: str, device: str) -> None:
    plan = planned(tmp_path, operator=who)
    run = plan.settings.run
    assert run.has_person and run.sim and not run.lockstep and plan.settings.teleop["device"] == device
    nodes = {node.name: node.executable for node in build_graph(plan.settings, plan.folder.config)}
    assert nodes["a1x"] == "sim_node"
    assert nodes.get("operator") == (None if who == "keyboard" else "teleop_node")
    told = "\n".join(opening(plan, 3))
    assert ("teleop" in told) == (who == "keyboard"), "a keyboard is read in a terminal of its own"


def test_the_script_helps_unless_somebody_else_is_named(tmp_path: Path) -> None:
    for who in ("", "scripted"):
        settings = planned(tmp_path, operator=who).settings
        assert not settings.run.has_person and settings.run.lockstep and settings.operator["bother_first"] > 0
    nobody = planned(tmp_path, operator="none").settings
    assert nobody.operator["bother_first"] == nobody.operator["bother_last"] == 0.0 and nobody.run.lockstep


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"operator": "gampad"}, "did you mean 'gamepad'"),
        ({"operator": "scripted", "real": True}, "a person drives a real cell"),
        ({"operator": "none", "mode": "demos"}, "somebody must demonstrate"),
        ({"operator": "gamepad", "overrides": ("run.lockstep=true",)}, "lockstep=false"),
        (
            {"real": True, "overrides": ("run.operator=scripted", "driver.standin=true")},
            "needs the simulator",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, said: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(tmp_path, **said)


@pytest.mark.slow
@pytest.mark.real_time
def test_a_gamepad_demonstrates_in_simulation(tmp_path: Path, ros_domain: int) -> None:
    """The stand-in of a person sends Joy messages; every step of the demonstration is theirs."""
    folder = tmp_path / "shown"
    environment = {**os.environ, "ROS_DOMAIN_ID": str(ros_domain)}
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    command = [sys.executable, "-m", "worldsample_bringup.cli", "demos", "--operator", "gamepad", "--json"]
    demos = subprocess.Popen(
        [
            *command,
            "--out",
            str(folder),
            "--episodes",
            "1",
            "--quick",
            "--machine",
            "cpu",
            "teleop.timeout=2",
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=die_with_parent(),
    )
    until = time.monotonic() + 60
    while not (folder / "config.yaml").is_file():
        assert demos.poll() is None and time.monotonic() < until, demos.communicate()[0]
        time.sleep(0.1)
    config = ["--ros-args", "-p", f"config:={folder / 'config.yaml'}"]
    person = subprocess.Popen(
        [sys.executable, "-m", "a1x_driver.standin_person_node", *config],
        env=environment,
        preexec_fn=die_with_parent(),
    )
    try:
        output = demos.communicate(timeout=180)[0]
    finally:
        person.kill()
        person.wait()
        demos.kill()
    assert demos.returncode == 0, output
    assert json.loads(output.splitlines()[-1])["demo_successes"] == 1
    steps = [t for bag in find_bags(folder) for t in read_transitions(bag) if t.source == "demo"]
    assert steps and steps[0].intervention and any(abs(t.action[:3]).max() > 0.1 for t in steps)


def teleop(folder: Path, domain: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worldsample_bringup.cli", "teleop", *arguments]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_keyboard_s_command_names_what_is_missing(tmp_path: Path, ros_domain: int) -> None:
    nobody = teleop(tmp_path, ros_domain)
    assert nobody.returncode == 2 and f"ROS domain {ros_domain}" in nobody.stderr
    for who, said in (("gamepad", "does not listen to a keyboard"), ("keyboard", "no terminal here")):
        plan = planned(tmp_path, operator=who, run_dir=str(tmp_path / who))
        plan.begin().close()
        refused = teleop(tmp_path, ros_domain, str(tmp_path / who))
        assert refused.returncode == 2 and said in refused.stderr, refused.stderr


@pytest.mark.slow
@pytest.mark.real_time
def test_the_keys_of_a_terminal_reach_the_policy_s_topic(tmp_path: Path, ros_domain: int) -> None:
    """A pseudo-terminal in place of a person's: w, held, becomes a wish to move along x."""
    plan = planned(tmp_path, operator="keyboard", run_dir=str(tmp_path / "run"))
    plan.begin().close()
    rclpy.init(domain_id=ros_domain)
    listener = rclpy.create_node("listener")
    heard: list[Intervention] = []
    listener.create_subscription(Intervention, "operator/intervention", heard.append, STATUS)
    environment = {**os.environ, "ROS_DOMAIN_ID": str(ros_domain)}
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "worldsample_bringup.cli", "teleop", str(plan.folder.path)]
    keys = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, preexec_fn=die_with_parent()
    )
    try:
        until = time.monotonic() + 60
        while not any(wish.active and wish.action[0] > 0.5 for wish in heard):
            assert keys.poll() is None and time.monotonic() < until
            os.write(ours, b"w")
            rclpy.spin_once(listener, timeout_sec=0.1)
    finally:
        keys.kill()
        keys.wait()
        listener.destroy_node()
        rclpy.try_shutdown()
        os.close(ours)
        os.close(theirs)
