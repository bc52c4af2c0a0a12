"""The embedded runner with scripts as nodes: what happens when one ends, crashes, hangs or is killed."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from worldsample_bringup.graph import run_session
from worldsample_bringup.graph.node_command import ProcessSpec
from worldsample_bringup.graph.node_spec import OnExit
from worldsample_bringup.graph.runner import Outcome, RestartPolicy, Runner
from worldsample_bringup.graph.terminal import LIVE_MARK, Console
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.prepare import plan
from worldsample_core.node.exit_codes import BAD_CONFIGURATION
from worldsample_core.node.parent_death import die_with_parent

SLEEP = "import time; print('up'); time.sleep(60)"
DEAF = """
    import signal, time
    signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print('up'); time.sleep(60)
"""
FAST_RESTARTS = RestartPolicy(limit=2, first_delay=0.05)


def script(
    name: str, code: str, on_exit: OnExit = OnExit.ENDS_GRAPH, grace: float = 0.3, last: bool = False
) -> ProcessSpec:
    """A Python script as a node; -S -E: it starts in 20 ms."""
    command = [sys.executable, "-S", "-E", "-u", "-c", textwrap.dedent(code)]
    return ProcessSpec(name, command, on_exit=on_exit, grace=grace, stop_last=last)


def run(
    *specs: ProcessSpec,
    logs: Path | None = None,
    watch: Callable[[Runner], None] | None = None,
    restart: RestartPolicy = FAST_RESTARTS,
    finish_grace: float = 5.0,
) -> tuple[Outcome, str]:
    stream = io.StringIO()
    console = Console(stream, tuple(spec.name for spec in specs))
    outcome = Runner(specs, console, logs, restart, finish_grace, watch).run()
    return outcome, stream.getvalue()


def alive(pid: int) -> bool:
    """True if a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def test_lines_stand_behind_the_name_of_their_node_and_in_its_log(tmp_path: Path) -> None:
    outcome, output = run(
        script("policy", SLEEP),
        script("dashboard", "import time; time.sleep(0.3); print('written')", OnExit.COMPLETES_RUN),
        logs=tmp_path,
    )
    assert outcome == Outcome(0)
    assert "policy    | up\n" in output
    assert "dashboard | written\n" in output
    log = (tmp_path / "policy.log").read_text()
    assert " up\n" in log and "--- started" in log and "--- ended with exit code" in log


def test_the_exit_code_is_the_failed_nodes_and_its_last_words_are_kept() -> None:
    outcome, _ = run(
        script("a1x", SLEEP), script("policy", "import sys; print('no GL: apt install libegl1'); sys.exit(7)")
    )
    assert (outcome.code, outcome.node) == (7, "policy")
    assert outcome.last_lines == ("no GL: apt install libegl1",)


