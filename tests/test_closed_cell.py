"""A closed cell (SROS 2): the rights of each node, the keys that are made from them, and who is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from worldsample_bringup import cli
from worldsample_bringup.graph import real_cell
from worldsample_bringup.graph.closed_cell import read_permissions, require_keys
from worldsample_bringup.graph.enclaves import enclave_of
from worldsample_bringup.graph.graph import build_graph
from worldsample_bringup.graph.node_command import process_for
from worldsample_bringup.graph.node_spec import NodeSpec
from worldsample_bringup.graph.permissions import Rights, rights_of_a_cell, write_permissions
from worldsample_bringup.run import prepare
from worldsample_bringup.run.options import Request
from worldsample_core.config import ConfigError
from worldsample_core.settings import Settings

DOCKER = Path(__file__).parent.parent / "docker"
SERIALS = ("driver.cameras.side_serial='1'", "driver.cameras.wrist_serial='2'")
NEEDS_OPENSSL = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


PATTERN = re.compile(r"r[tqr]/(side|wrist|hdas|motion_target|spacenav)/\*|r[qr]/(\*|_ros2cli\*)/[a-z]+_\w+")
"""Patterns that are allowed: a foreign node's namespace, and parameters of one whose name is not known."""


def settings_of(tmp_path: Path, *overrides: str) -> Settings:
    request = Request("train", machine="cpu", real=True, overrides=(*SERIALS, *overrides))
    return prepare.plan(request, tmp_path).settings


