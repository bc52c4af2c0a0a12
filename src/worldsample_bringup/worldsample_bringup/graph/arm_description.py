"""Place of the arm's URDF: in the checkout, or in the share folder of ``a1x_sim``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def arm_description() -> Path | None:
    """The file ``a1x.urdf``; None where it is not installed."""
    beside = Path(__file__).resolve().parents[3] / "a1x_sim"
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    installed = [Path(prefix, "share", "a1x_sim") for prefix in prefixes if prefix]
    files = (directory / "urdf" / "a1x.urdf" for directory in (beside, *installed))
    return next((file for file in files if file.is_file()), None)


def with_description(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """Parameters of the arm's node, with the file of its description where there is one."""
    file = arm_description()
    return {**parameters, "urdf": str(file)} if file else parameters
