"""``worldsample bench cell``: where the time of a run goes, of this checkout or of another one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from worldsample_bringup.bench.bench_cell import MeasuredCell, measure, read_baseline
from worldsample_bringup.bench.cell_account import account_of, table
from worldsample_bringup.bench.process_watch import ProcessTime, ProcessWatch
from worldsample_bringup.bench.watched_run import EpisodeTail
from worldsample_bringup.graph.terminal import Console
from worldsample_core.config import ConfigError
from worldsample_core.node.parent_death import die_with_parent

BUSY = "import time\nwhile time.process_time() < {seconds}: pass\n"

TREE = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-c", {BUSY.format(seconds=0.6)!r}, "__node:=learner"])
{BUSY.format(seconds=0.3)}
child.wait()
"""


def test_every_process_of_a_tree_is_seen_under_its_nodes_name() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", TREE])
    watch = ProcessWatch(process.pid)
    while process.poll() is None:
        watch.look()
        time.sleep(0.02)
    used = watch.by_name()
    assert set(used) - {"other"} == {"runner", "learner"}
    assert 0.25 <= used["runner"] < 0.6 <= used["learner"] + 0.1 < 1.0


def test_what_is_used_is_charged_once_to_the_phase_it_was_used_in() -> None:
    watch = ProcessWatch(1, {1: ProcessTime("a1x", 2.0), 2: ProcessTime("policy", 1.0)})
    watch.charge("training")
    watch.times[1].seconds = 5.0
    watch.charge("evaluation")
    watch.charge("end")
    assert watch.phases["training"] == {"a1x": 2.0, "policy": 1.0}
    assert watch.phases["evaluation"]["a1x"] == 3.0 and watch.phases["end"]["a1x"] == 0.0


