"""The layouts for Foxglove and RViz name only what the graph publishes or a bag holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("worldsample_msgs")
from ament_index_python.packages import get_package_share_directory

from worldsample_bringup.graph.interfaces import TOPICS
from worldsample_core.episodes import episode_bag
from worldsample_core.episodes.standard_messages import StandardMessages, type_of
from worldsample_core.observation import VIEWS

FOLDER = Path(__file__).parent.parent / "viewers"
LENS = (1.0, 1.0, 0.0, 0.0)
IN_BAG = {
    topic: type_of(topic).replace("/msg/", "/")
    for topic in StandardMessages("jpeg", dict.fromkeys(VIEWS, LENS), (), np.eye(3)).topics
} | {
    episode_bag.TRANSITIONS: "worldsample_msgs/Transition",
    episode_bag.EPISODES: "worldsample_msgs/EpisodeSummary",
}
LIVE = {topic.name: topic.type for topic in TOPICS}
KNOWN = LIVE | IN_BAG
PICTURES = ("sensor_msgs/Image", "sensor_msgs/CompressedImage")


@pytest.fixture(scope="module")
def foxglove() -> dict[str, Any]:
    layout: dict[str, Any] = json.loads((FOLDER / "foxglove.json").read_text())
    return layout


@pytest.fixture(scope="module")
def rviz() -> dict[str, Any]:
    text = (FOLDER / "worldsample.rviz").read_text()
    assert "<<:" not in text  # RViz's YAML reader knows no merged keys
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def panels_in(layout: Any) -> Iterator[str]:
    """Names of the panels in a part of a Foxglove layout."""
    if isinstance(layout, str):
        yield layout
    else:
        yield from panels_in(layout["first"])
        yield from panels_in(layout["second"])


def paths_in(layout: dict[str, Any]) -> list[str]:
    """Message paths of the curves."""
    panels = layout["configById"].items()
    return [
        path["value"]
        for name, panel in panels
        if name.startswith(("Plot!", "StateTransitions!"))
        for path in panel["paths"]
    ]


def displays(rviz: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rviz["Visualization Manager"]["Displays"]
    return found


def test_every_panel_of_foxglove_is_shown_once(foxglove: dict[str, Any]) -> None:
    panels = foxglove["configById"]
    shown = list(panels_in(foxglove["layout"]))
    for name in shown:
        for tab in panels[name].get("tabs", ()):
            shown += panels_in(tab["layout"])
    assert sorted(shown) == sorted(panels)


def test_foxglove_shows_cameras_that_exist_live_and_in_bags(foxglove: dict[str, Any]) -> None:
    modes = [
        panel["imageMode"] for name, panel in foxglove["configById"].items() if name.startswith("Image!")
    ]
    for mode in modes:
        assert KNOWN[mode["imageTopic"]] in PICTURES
        assert KNOWN[mode["calibrationTopic"]] == "sensor_msgs/CameraInfo"
        assert mode["imageTopic"].split("/")[1] == mode["calibrationTopic"].split("/")[1]
    shown = {mode["imageTopic"] for mode in modes}
    assert shown == {topic for topic, kind in KNOWN.items() if kind in PICTURES}


def test_foxglove_draws_fields_that_exist(foxglove: dict[str, Any]) -> None:
    assert paths_in(foxglove)
    for path in paths_in(foxglove):
        topic, *fields = path.split(".")
        package, name = KNOWN[topic].split("/")
        kind = f"{package}/{name}"
        for field in fields:
            package, name = kind.split("/")
            known = getattr(import_module(f"{package}.msg"), name).get_fields_and_field_types()
            assert field in known, path
            kind = known[field]
        assert "/" not in kind, f"{path} is no number"


def test_foxglove_places_topics_that_exist(foxglove: dict[str, Any]) -> None:
    three = foxglove["configById"]["3D!arm"]
    assert three["followTf"] == "base_link"
    assert set(three["topics"]) <= set(KNOWN)


def test_rviz_shows_topics_that_exist_with_their_types(rviz: dict[str, Any]) -> None:
    wanted = {"Image": PICTURES, "Pose": ("geometry_msgs/PoseStamped",)}
    named = [display for display in displays(rviz) if "Topic" in display]
    for display in named:
        topic, kind = display["Topic"]["Value"], display["Class"].rpartition("/")[2]
        assert KNOWN[topic] in wanted[kind], topic
    cameras = {topic for topic, kind in KNOWN.items() if kind in PICTURES}
    assert {display["Topic"]["Value"] for display in named} >= cameras
    (arm,) = (display for display in displays(rviz) if display["Class"].endswith("/RobotModel"))
    assert KNOWN[arm["Description Topic"]["Value"]] == "std_msgs/String"
    assert arm["Description Topic"]["Durability Policy"] == "Transient Local"  # as it is published: once


def test_rviz_hears_what_is_published(rviz: dict[str, Any]) -> None:
    """A reliable subscription hears nothing of a best-effort publisher."""
    profiles = {topic.name: topic.qos for topic in TOPICS}
    for display in displays(rviz):
        topic = display.get("Topic", {})
        if profiles.get(topic.get("Value", "")) == "SENSOR":
            assert topic["Reliability Policy"] == "Best Effort"
            assert topic["Durability Policy"] == "Volatile"
    assert rviz["Visualization Manager"]["Global Options"]["Fixed Frame"] == "base_link"


def test_both_are_installed() -> None:
    share = Path(get_package_share_directory("worldsample_bringup"))
    for file in FOLDER.iterdir():
        assert (share / "viewers" / file.name).read_bytes() == file.read_bytes()
