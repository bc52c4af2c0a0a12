"""Compares frozen encoders for the learner, with the whole loop in one process, without ROS.

    .venv/bin/python benchmarks/encoders.py --encoders autoencoder random efficientnet_lite0 --seeds 2

Every run records 20 demonstrations, adapts the encoder to them, and trains HiL-SERL with the scripted
operator. Every 500 real steps it evaluates over 20 episodes (deterministic policy, no interventions), and
over 50 at the end. The result goes to ``benchmarks/results/encoders.json``. Finished runs are kept there, so
the command can be stopped and started again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from a1x_sim.cell import Cell
from a1x_sim.operator import OperatorConfig, ScriptedOperator
from worldsample_core.observation import clean_action
from worldsample_core.transition import EpisodeKind, Transition
from worldsample_policy.acting.actor import Actor
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner

DEMOS = 20
LAG = 20  # real steps between two updates of the acting weights
EVALUATION_SEEDS = 900_000


class Loop:
    """Cell, scripted operator, actor and learner, taking turns."""

    def __init__(self, task: str, config: LearnerConfig) -> None:
        self.cell = Cell(task, config.image_size, seed=config.seed)
        self.task = self.cell.config
        self.operator = ScriptedOperator(self.cell.task, seed=config.seed, config=OperatorConfig())
        self.learner = Learner(config, self.task)
        self.actor = Actor(config, self.task, seed=config.seed)
        self.rng = np.random.default_rng(config.seed)
        self.seq = self.episodes = 0

    def episode(self, kind: EpisodeKind, seed: int) -> tuple[bool, int]:
        """Run one episode; returns success and its length in control steps."""
        observation = self.cell.reset(seed)
        self.operator.start_episode(seed)
        steps = 0
        while steps < self.task.horizon and not self.cell.success:
            signal = self.operator.act(self.cell.state(), kind)
            driven = signal.active and kind != "eval"
            if driven:
                wanted: np.ndarray = signal.action
            elif kind == "train" and self.learner.real_steps < self.learner.config.training_starts:
                wanted = self.rng.uniform(-1.0, 1.0, 7)
            else:
                wanted, _ = self.actor.act(observation, deterministic=kind == "eval")
            action = clean_action(wanted, self.task.active_mask)
            following = self.cell.step(action)
            if kind != "eval":
                self._learn(
                    Transition(
                        observation=observation,
                        action=action,
                        reward=float(self.cell.success),
                        next_observation=following,
                        terminated=self.cell.success,
                        truncated=steps + 1 == self.task.horizon and not self.cell.success,
                        success=self.cell.success,
                        intervention=driven,
                        seq=self.seq,
                        episode=self.episodes,
                        step=steps,
                        source="demo" if kind == "demo" else "policy",
                    )
                )
            observation, steps = following, steps + 1
        self.operator.end_episode(self.cell.success, kind)
        self.episodes += kind != "eval"
        return self.cell.success, steps

    def _learn(self, transition: Transition) -> None:
        self.learner.add(transition)
        self.seq += 1
        if transition.source == "demo" or not self.learner.ready:
            return
        for _ in range(self.learner.config.utd):
            self.learner.update()
        if self.learner.real_steps % LAG == 0:
            self.actor.load(self.learner.actor_state())

    def evaluate(self, episodes: int) -> float:
        """Evaluate the newest weights; returns the success rate."""
        self.actor.load(self.learner.actor_state())
        return float(np.mean([self.episode("eval", EVALUATION_SEEDS + i)[0] for i in range(episodes)]))


def run(task: str, config: LearnerConfig, steps: int) -> dict[str, object]:
    """Train once. Returns the curve, the final success over 50 episodes, and what the encoder cost."""
    loop = Loop(task, config)
    for demo in range(DEMOS):
        loop.episode("demo", 10_000 + config.seed * 1000 + demo)
    began = time.perf_counter()
    loop.learner.adapt_encoder()
    adapt_seconds = time.perf_counter() - began
    frame = torch.from_numpy(loop.cell.reset(0).images)[None]
    began = time.perf_counter()
    for _ in range(50):
        loop.learner.agent.encoder(frame)
    encode_ms = (time.perf_counter() - began) / 50 * 1e3
    loop.actor.load(loop.learner.actor_state())
    curve: list[tuple[int, float]] = []
    episode = 0
    while loop.learner.real_steps < steps:
        loop.episode("train", config.seed * 100_000 + episode)
        episode += 1
        if loop.learner.real_steps >= 500 * (len(curve) + 1):
            curve.append((loop.learner.real_steps, loop.evaluate(20)))
            print(
                f"  {config.encoder} seed {config.seed}: {curve[-1][0]} real steps, {curve[-1][1]:.2f}",
                flush=True,
            )
    return {
        "final_success": loop.evaluate(50),
        "curve": curve,
        "adapt_seconds": round(adapt_seconds, 1),
        "encode_ms_per_frame": round(encode_ms, 2),
        "updates": loop.learner.updates,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="pushing")
    parser.add_argument("--encoders", nargs="+", default=["autoencoder", "random", "efficientnet_lite0"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--steps", type=int, default=5000, help="real steps of each run (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "encoders.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for seed in range(arguments.seeds):
        for encoder in arguments.encoders:
            name = f"{arguments.task}/{encoder}/seed{seed}/{arguments.steps}"
            if name in results:
                continue
            config = replace(LearnerConfig(), encoder=encoder, seed=seed)
            results[name] = run(arguments.task, config, arguments.steps)
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    for name, result in results.items():
        print(f"{name}: final success {result['final_success']:.2f}")


if __name__ == "__main__":
    main()