def graph_of(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[NodeSpec, ...]:
    """Both computers' nodes, as where every package is installed."""
    monkeypatch.setattr(real_cell, "_is_installed", lambda package: True)
    nodes: list[NodeSpec] = []
    for part in ("robot", "workstation"):
        monkeypatch.setenv("WORLDSAMPLE_PART", part)
        nodes += build_graph(settings, tmp_path / "config.yaml")
    monkeypatch.delenv("WORLDSAMPLE_PART")
    return tuple(nodes)


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys with the rights in docker/permissions."""
    folder = tmp_path_factory.mktemp("closed") / "keys"
    environment = {"PATH": "/usr/bin:/bin"}  # without a ROS_DOMAIN_ID
    subprocess.run([DOCKER / "keystore.sh", folder], check=True, capture_output=True, env=environment)
    return folder


def closed(keystore: Path) -> dict[str, str]:
    return {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_KEYSTORE": str(keystore)}


def test_the_files_are_those_of_the_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a topic or a service more they must be made anew: a node that lacks a right cannot start."""
    assert cli.main(["permissions", str(tmp_path / "new")]) == 0
    assert "signs them" in capsys.readouterr().out
    new, old = (
        {path.relative_to(folder): path.read_text() for path in folder.rglob("*.xml")}
        for folder in (tmp_path / "new", DOCKER / "permissions")
    )
    assert new == old, "./worldsample permissions docker/permissions makes them again"
    with pytest.raises(ConfigError, match=r"sub.*no permission"):
        (tmp_path / "new" / "sub").mkdir()
        write_permissions(tmp_path / "new", settings_of(tmp_path))


@pytest.mark.parametrize("path", sorted((DOCKER / "permissions").rglob("*.xml")), ids=lambda path: path.stem)
def test_a_file_is_a_permissions_document_of_one_node(path: Path) -> None:
    """Element by element as DDS Security 1.1 has it (9.4.1.3); what it does not name is denied."""
    root = ElementTree.parse(path).getroot()
    (grant,) = root.findall("permissions/grant")
    assert root.tag == "dds" and [each.tag for each in grant] == [
        "subject_name",
        "validity",
        "allow_rule",
        "default",
    ]
    enclave = f"/worldsample/{path.parent.name}/{path.stem}"
    assert grant.get("name") == enclave == enclave_of(path.stem)
    assert grant.findtext("subject_name") == f"CN={enclave}" and grant.findtext("default") == "DENY"
    (rule,) = grant.findall("allow_rule")
    assert [each.tag for each in rule] == ["domains", "publish", "subscribe"]
    for verb in ("publish", "subscribe"):
        names = [each.text or "" for each in rule.iterfind(f"{verb}/topics/topic")]
        assert names and names == sorted(set(names))
        for name in names:
            assert re.fullmatch(r"ros_discovery_info|r[tqr]/[\w/*]+", name), name
            assert "*" not in name or PATTERN.fullmatch(name), name


def test_each_node_has_its_own_rights_and_only_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry for each thing of which a forged one would cost an arm, or a night's data."""
    everyone = rights_of_a_cell(settings_of(tmp_path))

    def may_publish(topic: str) -> set[str]:
        asked = Rights("", (topic,), ())
        return {rights.node for rights in everyone if not rights.lacking(asked)}

    assert may_publish("rt/a1x/command") == {"policy"}
    assert may_publish("rt/motion_target/target_joint_state_arm") == {"a1x", "vendor"}
    assert may_publish("rt/hdas/feedback_arm") == {"vendor"}
    assert may_publish("rt/a1x/ee_pose") == may_publish("rt/a1x/status") == {"a1x"}
    assert may_publish("rt/transitions") == may_publish("rt/episodes") == {"policy"}
    assert may_publish("rt/weights/policy") == may_publish("rt/learner/status") == {"learner"}
    assert may_publish("rt/synthetic") == {"worldmodel"}
    assert may_publish("rt/operator/intervention") == {"operator"}
    assert may_publish("rt/side/color/image_raw") == {"side"}
    assert may_publish("rq/a1x/resetRequest") == {"policy", "person"}
    assert may_publish("rq/a1x/enableRequest") == {"person"}
    assert may_publish("rq/policy/set_parametersRequest") == set()
    assert may_publish("rq/learner/checkpointRequest") == {"policy"}
    for device in ("joy", "spacemouse"):
        settings = settings_of(tmp_path, f"teleop.device={device}")
        names = {node.name for node in graph_of(settings, tmp_path, monkeypatch)}
        assert names <= {rights.node for rights in everyone}, "each node has rights"
        assert [rights for rights in rights_of_a_cell(settings) if rights.node == "operator"] == [
            rights for rights in everyone if rights.node == "operator"
        ], "another device needs no other keys"


def test_rights_follow_the_settings(tmp_path: Path) -> None:
    overrides = (
        "driver.topics.feedback_arm.name=/left/joints",
        "driver.functions=topic",
        "driver.ik=vendor",
        "worldmodel.nodes=2",
    )
    rights = {each.node: each for each in rights_of_a_cell(settings_of(tmp_path, *overrides))}
    assert "rt/left/joints" in rights["a1x"].subscribe and "rt/left/*" in rights["vendor"].publish
    assert (
        "rt/function_frame_arm" in rights["a1x"].publish
        and "rt/motion_target/pose_ee_arm" in rights["a1x"].publish
    )
    assert "rr/worldmodel_1/imagineReply" in rights["worldmodel_1"].publish
    assert "rr/worldmodel/imagineReply" not in rights["worldmodel_1"].publish


def test_a_node_is_started_with_the_keys_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = NodeSpec("worldsample_policy", "learner_node", "learner")
    assert "--enclave" not in process_for(node).command
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    command = process_for(node).command
    assert command[command.index("--enclave") + 1] == "/worldsample/workstation/learner"
    monkeypatch.setenv("ROS_SECURITY_ENCLAVE_OVERRIDE", "/mine")
    assert "--enclave" not in process_for(node).command, "a person's own choice"


@NEEDS_OPENSSL
def test_keys_are_signed_for_the_domain_of_the_containers(keystore: Path) -> None:
    """Keys for another domain would let no node start."""
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    domain = re.findall(r"\d+", compose["x-common"]["environment"]["ROS_DOMAIN_ID"])[0]
    authority = ["-CAfile", str(keystore / "public" / "ca.cert.pem")]
    folders = sorted(path.parent for path in keystore.rglob("key.pem"))
    assert [folder.name for folder in folders] == sorted(
        (path.stem for path in (DOCKER / "permissions").rglob("*.xml")),
        key=lambda name: enclave_of(name),
    )
    for folder in folders:
        certificate = str(folder / "cert.pem")
        verify = ["openssl", "verify", *authority, certificate]
        assert subprocess.run(verify, check=False, capture_output=True).returncode == 0
        command = ["openssl", "x509", "-noout", "-subject", "-in", certificate]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.endswith(
            f"{enclave_of(folder.name)}\n"
        )
        command = ["openssl", "smime", "-verify", "-in", str(folder / "permissions.p7s"), *authority]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert f"<id>{domain}</id>" in said and "@" not in said
        assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    command = ["openssl", "smime", "-verify", "-in", str(folders[0] / "governance.p7s"), *authority]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"<id>{domain}</id>" in said
    assert "<allow_unauthenticated_participants>false<" in said and "<rtps_protection_kind>SIGN<" in said
    assert not any((keystore / "enclaves").rglob("*ca.key.pem")), "who has a robot can make no keys"


@NEEDS_OPENSSL
def test_a_run_without_its_keys_does_not_begin(
    keystore: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path)
    nodes = graph_of(settings, tmp_path, monkeypatch)
    require_keys(nodes, settings, closed(keystore))
    require_keys(nodes, settings, {})
    other = settings_of(tmp_path, "driver.topics.feedback_arm.name=/left/joints")
    with pytest.raises(ConfigError, match=r"keys of a1x do not let it subscribe rt/left/joints; .*keystore"):
        require_keys(nodes, other, closed(keystore))
    with pytest.raises(ConfigError, match=r"has no keys: .*/robot/\w+/cert.pem .*keystore.sh"):
        require_keys(nodes, settings, closed(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="ROS_SECURITY_KEYSTORE names no folder"):
        require_keys(nodes, settings, {"ROS_SECURITY_ENABLE": "true"})
    given = read_permissions(keystore / "enclaves/worldsample/robot/policy/permissions.p7s", "policy")
    assert given == next(rights for rights in rights_of_a_cell(settings) if rights.node == "policy")
