"""A wall clock that is set back and on for some processes; the machine's own is left alone.

``moved_clock.c`` is compiled and preloaded into what is started with :attr:`MovedClock.environment`.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("moved_clock.c")
COMPILERS = ("cc", "gcc", "clang")


def find_compiler() -> str:
    """A C compiler of this machine; "" where there is none."""
    return next((path for name in COMPILERS if (path := shutil.which(name))), "")


class MovedClock:
    """The wall clock of the processes that are started with :attr:`environment`.

    Attributes:
        environment: variables for these processes.
        off: s by which their clock is beside the machine's.
    """

    def __init__(self, folder: Path) -> None:
        """Compile the library into ``folder``.

        Raises:
            OSError: there is no compiler, or it failed.
        """
        library, self._file = folder / "moved_clock.so", folder / "clock"
        compiler = find_compiler()
        if not compiler:
            raise OSError("there is no C compiler")
        command = [compiler, "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"the C compiler failed: {done.stderr.strip()}")
        self.off = 0.0
        self._file.write_bytes(struct.pack("<q", 0))
        preloaded = ":".join(filter(None, (str(library), os.environ.get("LD_PRELOAD"))))
        self.environment = {"LD_PRELOAD": preloaded, "MOVED_CLOCK": str(self._file)}

    def set(self, off: float) -> None:
        """Have the clock be ``off`` s beside the machine's."""
        self.off = off
        with self._file.open("r+b") as file:  # in place: the processes have it mapped
            file.write(struct.pack("<q", round(off * 1e9)))
