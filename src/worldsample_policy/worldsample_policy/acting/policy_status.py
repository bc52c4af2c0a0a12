"""The policy's state as a message."""

from __future__ import annotations

import math

from worldsample_msgs.msg import PolicyStatus
from worldsample_policy.acting.acting_weights import ActingWeights
from worldsample_policy.acting.policy_loop import PolicyLoop
from worldsample_policy.acting.tick_timing import TickTiming

PHASES = {
    "demo": PolicyStatus.DEMO,
    "train": PolicyStatus.TRAIN,
    "eval": PolicyStatus.EVAL,
    "label": PolicyStatus.LABEL,
}


def policy_status(
    loop: PolicyLoop, acting: ActingWeights, timing: TickTiming, hold: str, failure: str
) -> PolicyStatus:
    """The status of the policy, without its stamp.

    Args:
        hold: why the arm holds at the moment; "" where it does not.
        failure: why the run ends; "" while it does not.
    """
    run, task, store = loop.settings.run, loop.settings.task, loop.store
    message = PolicyStatus(run=run.name)
    if failure:
        message.phase, message.detail = PolicyStatus.FAILED, failure
    elif loop.state == "done":
        message.phase = PolicyStatus.DONE
    else:
        evaluates = loop.state == "evaluating"  # also of a run that was resumed for nothing else
        none = PolicyStatus.EVAL if evaluates else PolicyStatus.STARTING
        message.phase = PHASES[loop.kind] if loop.kind else none
        message.detail = hold or loop.detail
    if loop.next is not None:
        message.episode, message.episodes_in_phase = loop.next.number, loop.next.of
    if loop.rollout is not None:
        message.step = loop.rollout.counts.steps
    message.real_steps, message.max_real_steps = store.real_steps, task.max_real_steps
    message.next_seq = store.next_seq
    message.weights_version = acting.switch.version
    message.lockstep_lapses = acting.switch.lapses
    message.success_rate, message.intervention_rate = loop.success_rate(), loop.intervention_rate()
    message.tick_hz, message.tick_jitter_p99_ms = timing.rate(), timing.jitter_p99_ms()
    message.weights_latency_ms = 0.0 if math.isnan(acting.latency_ms) else acting.latency_ms
    return message
