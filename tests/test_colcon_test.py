"""Comparison of what ``colcon test`` runs in each package with what is there.

``colcon test`` calls pytest only where a package declares it (``extras_require["test"]`` in its setup.py);
elsewhere it runs ``unittest``, finds nothing and reports success.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.listed_tests import names_in
from tests.test_architecture import PYTHON_PACKAGES, ROOT, SOURCE


@pytest.mark.slow
def test_colcon_test_runs_what_is_there(tmp_path: Path) -> None:
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
    command += ["--event-handlers", "console_direct+"]
    command += ["--pytest-args", "--collect-only", "-q", "-p", "tests.listed_tests"]
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": path}
    answer = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    found = [line for line in answer.stdout.splitlines() if line.startswith("src/") and "::" in line]
    files = sorted(SOURCE.glob("*/test/test_*.py"))
    assert {path.relative_to(SOURCE).parts[0] for path in files} == set(PYTHON_PACKAGES)
    expected = [f"{path.relative_to(ROOT)}::{name}" for path in files for name in names_in(path)]
    assert sorted(found) == sorted(expected) and len(expected) > 800
