"""The live view without ROS: what of a run is in its recording, and what of it a browser may fetch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rerun", reason="the optional package rerun-sdk is not installed")
from rerun.chunk import RrdReader

from a1x_sim.simulated_cameras import calibrations
from a1x_sim.tasks import make_task
from worldsample_bringup.run.history import Record
from worldsample_bringup.viewer.blueprint import live_blueprint
from worldsample_bringup.viewer.camera_frusta import log_frusta
from worldsample_bringup.viewer.curves import Curves, scalars
from worldsample_bringup.viewer.imagined_playback import ImaginedPlayback, RealFrames
from worldsample_bringup.viewer.live_view import LiveView
from worldsample_bringup.viewer.node_health import LATE, NodeHealth
from worldsample_bringup.viewer.priority import give_way
from worldsample_bringup.viewer.recording import open_recording, set_moment, writable
from worldsample_bringup.viewer.web_page import WebPage
from worldsample_bringup.viewer.web_viewer import require_free_ports
from worldsample_core.arm.a1x_kinematics import ARM_JOINT_NAMES
from worldsample_core.config import ConfigError
from worldsample_core.observation import Observation
from worldsample_core.settings import CamerasConfig, RunConfig, Settings
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition

SIDE = 16  # pixels


class WallClock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def images(brightness: int) -> np.ndarray:
    return np.full((2, SIDE, SIDE, 3), brightness, np.uint8)


def transition(episode: int, step: int, operator: bool = False) -> Transition:
    """A real step whose frames are as bright as the number of the step."""

    def observation(number: int) -> Observation:
        return Observation(images(number), np.zeros(10, np.float32), float(number))

    return Transition(
        observation=observation(step),
        action=np.zeros(7, np.float32),
        reward=0.0,
        next_observation=observation(step + 1),
        terminated=False,
        truncated=False,
        success=False,
        intervention=operator,
        seq=step,
        episode=episode,
        step=step,
    )


def segment(steps: int, episode: int = 0, start: int = 0, version: int = 1) -> SyntheticSegment:
    """An imagined segment whose frames are as bright as 100 and the number of the step."""
    return SyntheticSegment(
        images=np.stack([images(start), *(images(100 + start + k) for k in range(1, steps + 1))]),
        proprio=np.zeros((steps + 1, 10), np.float32),
        actions=np.zeros((steps, 7), np.float32),
        rewards=np.zeros(steps, np.float32),
        terminated=np.zeros(steps, bool),
        uncertainty=np.linspace(0.1, 0.2, steps, dtype=np.float32),
        success_probability=np.full(steps, 0.25, np.float32),
        success=False,
        source_episode=episode,
        source_step=start,
        world_model_version=version,
    )


def rows(path: Path) -> Counter[str]:
    """Number of rows of a recording on disk, by entity; what has no time is apart."""
    found: Counter[str] = Counter()
    for chunk in RrdReader(path).stream().to_chunks():
        entity = chunk.entity_path.lstrip("/")
        found[f"static {entity}" if chunk.is_static else entity] += chunk.num_rows
    return found


EVALUATION: Record = {
    "kind": "episode",
    "episode_kind": "eval",
    "steps": 9,
    "real_steps": 75,
    "intervention_steps": 0,
    "aborted": False,
    "return": 1.0,
    "success": True,
}
POLICY: Record = {
    "kind": "policy",
    "phase": "train",
    "detail": "",
    "real_steps": 60,
    "success_rate": 0.5,
    "intervention_rate": 0.25,
    "tick_hz": 10.0,
}
PACING: Record = {
    "kind": "pacing",
    "rho": 0.2,
    "entropy": 1.5,
    "entropy_normalised": 0.4,
    "q_gap": 0.1,
    "queue_success": 3,
    "queue_failure": 4,
}


def test_a_recording_has_cameras_imagination_and_curves(tmp_path: Path) -> None:
    clock, file = WallClock(), tmp_path / "run.rrd"
    stream = open_recording(live_blueprint(), save=file)
    view = LiveView(stream, clock=clock)
    for step in range(4):
        view.transition(transition(0, step, operator=step == 2))
    for name in ("side", "wrist"):
        view.camera(name, images(50)[0])
    view.joints(dict.fromkeys(ARM_JOINT_NAMES, 0.1))
    view.gripper(np.zeros(3), np.eye(3))
    view.command(np.array([0.01, 0.0, 0.0]), np.zeros(3), gripper=1)
    view.record(POLICY)
    view.record(PACING)
    for episode in range(2):
        view.record({**EVALUATION, "episode": episode})
    view.segment(segment(3))
    for _ in range(6):
        clock.now += 0.1
        view.play()
    view.every_second()
    stream.flush()
    stream.disconnect()
    found = rows(file)
    for name in ("side", "wrist"):
        assert found[f"cameras/{name}"] == 1
        assert found[f"imagination/{name}/imagined"] == found[f"imagination/{name}/real"] == 4
    assert found["imagination/uncertainty"] == found["imagination/success_probability"] == 3
    for curve in ("success/success_last_20", "success/interventions_last_20", "pacing/rho", "q/q_gap"):
        assert found[curve] == 1, curve
    assert found["queues/success"] == found["queues/failure"] == found["entropy/entropy"] == 1
    assert found["success/evaluation"] == found["log"] == 2
    assert found["timeline/driver"] == 3 and found["timeline/phase"] == 1
    assert found["scene/joints/arm_joint6"] == found["scene/command"] == found["scene/commanded_gripper"] == 1
    assert found["static scene/a1x/visual_geometries/arm_link1/visual_0"] > 0
    assert found["nodes/table"] == 1 and found["nodes/age/policy"] == 1


def test_what_is_imagined_stands_beside_the_real_frame_of_the_same_step() -> None:
    real = RealFrames()
    for step in range(6):
        real.add(transition(3, step))
    playback = ImaginedPlayback(real)
    playback.offer(segment(2, episode=3, start=4))
    frames = [playback.next_frame() for _ in range(4)]
    assert frames[3] is None
    for number, frame in enumerate(frames[:3]):
        assert frame is not None and frame.real is not None
        assert frame.real[0, 0, 0, 0] == 4 + number
        assert frame.imagined[0, 0, 0, 0] == (104 + number if number else 4)
        assert (frame.uncertainty is None) == (number == 0)
    playback.offer(segment(2, episode=3, start=5))  # its last step was never taken
    shown = [playback.next_frame() for _ in range(3)]
    assert [frame is not None and frame.real is not None for frame in shown] == [True, True, False]


def test_of_segments_that_arrive_together_the_newest_is_shown() -> None:
    playback = ImaginedPlayback(RealFrames())
    for version in (1, 2, 3):
        playback.offer(segment(2, version=version))
    versions = [frame.version for frame in iter(playback.next_frame, None)]
    assert versions == [3, 3, 3]


def test_real_frames_take_no_more_room_than_they_may() -> None:
    size = images(0).nbytes
    real = RealFrames(room=10 * size)
    for step in range(100):
        real.add(transition(0, step))
        assert sum(real.at(0, s) is not None for s in range(102)) <= 10
    assert real.at(0, 100) is not None and real.at(0, 50) is None


def test_what_is_no_figure_has_no_curve() -> None:
    record: Record = {"kind": "pacing", "rho": None, "q_gap": float("nan"), "entropy": 1.0, "enabled": True}
    assert dict(scalars(record)) == {"entropy/entropy": 1.0}
    assert not dict(scalars({"kind": "worldmodel", "psnr": 0.0}))  # not measured yet
    assert dict(scalars({"kind": "pacing", "rho": 0.0})) == {"pacing/rho": 0.0}


def test_an_evaluation_has_a_point_when_it_is_whole(tmp_path: Path) -> None:
    stream = open_recording(live_blueprint(), save=tmp_path / "run.rrd")
    curves = Curves(stream, counts=(4,))
    set_moment(stream, 0.0, 0)
    for episode in (0, 1, 2, 2, 3):
        curves.take({**EVALUATION, "episode": episode, "success": episode < 1})
    stream.disconnect()
    assert rows(tmp_path / "run.rrd")["success/evaluation"] == 1


def test_a_node_that_falls_silent_is_marked() -> None:
    health = NodeHealth()
    assert not health.hear("learner", 10.0, "training")
    assert health.hear("learner", 11.0, "failed", "out of | memory")
    assert "| learner | failed | 1.0 s ago | out of / memory |" in health.table(12.0)
    assert f"**{LATE + 2:.0f} s ago**" in health.table(11.0 + LATE + 2)


def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.rrd"):
        writable(tmp_path / "run.mp4")
    there = tmp_path / "there.rrd"
    there.write_bytes(b"x")
    with pytest.raises(ConfigError, match="exists already"):
        writable(there)
    with pytest.raises(ConfigError, match="cannot be written"):
        writable(there / "run.rrd")


def test_a_taken_port_is_told_with_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        if port < 65533:
            with pytest.raises(ConfigError, match=rf"port {port} is taken.* \d+ is free"):
                require_free_ports(port)
    with pytest.raises(ConfigError, match="1024"):
        require_free_ports(80)


def test_what_looks_on_gives_way_with_all_its_threads() -> None:
    program = (
        "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); "
        "print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline()
            threads = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
            give_way(process.pid)
            assert [os.getpriority(os.PRIO_PROCESS, each) for each in threads] == [19, 19]
        finally:
            process.kill()
    give_way(process.pid)  # one that has ended is left alone


class Source(BaseHTTPRequestHandler):
    """A page as Rerun's, that would fetch from elsewhere."""

    def do_GET(self) -> None:
        text = b'<head><link href="https://fonts.example/css" rel="stylesheet" /></head>here'
        self.send_response(200 if self.path in ("/", "/re_viewer.js") else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[WebPage]:
    source = ThreadingHTTPServer(("127.0.0.1", 0), Source)
    threading.Thread(target=source.serve_forever, daemon=True).start()
    page = WebPage(0, source.server_port, 12345)
    yield page
    page.close()
    source.shutdown()
    source.server_close()


def test_the_page_may_speak_with_this_machine_only(page: WebPage) -> None:
    assert page.address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(page.address) as answer:
        assert "url=rerun%2Bhttp%3A%2F%2F127.0.0.1%3A12345%2Fproxy" in answer.url
        text, policy = answer.read(), answer.headers["Content-Security-Policy"]
    assert b"here" in text and b"https:" not in text
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'self'"
    assert rules["connect-src"] == "'self' data: blob: http://127.0.0.1:12345"
    assert "https:" not in policy and "*" not in policy


@pytest.mark.parametrize(("path", "host"), [("/../a", ""), ("//a.example/x", ""), ("/", "a.example")])
def test_the_page_answers_nothing_else(page: WebPage, path: str, host: str) -> None:
    request = urllib.request.Request(page.address + path)
    if host:
        request.add_header("Host", host)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(request)


def test_the_scene_has_both_cameras_of_the_simulator(tmp_path: Path) -> None:
    task = make_task("pushing")
    known = calibrations(task, (64, 64))
    settings = Settings(
        RunConfig(name="x", directory="", image_size=32),
        task.config,
        CamerasConfig(64, 64, side=known["side"], wrist=known["wrist"]),
    )
    stream = open_recording(live_blueprint(), save=tmp_path / "run.rrd")
    log_frusta(stream, settings, trained_on=True)
    stream.disconnect()
    found = {
        chunk.entity_path.lstrip("/"): chunk.to_record_batch()
        for chunk in RrdReader(tmp_path / "run.rrd").stream().to_chunks()
    }
    for view, parent in (("side", "base_link"), ("wrist", "gripper_link")):
        place = found[f"scene/{view}_camera"].to_pydict()
        assert place["Transform3D:parent_frame"] == [[parent]]
        lens = found[f"cameras/{view}"].to_pydict()
        assert lens["Pinhole:parent_frame"] == place["Transform3D:child_frame"]
        assert lens["Pinhole:resolution"] == [[[32.0, 32.0]]]
        assert lens["Pinhole:image_from_camera"][0][0][6:8] == pytest.approx([15.5, 15.5])
