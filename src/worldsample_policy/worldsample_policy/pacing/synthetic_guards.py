"""Which imagined segments no learner takes, whatever it does with the others."""

from __future__ import annotations

from worldsample_core.config import TaskConfig
from worldsample_core.synthetic import SyntheticSegment
from worldsample_policy.learner_config import LearnerConfig


def reason_to_reject(segment: SyntheticSegment, config: LearnerConfig, task: TaskConfig, newest: int) -> str:
    """The guards' reason against a segment: uncertainty, bounds, label or stale; "" if they accept it.

    Args:
        segment: the segment.
        config: holds the limits.
        task: holds the workspace box.
        newest: version of the newest world model so far.
    """
    if segment.world_model_version <= newest - config.synthetic_versions:
        return "stale"
    if float(segment.uncertainty.max()) > config.synthetic_uncertainty:
        return "uncertainty"
    if segment.leaves_workspace(task, config.synthetic_box_margin):
        return "bounds"
    if bool(segment.actions[:, ~task.active_mask].any()):
        return "bounds"
    last = float(segment.success_probability[-1])
    if (segment.success and last < 0.5) or (not segment.success and last > 0.5):
        return "label"
    return ""
