"""``worldsample check --cell`` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from worldsample_bringup import cli
from worldsample_bringup.run import check_cell

pytestmark = pytest.mark.real_time

pytest.importorskip("rclpy")


@pytest.fixture(autouse=True)
def empty_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ros_domain: int) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(ros_domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


def test_an_empty_cell_is_told_by_name_and_by_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["check", "--cell", "--seconds", "0.5", "--json", "cameras.width=640"])
    output = capsys.readouterr().out.splitlines()
    result = json.loads(output[-1])
    assert code == 1 and not result["ok"]
    names = [fault["name"] for fault in result["faults"]]
    assert {"no_arm_feedback", "camera_missing", "operator_missing"} <= set(names)
    assert any("start the vendor's driver" in line for line in output)
    assert not list(Path().iterdir()), "it leaves nothing behind"


def test_a_wrong_setting_is_said_before_listening(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--cell", "driver.topics.feedback_arm.reliability=maybe"]) == 2
    assert "reliability" in capsys.readouterr().err


def test_remembered_pictures_are_read_back_and_nonsense_is_none(tmp_path: Path) -> None:
    class Camera:
        thumbnail = np.full((8, 8, 3), 0.25)

    path = tmp_path / "cell.json"
    check_cell.write_reference(path, {"side": Camera(), "wrist": Camera()})
    reference = check_cell.read_reference(path)
    assert reference is not None and np.array_equal(reference["side"], Camera.thumbnail)
    for text in ("", "[]", '{"side": [1]}'):
        path.write_text(text)
        assert check_cell.read_reference(path) is None
