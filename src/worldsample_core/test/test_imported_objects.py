"""The collector passes over what a node has imported, and works again afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import gc, json
import worldsample_core.node.quiet_imports as quiet_imports
importing = gc.isenabled()
import argparse, dataclasses
quiet_imports.imports_are_done()
left = len(gc.get_objects())
class Ring: pass
ring = Ring()
ring.itself, number = ring, id(ring)
del ring
gc.collect()
print(json.dumps([importing, gc.isenabled(), gc.get_freeze_count(), left,
                  any(id(kept) == number for kept in gc.get_objects())]))
"""


@pytest.mark.parametrize(
    ("name", "importing"), [("some_node.py", False), ("evaluator.py", False), ("train.py", True)]
)
def test_a_node_collects_only_what_it_makes_after_its_imports(
    tmp_path: Path, name: str, importing: bool
) -> None:
    program = tmp_path / name
    program.write_text(PROGRAM)
    answer = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    collected_meanwhile, collects, kept, left, ring_is_left = json.loads(answer.stdout)
    assert collected_meanwhile is importing and collects
    assert kept > 5000 and left < 500, "what was imported is not looked through again"
    assert not ring_is_left
