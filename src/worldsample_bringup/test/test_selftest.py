"""``worldsample test``: what its last line says is what CI and people go by."""

import os
import subprocess
import sys
from pathlib import Path

from worldsample_bringup.selftest import total, with_bytecode


def report(folder: Path, name: str, **counts: int) -> Path:
    path = folder / f"{name}.xml"
    found = " ".join(f'{key}="{value}"' for key, value in counts.items())
    path.write_text(f'<testsuites><testsuite name="pytest" {found}></testsuite></testsuites>')
    return path


def test_the_last_line_counts_all_tests(tmp_path: Path) -> None:
    packages = report(tmp_path, "packages", tests=800, failures=1, errors=0, skipped=3)
    graphs = report(tmp_path, "graphs", tests=200, failures=0, errors=2, skipped=1)
    said = total([packages, graphs], 551.2)
    assert said == "1 failed, 993 passed, 4 skipped, 2 errors in 551.20s (0:09:11)"


def test_a_pytest_that_died_is_no_success(tmp_path: Path) -> None:
    packages = report(tmp_path, "packages", tests=10, failures=0, errors=0, skipped=0)
    assert total([packages, tmp_path / "missing.xml"], 60.0) == "10 passed, 1 error in 60.00s (0:01:00)"


def test_bytecode_is_kept_and_not_in_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("")
    chosen = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(tmp_path / "kept")}
    kept = with_bytecode({**os.environ, **chosen})
    subprocess.run([sys.executable, "-c", "import module"], cwd=tmp_path, env=kept, check=True)
    assert list((tmp_path / "kept").rglob("module.*.pyc")) and not (tmp_path / "__pycache__").exists()
    prefix = with_bytecode({}).get("PYTHONPYCACHEPREFIX", "")
    assert prefix.startswith(sys.prefix) or sys.prefix == sys.base_prefix
