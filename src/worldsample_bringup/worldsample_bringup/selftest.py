"""``worldsample test``: ruff, mypy and pytest over the checkout; the last line is pytest's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from worldsample_core.config import ConfigError


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
    codes = []
    if not pytest_arguments:
        for name, arguments in (("ruff", ["check", "."]), ("mypy", [])):
            began = time.monotonic()
            print(f"== {name} {' '.join(arguments)}", flush=True)
            code = subprocess.run([sys.executable, "-m", name, *arguments], cwd=root, check=False).returncode
            codes.append(code)
            print(
                f"== {name}: {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s",
                flush=True,
            )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", *pytest_arguments]
    codes.append(subprocess.run(command, cwd=root, env=environment, check=False).returncode)
    if len(codes) > 1 and any(codes[:-1]):
        print("ruff or mypy FAILED, see above", file=sys.stderr)
    return next((code for code in codes if code), 0)
