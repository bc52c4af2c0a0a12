"""Comparison of what ``colcon test`` runs in each package with what pytest finds there.

``colcon test`` calls pytest only where a package declares it (``extras_require["test"]`` in its setup.py);
elsewhere it runs ``unittest``, finds nothing and reports success.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.test_architecture import PYTHON_PACKAGES, ROOT, SOURCE

COLLECT = ["--collect-only", "-q"]


def found(command: Sequence[str]) -> Counter[str]:
    """Number of tests of each package in the output of a command that has pytest list them."""
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    tests = [line for line in answer.stdout.splitlines() if line.startswith("src/") and "::" in line]
    return Counter(line.split("/")[1] for line in tests)


@pytest.mark.slow
def test_colcon_test_runs_what_pytest_finds(tmp_path: Path) -> None:
    pytest.importorskip("colcon_core")
    index = pytest.importorskip("ament_index_python")
    prefix = Path(index.get_package_prefix("worldsample_core"))
    isolated = prefix.name == "worldsample_core"
    for package in PYTHON_PACKAGES:
        (tmp_path / "build" / package).mkdir(parents=True)  # colcon tests what has been built
    command = [sys.executable, "-m", "colcon", "--log-base", str(tmp_path / "log"), "test"]
    command += ["--base-paths", str(SOURCE), "--build-base", str(tmp_path / "build")]
    command += ["--install-base", str(prefix.parent if isolated else prefix)]
    command += [] if isolated else ["--merge-install"]
    command += ["--packages-select", *PYTHON_PACKAGES, "--executor", "sequential"]
    command += ["--event-handlers", "console_direct+", "--pytest-args", *COLLECT]
    expected = found([sys.executable, "-m", "pytest", *COLLECT, "src"])
    assert sorted(expected) == PYTHON_PACKAGES
    assert found(command) == expected
