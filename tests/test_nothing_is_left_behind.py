"""Whoever starts nodes takes them along: a test run that is killed leaves no process behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worldsample_core.node.parent_death import die_with_parent

ROOT = Path(__file__).resolve().parent.parent

INNER = '''
"""Starts a whole graph, says who runs, and goes on for ever."""

import json
import time
from pathlib import Path

from tests.conftest import loop_graph, ros_domain  # noqa: F401 (fixtures)


def test_forever(loop_graph):
    config = loop_graph.configure(worldmodel={"enabled": True})
    processes = [loop_graph.start(part, config) for part in ("cell", "learner", "policy", "worldmodel")]
    Path("{told}").write_text(json.dumps([process.popen.pid for process in processes]))
    time.sleep(600)
'''


def is_running(process: int) -> bool:
    """True where the process is there and is no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_test_run_takes_its_nodes_along(tmp_path: Path, how: signal.Signals) -> None:
    inner, told = tmp_path / "test_inner.py", tmp_path / "processes.json"
    inner.write_text(INNER.replace("{told}", str(told)))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={ROOT}",
        str(inner),
    ]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent())
    try:
        end = time.monotonic() + 60.0
        while not told.exists() or not told.read_text():
            assert run.poll() is None and time.monotonic() < end, "the inner test has not started its graph"
            time.sleep(0.1)
        processes = json.loads(told.read_text())
        assert len(processes) == 4 and all(map(is_running, processes))
        run.send_signal(how)
        run.wait(30.0)
        end = time.monotonic() + 10.0
        while any(map(is_running, processes)) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(map(is_running, processes)), "nodes are left behind"
    finally:
        run.kill()
