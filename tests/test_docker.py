"""The container files, as far as they can be checked without docker."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml

from worldsample_bringup.graph import real_cell
from worldsample_bringup.graph.graph import build_graph
from worldsample_bringup.run import prepare
from worldsample_bringup.run.options import Request, options_of
from worldsample_core.config import ConfigError

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
FILES = sorted(DOCKER.glob("*.Dockerfile"))
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, argument) with continued lines joined and comments left out."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_exists_and_is_not_ignored(path: Path) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    sources = [word for name, rest in instructions(path) if name == "COPY" for word in rest.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed, f"{source} is hidden by .dockerignore"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_images_run_as_a_user_and_with_what_the_packages_need(path: Path) -> None:
    steps = instructions(path)
    names = [name for name, _ in steps]
    assert steps[:2] == [("ARG", "BASE=ros:jazzy-ros-base"), ("FROM", "${BASE}")] and "ENTRYPOINT" in names
    users = [rest for name, rest in steps if name == "USER"]
    assert users == ["worldsample"] and names.index("USER") < names.index("ENTRYPOINT")
    script = " ".join(rest for name, rest in steps if name == "RUN")
    assert "useradd" in script and "rm -rf /var/lib/apt/lists/*" in script
    # What package.xml names is in ros-base, in requirements.txt, in the image by apt, or of this workspace.
    ros_base = {
        "rclpy", "launch", "launch_ros", "ros2launch", "rosgraph_msgs", "sensor_msgs", "std_msgs", "std_srvs",
        "geometry_msgs", "diagnostic_msgs", "builtin_interfaces", "rosidl_default_runtime", "rcl_interfaces",
        "ament_index_python",
    }  # fmt: skip
    pip = {
        "python3-numpy", "python3-yaml", "python3-pil", "python3-pytorch-pip", "python3-mujoco-pip",
        "python3-rosbags-pip", "python3-tensorboardX-pip",
    }  # fmt: skip
    elsewhere = (
        {"joy", "realsense2_camera", "spacenav"} if path.stem == "workstation" else set()
    )  # the robot's
    own = {package.parent.name for package in (ROOT / "src").glob("*/package.xml")}
    for package in (ROOT / "src").glob("*/package.xml"):
        root = ElementTree.parse(package).getroot()
        needed = {e.text for tag in ("depend", "exec_depend") for e in root.iter(tag) if e.text}
        unknown = {
            name
            for name in needed - ros_base - pip - own - elsewhere
            if f"ros-jazzy-{name.replace('_', '-')}" not in script
        }
        assert not unknown, f"{package.parent.name} needs {unknown}"
    # Both install the lock with its hashes; numpy is the one with which ros-base's messages were compiled.
    assert "--no-deps --require-hashes -r lock/run.txt" in script
    locked = (ROOT / "lock" / "run.txt").read_text()
    assert all(f"\n{name}==" in locked for name in ("mujoco", "pillow", "pyyaml", "rosbags", "safetensors"))
    assert ("lock/torch-cuda.txt" in script) != ("whl/cpu" in script)


def test_the_robot_s_image_has_the_nodes_that_the_graph_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_cell, "_is_installed", lambda package: True)
    script = (DOCKER / "robot.Dockerfile").read_text()
    for device in ("joy", "spacemouse"):
        overrides = (
            "driver.cameras.side_serial='1'",
            "driver.cameras.wrist_serial='2'",
            f"teleop.device={device}",
        )
        plan = prepare.plan(Request("train", machine="cpu", real=True, overrides=overrides), tmp_path)
        for node in build_graph(plan.settings, plan.folder.config):
            if not (ROOT / "src" / node.package).exists():
                assert f"ros-jazzy-{node.package.replace('_', '-')} " in script, node.package


@pytest.mark.parametrize("name", ["robot", "workstation"])
def test_services_are_confined_and_watched(name: str) -> None:
    service = COMPOSE["services"][name]
    build = service["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).is_file()
    assert build["args"] == {"BASE": "${BASE:-ros:jazzy-ros-base}"}, "a digest can be named for both"
    assert service["user"] == "worldsample" and service["cap_drop"] == ["ALL"]
    assert "privileged" not in service and "no-new-privileges:true" in service["security_opt"]
    assert service["restart"] == "no", "an arm does not start moving again by itself"
    environment = service["environment"]
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert set(re.findall(r"\$\{(\w+):\?", environment["ROS_STATIC_PEERS"])) == {
        "ROBOT_ADDRESS",
        "WORKSTATION_ADDRESS",
    }
    assert service["healthcheck"]["test"][-1] == name == environment["WORLDSAMPLE_PART"]
    for volume in service["volumes"]:
        if not volume.startswith("${KEYSTORE:?"):
            assert volume.split(":")[0] in COMPOSE["volumes"], "data live in named volumes"
    # The cell is closed unless a person opens it, and each node has the keys of its own name.
    assert environment["ROS_SECURITY_ENABLE"] == "${WORLDSAMPLE_SECURITY:-true}"
    assert environment["ROS_SECURITY_STRATEGY"] == "Enforce"
    assert environment["ROS_SECURITY_KEYSTORE"] == "/keystore"
    assert "ROS_SECURITY_ENCLAVE_OVERRIDE" not in environment


@pytest.mark.parametrize("name", ["robot", "workstation"])
def test_the_command_s_arguments_are_those_of_the_launch_file(name: str) -> None:
    words = COMPOSE["services"][name]["command"].split()
    assert words[:4] == ["ros2", "launch", "worldsample_bringup", "train.launch.py"]
    known = {option.name for option in options_of("train")} | {"overrides"}
    given = {word.split(":=")[0] for word in words if ":=" in word}
    assert given and given <= known
    assert (ROOT / "src/worldsample_bringup/launch/train.launch.py").is_file()


def test_two_computers_share_the_graph_between_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("train", machine="cpu", real=True, overrides=("driver.cameras.source=external",))
    plan = prepare.plan(request, tmp_path)

    def part(name: str) -> list[str]:
        monkeypatch.setenv("WORLDSAMPLE_PART", name)
        return [node.name for node in build_graph(plan.settings, plan.folder.config)]

    assert part("robot") == ["a1x", "operator", "policy", "dashboard"]
    assert part("workstation")[0] == "learner" and part("workstation")[-1] == "dashboard_workstation"
    everything = set(part(""))
    assert set(part("robot")) | set(part("workstation")) == everything | {"dashboard_workstation"}
    with pytest.raises(ConfigError, match="robot, workstation"):
        part("robto")


@pytest.mark.parametrize("script", ["entrypoint.sh", "keystore.sh", "debootstrap.sh"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    path = DOCKER / script
    assert path.stat().st_mode & 0o111
    bash = shutil.which("bash")
    assert bash and subprocess.run([bash, "-n", str(path)], check=False).returncode == 0


def test_keys_are_not_made_over_existing_ones(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    result = subprocess.run(
        [str(DOCKER / "keystore.sh"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1 and "has keys already" in result.stderr


def test_a_debian_root_gets_what_the_images_get() -> None:
    """debootstrap.sh reads the Dockerfiles: what it finds there must be what they install and copy."""
    script = (DOCKER / "debootstrap.sh").read_text()
    packages = re.search(r"packages=\$\((.*?)\)\n", script, re.DOTALL)
    user = re.search(r"user=\$\((.*?)\)\n", script)
    assert packages and user
    for path in FILES:
        found = []
        for part in (packages[1], user[1]):
            code = f"dockerfile={path}\n{part}"
            found.append(
                subprocess.run(["bash", "-c", code], check=True, capture_output=True, text=True).stdout
            )
        run = " ".join(rest for name, rest in instructions(path) if name == "RUN")
        debian = re.findall(
            r"(?<= )(?!ros-|python3-colcon)[a-z0-9+-]+(?= )", run.split("recommends")[1].split("&&")[0]
        )
        assert found[0].split() == debian and "g++" in debian
        assert found[1].strip() in run and "--uid 10001" in found[1]
    copied = {
        word
        for path in FILES
        for name, rest in instructions(path)
        if name == "COPY"
        for word in rest.split()[:-1]
    }
    assert all(Path(word).name in script for word in copied)


def test_nobody_speaking_is_unhealthy(monkeypatch: pytest.MonkeyPatch, ros_domain: int) -> None:
    pytest.importorskip("worldsample_msgs.msg")
    code = "import runpy, sys; sys.exit(runpy.run_path(sys.argv[1])['main']('robot', 0.5))"
    monkeypatch.setenv("ROS_DOMAIN_ID", str(ros_domain))
    command = [sys.executable, "-c", code, str(DOCKER / "health.py")]
    assert subprocess.run(command, check=False, timeout=60).returncode == 1
