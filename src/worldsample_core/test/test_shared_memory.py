"""Large messages go through shared memory, unless the user or the machine says otherwise."""

import fcntl
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from worldsample_core.node import shared_memory
from worldsample_core.node.inherited_environment import also, left_over
from worldsample_core.node.shared_memory import (
    PROFILE,
    VARIABLES,
    other_users,
    remove_abandoned,
    use_shared_memory,
)


def test_the_profile_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shared_memory, "NEEDED", 0)
    environment: dict[str, str] = {}
    assert use_shared_memory(environment, tmp_path)
    assert environment == dict.fromkeys(VARIABLES, str(PROFILE))


@pytest.mark.parametrize("variable", [*VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS"])
def test_settings_of_the_user_win(variable: str) -> None:
    environment = {variable: "/home/me/fastdds.xml"}
    assert not use_shared_memory(environment)
    assert environment == {variable: "/home/me/fastdds.xml"}


def test_a_machine_with_little_shared_memory_keeps_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shared_memory, "NEEDED", 2**62)
    environment: dict[str, str] = {}
    assert not use_shared_memory(environment, tmp_path)
    assert not use_shared_memory(environment, tmp_path / "absent")
    assert not environment


def test_the_segment_holds_weights_of_ten_megabytes_and_the_machine_holds_the_segments() -> None:
    name = "{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}segment_size"
    (size,) = (int(str(entry.text)) for entry in ElementTree.parse(PROFILE).iter(name))
    assert 10_000_000 < size <= shared_memory.NEEDED / 10  # ten processes, all of them full


def test_segments_of_processes_that_were_killed_are_removed(tmp_path: Path) -> None:
    names = ["0123456789abcdef", "00000000000000aa", "00000000000000bb", "port7400"]
    for name in names:
        for path in (tmp_path / f"fastrtps_{name}", tmp_path / f"fastrtps_{name}_el"):
            path.touch()
            os.utime(path, (0, 0))
    os.utime(tmp_path / "fastrtps_00000000000000aa")  # young: its process may be about to lock it
    with (tmp_path / "fastrtps_00000000000000bb_el").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert remove_abandoned(tmp_path) == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"fastrtps_{name}{end}" for name in names[1:] for end in ("", "_el")}


def test_field_report_14_other_users_are_told_by_their_segments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "fastrtps_0123456789abcdef").touch()
    (tmp_path / "another_program").touch()
    assert other_users(tmp_path) == []
    monkeypatch.setattr(os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    assert len(other_users(tmp_path)) == 1


def test_field_report_15_variables_that_keep_nodes_apart_are_named() -> None:
    assert left_over({**dict.fromkeys(VARIABLES, str(PROFILE)), "ROS_LOCALHOST_ONLY": ""}) == []
    assert also({}) == ""
    assert "ROS_DISCOVERY_SERVER=1.2.3.4:11811 is set" in also({"ROS_DISCOVERY_SERVER": "1.2.3.4:11811"})
    assert "unset FASTRTPS_DEFAULT_PROFILES_FILE" in also({"FASTRTPS_DEFAULT_PROFILES_FILE": "/x.xml"})
