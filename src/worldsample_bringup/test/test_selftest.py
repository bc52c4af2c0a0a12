"""``worldsample test``: what its last line says is what CI and people go by."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldsample_bringup.selftest import (
    MOST_WORKERS,
    Beside,
    files_with,
    phases,
    total,
    with_bytecode,
)


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


def test_no_processor_is_idle_while_a_test_waits(tmp_path: Path) -> None:
    def workers(processors: int) -> int:
        options = phases(tmp_path, processors)["side by side"]
        return int(options[options.index("-n") + 1])

    assert workers(2) == 3 and workers(64) == MOST_WORKERS


def test_a_tool_beside_the_tests_says_its_words_afterwards(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tool.py").write_text("print('file.py:1: error'); raise SystemExit(1)")
    beside = Beside("tool", tmp_path, tmp_path / "log")
    assert beside.finish() == 1
    said = capfd.readouterr().out
    assert "file.py:1: error" in said and "== tool: FAILED in" in said


def test_the_files_of_a_phase_are_found_by_their_marks(tmp_path: Path) -> None:
    """tests/conftest.py refuses a mark that this would not find."""
    files = {
        "tests/test_a.py": "pytest.mark.alone",
        "src/core/test/test_b.py": "pytestmark = pytest.mark.alone",
    }
    for name, text in {**files, "tests/test_c.py": "pytest.mark.slow", "tests/helper.py": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert set(files_with("alone", tmp_path)) == set(files)
    assert set(phases(tmp_path, 2)["alone"]) == {"-m", "alone", *files}
