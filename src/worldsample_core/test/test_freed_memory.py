"""Freed buffers of large messages are used again without asking the system for their pages."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from worldsample_core.node.freed_memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
for round in range(12):
    if round == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    buffers = [bytearray(10_000_000) for _ in range(3)]  # written with zeros
    del buffers
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""


def faults_per_message(how: str) -> int:
    """Page faults of three buffers of 10 MB, after the first two rounds."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_the_pages_of_a_message_are_fetched_once() -> None:
    assert faults_per_message("kept") < 100 < faults_per_message("as it is")
