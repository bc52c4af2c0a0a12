"""``worldsample test``: ruff, mypy, pytest over the checkout; the last line is the sum, in pytest's form."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from worldsample_core.config import ConfigError
from worldsample_core.node.parent_death import die_with_parent

MOST_WORKERS = 8
"""Worker processes of pytest at most: beyond it, starting them costs more than they save."""
REAL_TIME, ALONE = "real_time", "alone"
"""Marks of the tests that work in real time: with little else beside them, and with nothing."""
SHARED, TIMED, LONE = "side by side", "real time", "alone"
"""Parts of the suite."""
LEAST = 19
"""Niceness of what takes the time that others leave."""
INTERRUPTED = 2
"""Exit code of pytest after Ctrl-C."""


def phases(root: Path, processors: int) -> dict[str, list[str]]:
    """Options of pytest for each part of the suite.

    side by side: what shares the processors, graphs in lockstep too. Such a test waits for about half of its
        time: with one worker more than processors, none is idle.
    real time: what needs its time and a third of a processor: several beside each other do not notice.
    alone: what others would disturb.

    A file's tests stay together: they share what is costly to make. The slow files come first
    (tests/conftest.py), so that all workers end at about the same time.
    """
    workers = str(min(processors + 1, MOST_WORKERS))
    shared = ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder"]
    return {
        SHARED: ["-m", f"not {REAL_TIME} and not {ALONE}", *shared],
        TIMED: ["-m", REAL_TIME, *shared, *files_with(REAL_TIME, root)],
        LONE: ["-m", ALONE, *files_with(ALONE, root)],
    }


def files_with(mark: str, root: Path) -> list[str]:
    """The test files that use a mark, so that pytest need not import all the others."""
    tests = sorted([*root.glob("tests/test_*.py"), *root.glob("src/*/test/test_*.py")])
    return [
        str(path.relative_to(root))
        for path in tests
        if f"pytest.mark.{mark}" in path.read_text(encoding="utf-8")
    ]


def find_checkout() -> Path:
    """The checkout whose tests to run.

    Raises:
        ConfigError: this is an installation without tests.
    """
    named = os.environ.get("WORLDSAMPLE_ROOT")
    for folder in ([Path(named)] if named else []) + [Path.cwd(), *Path(__file__).resolve().parents]:
        if (folder / "src" / "worldsample_bringup").is_dir() and (folder / "tests").is_dir():
            return folder
    raise ConfigError("the tests are in the checkout: run ./worldsample test there")


def run_all(pytest_arguments: Sequence[str]) -> int:
    """Run all three. Returns the first exit code that is not 0.

    Args:
        pytest_arguments: handed to pytest; with any, ruff and mypy are left out.
    """
    root = find_checkout()
    if pytest_arguments:
        return _run("pytest", "-q", *pytest_arguments, root=root)
    began = time.monotonic()
    style, codes = [_run("ruff", "check", ".", root=root)], []
    with tempfile.TemporaryDirectory(prefix="worldsample-test-") as folder:
        files = Path(folder)
        options = {
            name: ["-q", *chosen, f"--junitxml={files / name}.xml"]
            for name, chosen in phases(root, os.cpu_count() or 2).items()
        }
        types = Beside("mypy", root, files / "mypy.log")
        done = []
        for name in (SHARED, TIMED, LONE):
            if name == LONE:
                style.append(types.finish())
            done.append(name)
            codes.append(_run("pytest", *options[name], root=root))
            if codes[-1] == INTERRUPTED:
                break
        if any(style):
            print("ruff or mypy FAILED, see above", file=sys.stderr)
        reports = [files / f"{name}.xml" for name in done]
        print(f"== {total(reports, time.monotonic() - began)} ==", flush=True)
    return next((code for code in style + codes if code), 0)


def total(reports: Iterable[Path], seconds: float) -> str:
    """One line over several runs of pytest, in the form of its own.

    Args:
        reports: their JUnit XML; one that is missing (pytest did not get that far) counts as an error.
        seconds: wall time.
    """
    counts: Counter[str] = Counter()
    for report in reports:
        if not report.is_file():
            counts["error"] += 1
            continue
        for suite in ElementTree.parse(report).iter("testsuite"):
            found = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
            counts["failed"] += found["failures"]
            counts["error"] += found["errors"]
            counts["skipped"] += found["skipped"]
            counts["passed"] += found["tests"] - found["failures"] - found["errors"] - found["skipped"]
    said = [f"{counts[name]} {name}" for name in ("failed", "passed", "skipped", "error") if counts[name]]
    if counts["error"] > 1:
        said[-1] += "s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{', '.join(said) or 'no tests ran'} in {seconds:.2f}s ({minutes // 60}:{minutes % 60:02}:{rest:02})"
    )


def with_bytecode(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which Python keeps bytecode: without it each node compiles all of torch, 3 s of CPU.

    The bytecode lies in the virtual environment, so that the checkout stays clean.
    """
    kept = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if sys.prefix != sys.base_prefix:
        kept.setdefault("PYTHONPYCACHEPREFIX", str(Path(sys.prefix) / "bytecode"))
    return kept


def _run(tool: str, *arguments: str, root: Path) -> int:
    """A Python tool over the checkout; says what it is and how long it took."""
    began = time.monotonic()
    print(f"== {' '.join((tool, *arguments))}", flush=True)
    command = [sys.executable, "-m", tool, *arguments]
    code = subprocess.run(command, cwd=root, env=_environment(arguments), check=False).returncode
    if tool != "pytest":  # which says so itself
        _say_outcome(tool, code, time.monotonic() - began)
    return code


def _environment(arguments: Sequence[str]) -> dict[str, str]:
    """Environment of a tool; each of several workers has one processor."""
    environment = with_bytecode(os.environ)
    return {**environment, "OMP_NUM_THREADS": "1"} if "-n" in arguments else environment


def _say_outcome(tool: str, code: int, seconds: float) -> None:
    print(f"== {tool}: {'passed' if code == 0 else 'FAILED'} in {seconds:.0f} s", flush=True)


class Beside:
    """A Python tool in the time that the tests leave. What it says is shown at its end.

    Args:
        log: file for its output.
    """

    def __init__(self, tool: str, root: Path, log: Path) -> None:
        self._tool, self._log, self._began = tool, log, time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["nice", "-n", str(LEAST), sys.executable, "-m", tool],
                cwd=root,
                env=_environment(()),
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(),
            )

    def finish(self) -> int:
        """Wait for the tool and show what it said. Returns its exit code."""
        code = self._process.wait()
        print(f"== {self._tool}\n{self._log.read_text(errors='replace')}", end="")
        _say_outcome(self._tool, code, time.monotonic() - self._began)
        return code
