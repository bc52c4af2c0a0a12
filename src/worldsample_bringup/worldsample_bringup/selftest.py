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

# What keeps processors busy shares them, graphs in lockstep too; what is in real time, which others would
# disturb, runs alone. A file's tests stay together: they share what is costly to make. The slow files come
# first (tests/conftest.py), so that both workers end at about the same time.
SIDE_BY_SIDE = ("-m", "not alone", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
ALONE = ("-m", "alone")


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
    codes = [_run("ruff", "check", ".", root=root), _run("mypy", root=root)]
    reports = []
    with tempfile.TemporaryDirectory(prefix="worldsample-test-") as folder:
        for name, chosen in (("side-by-side", SIDE_BY_SIDE), ("alone", ALONE)):
            reports.append(Path(folder) / f"{name}.xml")
            codes.append(_run("pytest", "-q", *chosen, f"--junitxml={reports[-1]}", root=root))
            if codes[-1] == 2:  # interrupted
                break
        if any(codes[:2]):
            print("ruff or mypy FAILED, see above", file=sys.stderr)
        print(f"== {total(reports, time.monotonic() - began)} ==", flush=True)
    return next((code for code in codes if code), 0)


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
    environment = dict(os.environ)
    if "-n" in arguments:
        environment["OMP_NUM_THREADS"] = "1"  # one processor each
    command = [sys.executable, "-m", tool, *arguments]
    code = subprocess.run(command, cwd=root, env=environment, check=False).returncode
    if tool != "pytest":  # which says so itself
        print(
            f"== {tool}: {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s",
            flush=True,
        )
    return code
