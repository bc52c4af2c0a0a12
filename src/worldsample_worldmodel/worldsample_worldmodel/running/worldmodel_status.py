"""The world model's state as a message."""

from __future__ import annotations

import math

from worldsample_msgs.msg import WorldModelStatus
from worldsample_worldmodel.running.worldmodel_loop import WorldModelLoop

STATES = {
    "waiting": WorldModelStatus.WAITING,
    "adapting": WorldModelStatus.ADAPTING,
    "generating": WorldModelStatus.GENERATING,
    "failed": WorldModelStatus.FAILED,
}


def worldmodel_status(loop: WorldModelLoop, dropped: str, failure: str) -> WorldModelStatus:
    """The status of the world model, without its stamp and run.

    Args:
        dropped: what the node could not use of what it received, in words.
        failure: why the node ends; "" while it does not.
    """
    adaptation = loop.adaptation
    message = WorldModelStatus(publisher=loop.publisher)
    message.state, message.detail = STATES[loop.state], loop.description(dropped)
    if failure:
        message.state, message.detail = WorldModelStatus.FAILED, failure
    message.version, message.train_updates = adaptation.version, adaptation.trainer.updates
    message.episodes = adaptation.memory.added
    message.segments, message.transitions = loop.published.segments, loop.published.transitions
    message.completed_steps, message.rejected = loop.completed_steps, loop.rejected
    message.transitions_per_second = loop.transitions_per_second()
    message.gate_open, message.horizon = loop.gate_open, adaptation.config.horizon
    if (evaluation := adaptation.evaluation) is not None:
        message.psnr, message.ssim = evaluation.model.psnr, evaluation.model.ssim
        message.psnr_copy_last = evaluation.copy.psnr
        message.psnr_moving = finite(evaluation.model.psnr_moving)
        message.psnr_moving_copy_last = finite(evaluation.copy.psnr_moving)
        message.uncertainty = finite(evaluation.uncertainty)
    return message


def finite(value: float) -> float:
    """``value``, 0 where it is not a number (nothing moves)."""
    return value if math.isfinite(value) else 0.0
