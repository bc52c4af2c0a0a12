"""The status that the policy publishes of itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("worldsample_msgs")
from worldsample_msgs.msg import PolicyStatus
from worldsample_policy.acting.policy_status import policy_status


def status_in(state: str) -> PolicyStatus:
    """The status of a run that was resumed and plays no episode itself."""
    settings = SimpleNamespace(run=SimpleNamespace(name="mine"), task=SimpleNamespace(max_real_steps=150))
    loop: Any = SimpleNamespace(
        settings=settings,
        store=SimpleNamespace(real_steps=150, next_seq=200),
        state=state,
        kind=None,
        next=None,
        rollout=None,
        detail="",
        success_rate=lambda: 0.5,
        intervention_rate=lambda: 0.5,
    )
    acting: Any = SimpleNamespace(switch=SimpleNamespace(version=3, lapses=0), latency_ms=1.0)
    timing: Any = SimpleNamespace(rate=lambda: 10.0, jitter_p99_ms=lambda: 1.0)
    return policy_status(loop, acting, timing, "", "")


def test_a_run_that_is_resumed_for_its_evaluations_says_that_it_evaluates() -> None:
    assert status_in("evaluating").phase == PolicyStatus.EVAL
    assert status_in("idle").phase == PolicyStatus.STARTING
    assert status_in("done").phase == PolicyStatus.DONE