def test_phases_end_with_their_episodes(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    tail = EpisodeTail(file)
    assert tail.phases() == []
    file.write_text('{"kind": "policy", "phase": "starting"}\n{"kind": "policy", "phase": "demo"}\n{"ki')
    assert tail.phases() == ["start"]
    with file.open("a") as more:
        more.write('nd": "episode", "episode_kind": "demo"}\n{"kind": "policy", "phase": "train"}\n')
        more.write('{"kind": "episode", "episode_kind": "eval"}\n')
    assert tail.phases() == ["demonstrations", "evaluation"] and tail.phases() == []
    with file.open("ab") as more:
        more.write(b'{"kind": \n5\n\xff\n{"kind": "episode"}\n' + b"[" * 100_000 + b"\n")
    assert tail.phases() == []  # damaged lines are passed over


def test_pieces_stand_with_their_process_and_the_rest_is_named() -> None:
    watch = ProcessWatch(1, {1: ProcessTime("runner", 1.0), 7: ProcessTime("learner", 10.0)})
    watch.phases["evaluation"] = Counter({"learner": 4})
    pieces = {
        "intake": {"cpu_seconds": 1.0, "calls": 9},
        "updates, full": {"cpu_seconds": 6.0, "calls": 3},
    }
    account = account_of(watch, {7: pieces, 99: pieces})
    assert list(account) == ["learner", "runner"]
    learner = account["learner"]
    assert list(learner["pieces"]) == ["updates, full", "intake"] and learner["rest_cpu_seconds"] == 3.0
    assert learner["evaluation_cpu_seconds"] == 4.0 and account["runner"]["pieces"] == {}


FAKE = f"""\
#!{sys.executable} -S
import json, os, sys, time
from pathlib import Path
{BUSY.format(seconds=0.4)}
folder = Path(sys.argv[sys.argv.index("--run-dir") + 1])
folder.mkdir(parents=True)
(folder / "config.yaml").write_text("run: {{git_revision: theirs}}")
with (folder / "metrics.jsonl").open("w") as metrics:
    for kind in ("train", "eval"):
        metrics.write(json.dumps({{"kind": "episode", "episode_kind": kind}}) + "\\n")
(folder / "environment").write_text(json.dumps([sys.argv[1:], dict(os.environ)]))
(folder / "summary.json").write_text(json.dumps({{"finished": True, "real_steps": 70}}))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Another checkout, whose command leaves in no time what a run leaves."""
    command = tmp_path / "theirs" / "worldsample"
    command.parent.mkdir()
    command.write_text(textwrap.dedent(FAKE))
    command.chmod(0o755)
    return command.parent


def test_another_checkout_is_measured_in_an_environment_of_its_own(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDSAMPLE_ROOT", "/ours")
    monkeypatch.setenv("PATH", f"/ours/.venv/bin{os.pathsep}{os.environ['PATH']}")
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps({"wall_minutes": 60.0, "cpu_minutes": 50.0, "git_revision": "old"}))
    asked = MeasuredCell(
        steps=70,
        seed=3,
        settings=("run.demos=1",),
        checkout=str(checkout),
        out=str(tmp_path / "out"),
        baseline=str(baseline),
    )
    result, text, code = measure(asked, Console(io.StringIO()))
    assert code == 0 and result["finished"] and result["git_revision"] == "theirs"
    arguments, environment = json.loads(
        (tmp_path / "out/pick_place-worldsample-seed3/environment").read_text()
    )
    said = "train --task pick_place --method worldsample --seed 3 --steps 70"
    assert arguments[:9] == said.split()
    assert arguments[-1] == "run.demos=1"
    assert "PYTHONPATH" not in environment and "/ours/.venv/bin" not in environment["PATH"]
    assert 0.35 <= 60 * result["cpu_minutes"] < 2.0 and result["wall_minutes"] * 60 >= 0.35
    assert result["baseline"]["wall_ratio"] > 10 and "baseline old" in text
    assert json.loads((tmp_path / "out/pick_place-worldsample-seed3.json").read_text()) == result
    measure(asked, Console(io.StringIO()))
    assert (tmp_path / "out/pick_place-worldsample-seed3-2.json").exists(), "nothing is overwritten"


def test_a_run_that_fails_is_told(checkout: Path, tmp_path: Path) -> None:
    (checkout / "worldsample").write_text(f"#!{sys.executable} -S\nraise SystemExit(3)\n")
    result, text, code = measure(
        MeasuredCell(checkout=str(checkout), out=str(tmp_path / "out")), Console(io.StringIO())
    )
    assert code == 1 and not result["finished"] and "FAILED with exit code 3" in text


def test_what_is_wrong_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'pushing'"):
        measure(MeasuredCell(task="pusing", out=str(tmp_path)), Console(io.StringIO()))
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(ConfigError, match="no result of bench cell"):
        read_baseline(str(tmp_path / "none.json"))


@pytest.mark.slow
def test_a_quick_cell_with_all_its_nodes(tmp_path: Path, ros_domain: int) -> None:
    tiny = ("run.demos=2", "run.eval_every=0", "run.final_eval_episodes=1")
    command = (sys.executable, "-m", "worldsample_bringup.cli", "bench", "cell", "--quick", "--json")
    told = subprocess.run(
        [*command, "--task", "pushing", "--steps", "70", "--out", str(tmp_path), *tiny],
        env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain)},
        preexec_fn=die_with_parent(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    result = json.loads(told.stdout.splitlines()[-1])
    processes = result["processes"]
    assert {"runner", "a1x", "operator", "policy", "learner", "worldmodel", "dashboard"} <= set(processes)
    assert result["finished"] and result["real_steps"] == 70
    assert result["not_seen_cpu_seconds"] < 0.1 * 60 * result["cpu_minutes"]
    for process in processes.values():
        counted = sum(piece["cpu_seconds"] for piece in process["pieces"].values())
        assert counted <= process["cpu_seconds"] + 0.1
    pieces = {name: set(process["pieces"]) for name, process in processes.items()}
    updates = {"updates, full", "updates, critics only"}
    assert {"imports", "start", "encoder fit", "intake", "messages", "weights out", *updates} <= pieces[
        "learner"
    ]
    assert {"imports", "start", "updates", "reward refits", "evaluation"} <= pieces["worldmodel"]
    assert {"imports", "start", "physics", "rendering"} <= pieces["a1x"]
    assert {"imports", "start", "acting", "recording"} <= pieces["policy"]
    assert {"imports", "acting"} <= pieces["operator"] and {"imports", "report"} <= pieces["dashboard"]
    assert 0 < processes["a1x"]["evaluation_cpu_seconds"] < processes["a1x"]["cpu_seconds"]
    assert "evaluation" in table(result)
