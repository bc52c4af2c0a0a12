"""The learner's state as messages."""

from __future__ import annotations

from dataclasses import asdict

from worldsample_core.messages.reception import Reception
from worldsample_msgs.msg import LearnerStatus, PacingStatus
from worldsample_policy.learning.learner_loop import LearnerLoop
from worldsample_policy.pacing.policy_paced_learning import PacingReport

STATES = {
    "waiting": LearnerStatus.WAITING,
    "adapting": LearnerStatus.ADAPTING,
    "training": LearnerStatus.TRAINING,
    "done": LearnerStatus.DONE,
}
LOSSES = ("critic_loss", "actor_loss", "temperature", "entropy", "q_mean", "gripper_loss")


def learner_status(loop: LearnerLoop, reception: Reception, failure: str) -> LearnerStatus:
    """The status of the learner, without its stamp and run.

    Args:
        reception: counts the messages that could not be used.
        failure: why the learner ends; "" while it does not.
    """
    learner, intake = loop.learner, loop.intake
    detail = ", ".join(filter(None, (loop.detail, reception.words())))
    message = LearnerStatus(state=STATES[loop.state], detail=detail)
    if failure:
        message.state, message.detail = LearnerStatus.FAILED, failure
    message.updates, message.skipped_updates = learner.updates, learner.skipped_updates
    message.real_steps, message.demo_steps = learner.real_steps, learner.demo_steps
    message.completed_steps, message.updates_owed = loop.completed_steps, loop.updates_owed
    message.next_seq, message.backfilled = intake.next_seq, intake.fetched
    message.duplicates = intake.duplicates + learner.replay.duplicates
    message.rejected = loop.rejected + reception.total
    message.lockstep_lapses = loop.following.given_up if loop.following and loop.run.lockstep else 0
    message.weights_version = loop.weights_version
    message.checkpoint_step = max(0, loop.checkpoint_step)
    message.updates_per_second = loop.updates_per_second()
    for name in LOSSES:
        setattr(message, name, float(loop.logs.get(name, 0.0)))
    return message


def pacing_status(report: PacingReport, malformed: int) -> PacingStatus:
    """The status of Policy-Paced Learning, without its stamp and run.

    Args:
        malformed: messages of segments that could not be unpacked.
    """
    message = PacingStatus()
    for name, value in asdict(report).items():
        setattr(message, name, value)
    message.rejected_malformed += malformed
    return message