def test_a_killed_node_ends_the_graph_with_128_plus_the_signal() -> None:
    outcome, _ = run(script("a1x", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert outcome.code == 137


def test_a_needed_node_that_ends_early_is_a_failure_even_with_exit_code_0() -> None:
    outcome, _ = run(script("a1x", "pass"), script("policy", SLEEP))
    assert (outcome.code, outcome.node) == (1, "a1x")


def test_a_node_that_may_finish_leaves_the_others_running() -> None:
    outcome, output = run(
        script("policy", "print('done')", OnExit.MAY_FINISH),
        script("dashboard", "import time; time.sleep(0.4); print('report')", OnExit.COMPLETES_RUN),
    )
    assert outcome.code == 0 and "report" in output


@pytest.mark.parametrize("code", [0, 2, 3])
def test_whoever_looks_on_may_end_as_it_likes(code: int) -> None:
    outcome, output = run(
        script("watch", f"import sys; sys.exit({code})", OnExit.LOOKS_ON),
        ProcessSpec("missing", ["/nonexistent"], on_exit=OnExit.LOOKS_ON),
        script("dashboard", "import time; time.sleep(0.6); print('report')", OnExit.COMPLETES_RUN),
    )
    assert outcome.code == 0 and "report" in output
    assert f"ended with exit code {code}; the run goes on without it" in output
    assert "missing cannot be started" in output


def test_a_run_that_nobody_completes_ends_after_the_grace() -> None:
    outcome, _ = run(
        script("policy", "pass", OnExit.MAY_FINISH),
        script("dashboard", SLEEP, OnExit.COMPLETES_RUN),
        finish_grace=0.3,
    )
    assert outcome.code == 1 and "not completed" in outcome.reason


def test_a_crashed_learner_starts_again(tmp_path: Path) -> None:
    crash_once = f"""
        import os, sys, time
        if not os.path.exists({str(tmp_path / "crashed")!r}):
            open({str(tmp_path / "crashed")!r}, "w"); os.abort()
        print("resumed"); time.sleep(60)
    """
    outcome, output = run(
        script("learner", crash_once, OnExit.RESPAWN),
        script("dashboard", "import time; time.sleep(1.0)", OnExit.COMPLETES_RUN),
    )
    assert outcome.code == 0
    assert "it starts again" in output and "learner   | resumed" in output


def test_a_learner_that_crashes_again_and_again_ends_the_run() -> None:
    outcome, output = run(
        script("learner", "import sys; sys.exit(9)", OnExit.RESPAWN), script("policy", SLEEP)
    )
    assert (outcome.code, outcome.node) == (9, "learner")
    assert output.count("it starts again") == FAST_RESTARTS.limit


def test_a_world_model_that_crashes_again_and_again_is_spared() -> None:
    outcome, output = run(
        script("worldmodel", "import sys; sys.exit(9)", OnExit.CAN_BE_SPARED),
        script("dashboard", "import time; time.sleep(3.0)", OnExit.COMPLETES_RUN),
    )
    assert outcome.code == 0
    assert output.count("it starts again") == FAST_RESTARTS.limit
    assert output.count("the run goes on without it") == 1


def test_a_learner_with_an_unusable_configuration_is_not_started_again() -> None:
    code = f"import sys; print('unknown setting'); sys.exit({BAD_CONFIGURATION})"
    outcome, output = run(script("learner", code, OnExit.RESPAWN), script("policy", SLEEP))
    assert outcome.code == BAD_CONFIGURATION and "starts again" not in output


def test_a_learner_that_is_done_is_not_started_again() -> None:
    outcome, output = run(
        script("learner", "print('started')", OnExit.RESPAWN),
        script("dashboard", "import time; time.sleep(0.5)", OnExit.COMPLETES_RUN),
    )
    assert outcome.code == 0 and output.count("started") == 1


def test_even_a_deaf_node_is_stopped_and_so_is_what_it_started(tmp_path: Path) -> None:
    parent = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-S", "-c", {textwrap.dedent(DEAF)!r}])
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        child.wait()
    """
    outcome, _ = run(
        script("deaf", DEAF),
        script("parent", parent),
        script("dashboard", "import time; time.sleep(0.5)", OnExit.COMPLETES_RUN),
    )
    assert outcome.code == 0
    assert wait_until(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_the_dashboard_is_stopped_last(tmp_path: Path) -> None:
    told = """
        import signal, sys, time
        def stop(*_):
            time.sleep({delay}); print("stopped {name}", flush=True); sys.exit(0)
        signal.signal(signal.SIGINT, stop); signal.signal(signal.SIGTERM, stop)
        print("up", flush=True); time.sleep(60)
    """
    outcome, output = run(
        script("dashboard", told.format(delay=0, name="dashboard"), OnExit.COMPLETES_RUN, 2.0, last=True),
        script("learner", told.format(delay=0.4, name="learner"), OnExit.RESPAWN, 2.0),
        script("policy", "import sys, time; time.sleep(0.5); sys.exit(3)"),
    )
    assert outcome.code == 3
    assert output.index("stopped learner") < output.index("stopped dashboard")


def test_an_executable_that_does_not_exist_is_named() -> None:
    outcome, _ = run(ProcessSpec("a1x", ["/nowhere/sim_node"]))
    assert outcome.code == 1 and "/nowhere/sim_node" in outcome.reason


def test_watch_can_reach_a_node_and_end_the_run() -> None:
    seen: list[int] = []

    def watch(runner: Runner) -> None:
        pid = runner.pid("learner")
        if pid is not None:
            seen.append(pid)
            runner.stop(Outcome(0))

    outcome, _ = run(script("learner", SLEEP, OnExit.RESPAWN), watch=watch)
    assert outcome.code == 0 and not alive(seen[0])


RUNNER = """
import sys
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.graph.node_command import ProcessSpec
from worldsample_bringup.graph.runner import Runner
specs = [ProcessSpec(name, [sys.executable, "-S", "-E", "-c", code], grace=0.3)
         for name, code in (("a", sys.argv[1]), ("b", sys.argv[2]))]
outcome = Runner(specs, Console(names=("a", "b"))).run()
print("outcome", outcome.code, flush=True)
sys.exit(outcome.code)
"""
TELL_PID = "import os; print('pid', os.getpid(), flush=True)\n"


def start_runner(codes: list[str]) -> subprocess.Popen[str]:
    """A runner as a process of its own, with one node for each program."""
    command = [sys.executable, "-c", RUNNER, *codes]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent())


@pytest.fixture
def runner_process() -> subprocess.Popen[str]:
    """A runner as a process of its own, with one deaf node; it has told the process ids of both."""
    codes = [TELL_PID + textwrap.dedent(code) for code in (SLEEP, DEAF)]
    return start_runner(codes)


def node_pids(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    pids: list[int] = []
    while len(pids) < 2:
        line = process.stdout.readline()
        assert line, "the runner ended"
        if "| pid " in line:
            pids.append(int(line.split()[-1]))
    return pids


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_runner_stops_all(
    runner_process: subprocess.Popen[str], number: signal.Signals
) -> None:
    pids = node_pids(runner_process)
    time.sleep(0.2)
    runner_process.send_signal(number)
    output, _ = runner_process.communicate(timeout=10)
    assert runner_process.returncode == 128 + number
    assert f"outcome {128 + number}" in output
    assert not any(alive(pid) for pid in pids)


def test_a_second_signal_kills_at_once(runner_process: subprocess.Popen[str]) -> None:
    pids = node_pids(runner_process)
    time.sleep(0.2)
    runner_process.send_signal(signal.SIGINT)
    time.sleep(0.15)
    runner_process.send_signal(signal.SIGINT)
    runner_process.communicate(timeout=5)
    assert not any(alive(pid) for pid in pids)


def test_a_killed_runner_leaves_no_orphans(runner_process: subprocess.Popen[str]) -> None:
    pids = node_pids(runner_process)
    assert all(alive(pid) for pid in pids)
    runner_process.kill()
    runner_process.communicate(timeout=5)
    assert wait_until(lambda: not any(alive(pid) for pid in pids), 5)


def test_a_reader_that_goes_away_does_not_end_the_run() -> None:
    codes = ["import time\nfor i in range(30): print('line', i, flush=True); time.sleep(0.01)", SLEEP]
    process = start_runner(codes)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=10) == 1  # node a ended before the run was complete


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_live_line_stays_below_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    console = Console(stream, ("policy",))
    console.live("10/100 steps")
    console.log("policy", "WARN slow")
    console.live("11/100 steps")
    console.close_live()
    expected = "\r\x1b[K10/100 steps\r\x1b[Kpolicy | WARN slow\n10/100 steps\r\x1b[K11/100 steps\n"
    assert stream.getvalue() == expected


def test_elsewhere_the_live_line_is_a_line_every_ten_seconds(tmp_path: Path) -> None:
    code = f"for i in range(50): print({LIVE_MARK!r} + str(i) + ' steps', flush=True)"
    outcome, output = run(script("dashboard", code, OnExit.COMPLETES_RUN), logs=tmp_path)
    assert outcome.code == 0
    assert output == "0 steps\n"
    assert (tmp_path / "dashboard.log").read_text().count(" steps\n") == 1


def test_output_that_is_no_utf8_and_has_no_end_of_line_is_shown() -> None:
    code = "import os; os.write(1, b'10%\\r100% \\xff'); os.write(1, b'x' * 70000)"
    outcome, output = run(script("node", code, OnExit.COMPLETES_RUN))
    assert outcome.code == 0 and "node | 100% \ufffdxxx" in output
    assert os.environ.get("WORLDSAMPLE_LIVE_LINE") is None  # only the nodes' environment is changed


def test_a_full_disk_costs_the_report_and_not_the_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], ros_domain: int
) -> None:
    """Found by bench faults: the command ended with a bare errno, and did not say how to go on."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(ros_domain))

    def full(folder: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    failing = script("policy", "print('the disk is full: free some space'); raise SystemExit(2)")
    monkeypatch.setattr(run_session, "write_report", full)
    monkeypatch.setattr(run_session, "build_graph", lambda settings, config: (None,))
    monkeypatch.setattr(run_session, "process_for", lambda node: failing)
    planned = plan(Request("demos", out=str(tmp_path / "run"), machine="cpu", quick=True), tmp_path)
    assert run_session.run_session(planned).code == 2
    said = capsys.readouterr().out
    assert "the report could not be written: [Errno 28] No space left on device" in said
    assert "free some space" in said and "--resume" in said
