"""Advice where MuJoCo cannot draw."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from a1x_sim.graphics import NoRenderer, load_mujoco

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


def test_ctrl_c_while_opengl_is_loaded_is_no_lack_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctypes makes an ArgumentError of a KeyboardInterrupt that comes while it converts an argument."""
    error = "argument 1: KeyboardInterrupt: "
    (tmp_path / "mujoco.py").write_text(f"import ctypes\nraise ctypes.ArgumentError({error!r})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mujoco", raising=False)
    with pytest.raises(KeyboardInterrupt):
        load_mujoco()
