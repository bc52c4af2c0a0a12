"""Bad input: a clear last line with the remedy, a non-zero exit, nothing lost."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("worldsample_msgs")
from tests.loop_graph import Graph
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.episode_store import EpisodeStore, find_bags

pytestmark = pytest.mark.slow


def last_line(graph: Graph, name: str, config: Path, *parameters: str) -> tuple[int, str]:
    process = graph.start(name, config, parameters)
    code = process.wait()
    return code, process.output.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("sections", "cell", "expected"),
    [
        ({"cameras": {"width": 640, "height": 480}}, [], "cameras.width"),
        ({}, ["camera_size:=24"], "smaller than the training size"),
        ({}, ["camera_type:=CompressedImage"], "CompressedImage"),
    ],
)
def test_unusable_cameras(loop_graph: Graph, sections: Any, cell: list[str], expected: str) -> None:
    config = loop_graph.configure(run={"mode": "demos"}, **sections)
    loop_graph.start("cell", config, cell)
    code, line = last_line(loop_graph, "policy", config)
    assert code == 2
    assert expected in line
    assert "color/image_raw" in line


def test_unusable_configurations(loop_graph: Graph, tmp_path: Path) -> None:
    graph = loop_graph
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("policy", {"learner": {"imagesize": 3}}, "did you mean 'image_size'"),
        ("learner", {"learner": {"image_size": 64}}, "make them equal"),
        ("policy", {"run": {"mode": "eval", "checkpoint": str(tmp_path / "nothing")}}, "incomplete"),
        ("policy", {"run": {"demos_from": str(tmp_path / "nothing")}}, "no folder"),
        ("policy", {"task": {"horizon": 10**9, "max_real_steps": 10**9}}, "free some space"),
    ]
    started = []
    for number, (name, sections, expected) in enumerate(cases):
        config = graph.configure(f"case{number}", **sections)
        started.append((graph.start(name, config, ["discovery_wait:=0.0"]), expected))
    for process, expected in started:
        assert process.wait() == 2, process.output
        assert expected in process.output.strip().splitlines()[-1]


def test_a_second_run_on_the_same_domain(loop_graph: Graph) -> None:
    graph = loop_graph
    config = graph.configure(run={"mode": "demos", "demos": 1_000_000})
    graph.start("cell", config)
    first = graph.start("policy", config)
    graph.until(lambda: len(graph.heard.transitions) > 5, "the first run")
    other = graph.start("policy", graph.configure("other", run={"mode": "demos"}))
    undiscovered = graph.start(  # where discovery is late, the arm itself refuses
        "policy", graph.configure("late", run={"mode": "demos"}), ["discovery_wait:=0.0"]
    )
    same_folder = graph.start("policy", config)
    for process in (other, undiscovered):
        assert process.wait() == 2, process.output
        assert "ROS_DOMAIN_ID" in process.output.strip().splitlines()[-1]
    assert same_folder.wait() == 2, same_folder.output
    assert "another process" in same_folder.output.strip().splitlines()[-1]
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    steps = [t for bag in find_bags(config.parent) for t in read_transitions(bag)]
    assert [t.seq for t in steps] == list(range(len(steps)))


def test_a_damaged_only_checkpoint(loop_graph: Graph) -> None:
    config = loop_graph.configure()
    (config.parent / "checkpoints/step_40").mkdir(parents=True)
    (config.parent / "checkpoints/step_40/checkpoint.json").write_text("{}")
    code, line = last_line(loop_graph, "learner", config)
    assert code == 2
    assert "remove that folder" in line


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_disk_that_fills_up_stops_the_run_with_all_steps_safe(loop_graph: Graph, small_disk: Path) -> None:
    graph, heard = loop_graph, loop_graph.heard
    graph.folder, logs = small_disk, graph.folder
    config = graph.configure(run={"mode": "demos", "demos": 1000})
    graph.folder = logs
    graph.start("cell", config)
    policy = graph.start("policy", config)
    graph.until(lambda: len(heard.transitions) > 20, "recording")
    with pytest.raises(OSError, match="No space"), (small_disk / "filler").open("wb") as filler:
        while True:
            filler.write(bytes(1 << 16))
            filler.flush()
    assert policy.wait() == 2
    assert "free some space" in policy.output.strip().splitlines()[-1]
    (small_disk / "filler").unlink()
    store = EpisodeStore(config.parent, "loop", min_free_bytes=0)
    kept = [t.seq for t in store.transitions()]
    store.close()
    assert store.problems == []
    assert kept == list(range(len(kept)))
    assert len(kept) >= len(heard.transitions)
