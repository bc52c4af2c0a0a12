"""The one repair that the ROS wheels need before anything can be compiled against them.

Their exported CMake files carry include paths of the machine that built them, such as
`/opt/python/cp311-cp311/include/python3.11` and
`/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include`.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from worldsample_setup import debian_python
from worldsample_setup.home import Home

BUILDER_PYTHON = re.compile(r"/opt/(?:_internal|python)/[^\s;\"']*?/include/python3\.\d+")
BUILDER_NUMPY = re.compile(
    r"/opt/(?:_internal|python)/[^\s;\"']*?/lib/python3\.\d+/site-packages/numpy/(?:_core|core)/include"
)
PATHS_PROGRAM = "import numpy, sysconfig; print(sysconfig.get_paths()['include']); print(numpy.get_include())"


def local_includes(home: Home) -> tuple[str, str]:
    """The include folders of this machine's Python and of the environment's numpy."""
    env = {**os.environ, "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"}
    answer = subprocess.run(
        [str(home.python), "-c", PATHS_PROGRAM], capture_output=True, text=True, check=True, env=env
    )
    python_include, numpy_include = answer.stdout.split("\n")[:2]
    return str(debian_python.include_folder(home) or python_include), numpy_include


def repair_text(text: str, python_include: str, numpy_include: str) -> str:
    """Replaces the builder's paths in one CMake file; other text stays as it is."""
    text = BUILDER_NUMPY.sub(lambda _: numpy_include, text)
    return BUILDER_PYTHON.sub(lambda _: python_include, text)


def repair_cmake_files(share: Path, python_include: str, numpy_include: str) -> list[Path]:
    """Repairs every `share/**/cmake/*.cmake`; safe to repeat.

    Returns:
        The files that were changed.
    """
    changed = []
    for path in sorted(share.glob("**/cmake/*.cmake")):
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        repaired = repair_text(text, python_include, numpy_include)
        if repaired != text:
            new = path.with_suffix(".cmake.new")
            new.write_text(repaired, encoding="utf-8", errors="surrogateescape")
            os.replace(new, path)
            changed.append(path)
    return changed
