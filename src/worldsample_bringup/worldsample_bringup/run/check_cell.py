"""``worldsample check --cell``: looks at the whole cell, and says what to fix before anything moves."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worldsample_bringup.graph.domain import named_domain
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.prepare import plan

REMEMBERED = "cell.json"
"""Folder, in that of the runs, of the cameras' pictures from when a person said that all was right."""


def check_cell(overrides: Sequence[str], runs: Path, seconds: float, remember: bool) -> dict[str, Any]:
    """Listen, judge, and print what is wrong.

    Args:
        overrides: settings, as for ``train --real``. runs: folder of the runs.
        seconds: for how long to listen. remember: keep the cameras' pictures, to tell swapped ones later.

    Returns:
        ``faults``: name, level and text of each; ``ok``: no error among them.

    Raises:
        ConfigError: the settings cannot be used.
    """
    named_domain()
    settings = plan(Request("demos", real=True, overrides=tuple(overrides)), runs).settings
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

    import rclpy
    import torch
    from rclpy.executors import SingleThreadedExecutor

    from a1x_driver.cell_check import find_faults
    from a1x_driver.cell_probe import CellProbe, listen
    from a1x_driver.driver_config import DriverConfig
    from a1x_driver.teleop_config import TeleopConfig
    from worldsample_core.config import from_mapping

    driver = from_mapping(DriverConfig, settings.driver, "driver")
    rclpy.init(args=[])
    node = rclpy.create_node("cell_probe")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        probe = CellProbe(node, driver, from_mapping(TeleopConfig, settings.teleop, "teleop"))
        print(
            f"listening for {seconds:g} s on ROS domain {os.environ.get('ROS_DOMAIN_ID') or 0} …", flush=True
        )
        listen(executor, seconds)
        there = next(folder for folder in (runs, *runs.absolute().parents) if folder.exists())
        facts = probe.facts(there, torch.cuda.is_available())
    finally:
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        rclpy.try_shutdown()
    if remember:
        runs.mkdir(parents=True, exist_ok=True)
        write_reference(runs / REMEMBERED, facts.cameras)
    size = (settings.cameras.width, settings.cameras.height)
    reference = read_reference(runs / REMEMBERED)
    faults = find_faults(facts, driver, settings.task, size, settings.run.machine, reference)
    for fault in faults:
        print(f"{fault.level.upper():<8}{fault.name:<26}{fault.text}")
    errors = sum(fault.level == "error" for fault in faults)
    said = f"{errors} to fix before anything moves" if errors else "nothing speaks against moving the arm"
    print(f"{len(faults)} faults: {said}" if faults else said)
    return {"ok": not errors, "faults": [vars(fault) for fault in faults], "seconds": round(facts.seconds, 1)}


def write_reference(path: Path, cameras: Any) -> None:
    """Keep the thumbnails of both views, ``(8, 8, 3)`` each."""
    thumbnails = {
        view: facts.thumbnail.round(4).tolist()
        for view, facts in cameras.items()
        if facts.thumbnail is not None
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(thumbnails))
    shutil.move(partial, path)


def read_reference(path: Path) -> dict[str, Any] | None:
    """The remembered thumbnails; None where there are none."""
    import numpy as np

    try:
        values = json.loads(path.read_text())
        return {
            view: np.asarray(thumbnail, np.float64).reshape(8, 8, 3) for view, thumbnail in values.items()
        }
    except (OSError, ValueError, AttributeError):
        return None
