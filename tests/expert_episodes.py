"""Demonstrations by a task's expert, recorded without ROS nodes."""

from __future__ import annotations

from a1x_sim.cell import Cell
from worldsample_core.arm.joint_reading import JointReading
from worldsample_core.episodes.episode_bag import encode_transition
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.observation import clean_action
from worldsample_core.transition import EpisodeSummary, Transition


def record_episode(cell: Cell, store: EpisodeStore, seed: int) -> None:
    """Record one demonstration by the task's expert."""
    observation, episode, done = cell.reset(seed), store.begin("demo", seed), False
    joints = JointReading.of(*cell.joint_states())
    while not done:
        action = clean_action(cell.task.expert(cell.state()), cell.config.active_mask)
        following = cell.step(action)
        done = cell.success or cell.steps == cell.config.horizon
        step = Transition(
            observation, action, float(cell.success), following, cell.success, done and not cell.success,
            cell.success, intervention=False, seq=store.next_seq, episode=episode, step=cell.steps - 1,
            source="demo", run=store.run,
        )  # fmt: skip
        before, joints = joints, JointReading.of(*cell.joint_states())
        store.append(encode_transition(step), before, joints)
        observation = following
    summary = EpisodeSummary("demo", episode, cell.steps, float(cell.success), cell.success, not cell.success)
    store.finish(summary)
