"""Names in a recording: its timelines, and the paths of what is logged. The blueprint lays them out."""

from __future__ import annotations

from worldsample_core.observation import VIEWS

TIME = "time"
"""Timeline of wall time."""
REAL_STEP = "real_step"
"""Timeline of the run's real training steps."""

CAMERAS = {view: f"cameras/{view}" for view in VIEWS}
REAL = {view: f"imagination/{view}/real" for view in VIEWS}
"""Real frames of the segment that is shown."""
IMAGINED = {view: f"imagination/{view}/imagined" for view in VIEWS}
SEGMENT = "imagination/segment"
"""Words about the segment that is shown."""
UNCERTAINTY = "imagination/uncertainty"
SUCCESS_PROBABILITY = "imagination/success_probability"
COMPARISON = "imagination/comparison"
"""Pictures that the run keeps: real segments above their imagined twins."""

SUCCESS = "success/success_last_20"
INTERVENTIONS = "success/interventions_last_20"
EVALUATION = "success/evaluation"

DRIVER = "timeline/driver"
PHASE = "timeline/phase"

JOINTS = "scene/joints"
"""Transforms of the arm's links."""
PLACES = {view: f"scene/{view}_camera" for view in VIEWS}
"""Entity of each camera's place."""
GRIPPER = "scene/gripper"
COMMAND = "scene/command"
COMMANDED_GRIPPER = "scene/commanded_gripper"
UNDRAWN = "scene/a1x/collision_geometries"
"""Shapes of the URDF that nobody wants to see."""
WORKSPACE = "scene/workspace"

NODES = "nodes/table"
AGES = "nodes/age"
LOG = "log"
