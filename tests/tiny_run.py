"""A run folder with everything in it, all of it tiny, made in seconds and without ROS nodes."""

from __future__ import annotations

import json
from pathlib import Path

from a1x_sim.cell import Cell
from tests.expert_episodes import record_episode
from worldsample_bringup.run import prepare
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import from_mapping
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.episode_store import EpisodeStore, find_bags
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner
from worldsample_worldmodel.data.episodes import episode_from_transitions
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.worldmodel_config import WorldModelNodeConfig


def tiny_run(root: Path) -> RunFolder:
    """A run in ``root`` with two demonstrations, a checkpoint, a world model and an evaluation."""
    plan = prepare.plan(Request("train", method="worldsample", machine="cpu", quick=True), root)
    plan.begin().close()
    settings, folder = plan.settings, plan.folder
    cell = Cell(settings.task.name, settings.run.image_size, config=settings.task)
    store = EpisodeStore(folder.path, settings.run.name)
    for seed in (1, 2):
        record_episode(cell, store, seed)
    store.close()
    cell.close()
    learner = Learner(from_mapping(LearnerConfig, settings.learner, "learner"), settings.task)
    learner.save(folder.checkpoints / "step_50")
    config = from_mapping(WorldModelNodeConfig, settings.worldmodel, "worldmodel")
    adaptation = Adaptation(settings.task, config.model, config.reward)
    for bag in find_bags(folder.path):
        adaptation.add(episode_from_transitions(read_transitions(bag)))
    adaptation.train(2)
    adaptation.release()
    adaptation.save(folder.path / "worldmodel" / "step_50.safetensors")
    evaluation = {"kind": "episode", "episode_kind": "eval", "steps": 9, "real_steps": 50, "t": 1.0}
    evaluation |= {"intervention_steps": 0, "aborted": False}
    records = [{**evaluation, "episode": i, "success": i == 0, "return": float(i == 0)} for i in range(4)]
    folder.metrics.write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder
