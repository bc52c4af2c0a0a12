"""Advice where MuJoCo cannot draw."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from a1x_sim.graphics import NoRenderer

PROGRAM = """
from a1x_sim.cell import Cell
from a1x_sim.graphics import NoRenderer
try:
    Cell("pushing", 64)
except NoRenderer as problem:
    print(problem)
"""


def test_field_report_16_pyopengl_s_platform_is_named() -> None:
    """MuJoCo refuses EGL while another project's variable chooses GLX."""
    environment = {**os.environ, "MUJOCO_GL": "egl", "PYOPENGL_PLATFORM": "glx"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert "PYOPENGL_PLATFORM=glx is set: `unset PYOPENGL_PLATFORM`" in done.stdout, done.stderr
    assert "apt install" not in done.stdout


def test_without_that_variable_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYOPENGL_PLATFORM", "egl")  # as MuJoCo sets it
    monkeypatch.setenv("MUJOCO_GL", "egl")
    assert "apt install" in str(NoRenderer(ImportError("no libEGL")))
