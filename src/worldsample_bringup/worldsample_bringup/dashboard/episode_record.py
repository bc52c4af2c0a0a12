"""A finished episode as the plain fields of a record of ``metrics.jsonl``."""

from __future__ import annotations

from worldsample_bringup.run.history import Record
from worldsample_core.transition import EpisodeSummary


def episode_to_record(summary: EpisodeSummary) -> Record:
    """The fields of a record of kind "episode", without kind and time."""
    return {
        "episode_kind": summary.kind,
        "episode": summary.episode,
        "steps": summary.steps,
        "return": summary.episode_return,
        "success": summary.success,
        "truncated": summary.truncated,
        "aborted": summary.aborted,
        "intervention_steps": summary.intervention_steps,
        "policy_version": summary.policy_version,
        "real_steps": summary.real_steps,
        "seed": summary.seed,
        "path": summary.path,
    }
