"""CPU time by piece of work: pieces inside pieces, threads, and processes that do not count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from worldsample_core.node.cpu_account import ENVIRONMENT, CpuAccount


class Clock:
    """CPU seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_piece_counts_without_what_is_inside_it() -> None:
    clock = Clock()
    account = CpuAccount(clock)
    for _ in range(2):
        account.enter("physics")
        clock.now += 1.0
        account.enter("rendering")
        clock.now += 3.0
        account.leave()
        clock.now += 0.5
        account.leave()
    assert account.pieces() == {
        "rendering": {"cpu_seconds": 6.0, "calls": 2},
        "physics": {"cpu_seconds": 3.0, "calls": 2},
    }


def test_threads_do_not_count_each_others_time() -> None:
    account = CpuAccount()

    def sleep() -> None:
        account.enter("waiting")
        time.sleep(0.2)
        account.leave()

    thread = threading.Thread(target=sleep)
    account.enter("working")
    thread.start()
    until = time.thread_time() + 0.1
    while time.thread_time() < until:
        pass
    account.leave()
    thread.join()
    pieces = account.pieces()
    assert 0.09 < pieces["working"]["cpu_seconds"] < 0.2
    assert pieces["waiting"]["cpu_seconds"] < 0.05


PROGRAM = """
import time
from worldsample_core.node.cpu_account import cpu_piece, imports_done

@cpu_piece("updates")
def update():
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    return 3

imports_done()
assert update() + update() == 6
try:
    with cpu_piece("failing"):
        raise ValueError
except ValueError:
    pass
"""


def run(environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, **environment}, check=True)


def test_a_process_leaves_its_account_when_it_ends(tmp_path: Path) -> None:
    run({ENVIRONMENT: str(tmp_path / "cpu")})
    (file,) = (tmp_path / "cpu").iterdir()
    account = json.loads(file.read_text())
    pieces = account["pieces"]
    assert file.stem == str(account["pid"])
    assert pieces["updates"]["calls"] == 2 and 0.1 <= pieces["updates"]["cpu_seconds"] < 0.2
    assert pieces["imports"]["cpu_seconds"] > 0.0 and pieces["failing"]["calls"] == 1
    assert account["cpu_seconds"] >= sum(piece["cpu_seconds"] for piece in pieces.values()) - 0.01


def test_nothing_is_counted_and_nothing_is_left_otherwise(tmp_path: Path) -> None:
    run({ENVIRONMENT: ""})
    assert not list(tmp_path.iterdir())
