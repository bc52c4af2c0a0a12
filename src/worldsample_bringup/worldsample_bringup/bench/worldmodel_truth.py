"""Quality of the world model, measured in one process with the simulator (``bench worldmodel``).

Demonstrations -> adaptation -> three rounds of online episodes (rollouts from nearly expert to nearly
random), each followed by refinement -> figures on other episodes of the same kind, never trained on. Then the
counterfactual truth: perturbed actions are imagined, and really executed in the simulator from the same
state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsample_bringup.bench.simulated_runs import SimulatedRuns
from worldsample_worldmodel.data.episodes import Episode, segments
from worldsample_worldmodel.imagination.counterfactual import counterfactual_actions
from worldsample_worldmodel.model.frame_bank import ALL, own_frames
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.training.evaluation import Evaluation, evaluate
from worldsample_worldmodel.training.gate_config import GateConfig
from worldsample_worldmodel.training.image_quality import copy_last_frame, quality

Progress = Callable[[str], None]


def measure(
    task: str,
    updates: int,
    minutes: float,
    demos: int = 20,
    online: int = 80,
    held_out: int = 16,
    counterfactuals: int = 96,
    config: WorldModelConfig | None = None,
    save: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Adapt to a simulated online run and measure.

    Args:
        updates: of training in total: a fifth on the demonstrations, the rest in three growing rounds.
        minutes: training stops then in any case, in the same shares.
        demos, online, held_out: episodes. counterfactuals: segments compared with the simulator.
        save: where to write the checkpoint, if anywhere.

    Returns:
        psnr, ssim, psnr_copy_last, psnr_moving, psnr_moving_copy_last: over both views and all steps of the
            horizon,
        of held-out segments with their real actions; psnr_before (untrained) and psnr_demos (adapted to the
        demonstrations only); horizon; psnr_counterfactual, ssim_counterfactual, label_agreement (share of
        segments whose label is the simulator's), label_agreement_balanced (mean over successes and failures);
        synthetic_transitions_per_second (images, proprioception and labels), ..._per_core (on one thread),
        times_real_time; and what else the words say.
    """
    say = progress or (lambda text: None)
    config = config or WorldModelConfig()
    began = time.monotonic()
    runs = SimulatedRuns(task, config.image_size)
    adaptation = Adaptation(runs.config, config)
    for episode in runs.demonstrations(demos):
        adaptation.add(episode)
    rollouts = runs.online(online)
    unseen = runs.online(held_out, 900_000)
    elapsed = time.monotonic() - began
    say(f"{demos} demonstrations, {online} online and {held_out} held-out episodes: {elapsed:.0f} s")
    gate = GateConfig(segments=100_000)
    adaptation.trainer.fit_statistics(adaptation.memory.training)
    before = _evaluated(adaptation, unseen, gate)

    adaptation.train(max(1, updates // 5), seconds=0.2 * minutes * 60.0)
    adaptation.release()
    adaptation.fit_reward_model()
    demonstrated = _evaluated(adaptation, unseen, gate)
    say(f"after the demonstrations: {demonstrated.model.psnr:.2f} dB")
    for part, share in zip(np.array_split(np.arange(online), 3), (0.15, 0.2, 0.45), strict=True):
        for index in part:
            adaptation.add(rollouts[index])
        last = bool(part[-1] == online - 1)
        adaptation.train(max(1, round(share * updates)), share * minutes * 60.0, anneal=last)
        evaluation = adaptation.release()
        report = adaptation.fit_reward_model()  # as in a run: the later fits go on from the one before
        if evaluation is not None:
            done = adaptation.trainer.updates
            say(f"{part[-1] + 1} online episodes, {done} updates: {evaluation.model.psnr:.2f} dB")
    after = _evaluated(adaptation, unseen, gate)
    result: dict[str, Any] = {
        "task": task,
        "psnr": after.model.psnr,
        "ssim": after.model.ssim,
        "psnr_copy_last": after.copy.psnr,
        "ssim_copy_last": after.copy.ssim,
        "psnr_moving": after.model.psnr_moving,
        "psnr_moving_copy_last": after.copy.psnr_moving,
        "psnr_before": before.model.psnr,
        "psnr_demos": demonstrated.model.psnr,
        "horizon": config.horizon,
        "psnr_by_step_side_wrist": np.round(after.model.psnr_by_step, 2).tolist(),
        "ssim_by_step_side_wrist": np.round(after.model.ssim_by_step, 4).tolist(),
        "uncertainty_correlation": after.uncertainty_correlation,
        "uncertainty": after.uncertainty,
        "error": after.error,
        "classifier_accuracy": report.accuracy,
        "updates": adaptation.trainer.updates,
    }
    result |= counterfactual_truth(adaptation, runs, unseen, counterfactuals)
    result |= generation_speed(adaptation)
    result["wall_seconds"] = time.monotonic() - began
    if save is not None:
        adaptation.save(save)
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()}


def _evaluated(adaptation: Adaptation, episodes: list[Episode], gate: GateConfig) -> Evaluation:
    evaluation = evaluate(adaptation.generator, episodes, gate)
    if evaluation is None:
        raise ValueError(f"no held-out episode has {adaptation.config.horizon} steps")
    return evaluation


def counterfactual_truth(
    adaptation: Adaptation, runs: SimulatedRuns, episodes: list[Episode], count: int, seed: int = 5
) -> dict[str, Any]:
    """Compare imagined with true counterfactual futures.

    As in a run, the episode is over and known; figures ending in ``_past`` treat it as if it had ended at the
    segment's start. A third of the segments ends at a real success, the rest starts anywhere; otherwise
    nearly all labels would be failures.
    """
    rng = np.random.default_rng(seed)
    horizon = adaptation.config.horizon
    usable = [i for i, episode in enumerate(episodes) if len(episode) >= horizon]
    successes = [i for i in usable if episodes[i].success]
    where = []
    for number in range(count):
        near = bool(successes) and number % 3 == 0
        index = int(rng.choice(successes if near else usable))
        latest = len(episodes[index]) - horizon
        where.append((index, latest if near else int(rng.integers(latest + 1))))
    batch = segments(episodes, where, horizon)
    actions = counterfactual_actions(batch.actions, runs.config.active_mask, rng)
    generator = adaptation.generator
    bank = generator.bank
    generator.bank = None if bank is None else bank.with_guests(episodes)
    imagined, predicted = (
        generator.imagine(
            batch.first,
            batch.current,
            batch.first_proprio,
            batch.proprio[:, 0],
            actions,
            own=own_frames(episodes, batch.episode, until),
            commanded=batch.commanded,
            evidence=generator.abduce(episodes, batch.episode, until),
        )
        for until in (ALL, batch.step)
    )
    generator.bank = bank
    truths = [
        runs.replay(episodes[index], step, acts) for (index, step), acts in zip(where, actions, strict=True)
    ]
    truth = np.stack([images for images, _, _ in truths])
    succeeded = np.stack([success for _, _, success in truths])
    reward = adaptation.reward_model

    def labels(images: np.ndarray, proprio: np.ndarray) -> np.ndarray:
        every = np.concatenate([batch.current[:, None], images], 1)
        poses = np.concatenate([batch.proprio[:, :1], proprio], 1)
        probability = reward.probability(
            every.reshape(-1, *every.shape[2:]), poses.reshape(-1, poses.shape[-1])
        )
        return reward.detect(probability.reshape(count, horizon + 1))[:, 1:]

    said = labels(imagined.images, imagined.proprio)
    on_truth = labels(truth, np.stack([proprio for _, proprio, _ in truths]))
    ours = quality(imagined.images, truth, batch.current)
    copied = quality(copy_last_frame(batch.current, horizon), truth, batch.current)
    agree = said[:, -1] == succeeded[:, -1]
    true, false = agree[succeeded[:, -1]], agree[~succeeded[:, -1]]
    return {
        "psnr_counterfactual": ours.psnr,
        "psnr_counterfactual_past": quality(predicted.images, truth, batch.current).psnr,
        "ssim_counterfactual": ours.ssim,
        "psnr_counterfactual_copy_last": copied.psnr,
        "label_agreement": float(agree.mean()),
        "label_agreement_past": float(
            (labels(predicted.images, predicted.proprio)[:, -1] == succeeded[:, -1]).mean()
        ),
        "label_agreement_balanced": float(0.5 * (true.mean() + false.mean()))
        if len(true) and len(false)
        else None,
        "label_agreement_steps": float((said == succeeded).mean()),
        "label_agreement_of_true_images": float((on_truth[:, -1] == succeeded[:, -1]).mean()),
        "counterfactual_segments": count,
        "counterfactual_successes": int(succeeded[:, -1].sum()),
    }


def generation_speed(adaptation: Adaptation, batch: int = 32, repetitions: int = 4) -> dict[str, Any]:
    """Labelled transitions per second, on one thread and on all."""
    threads = torch.get_num_threads()
    episodes = adaptation.memory.training
    rates = {}
    for used in {1, threads}:
        torch.set_num_threads(used)
        adaptation.imagination.generate(episodes, batch)
        began = time.perf_counter()
        for _ in range(repetitions):
            adaptation.imagination.generate(episodes, batch)
        rates[used] = repetitions * batch * adaptation.config.horizon / (time.perf_counter() - began)
    torch.set_num_threads(threads)
    return {
        "synthetic_transitions_per_second": rates[threads],
        "synthetic_transitions_per_second_per_core": rates[1],
        "times_real_time": rates[threads] * adaptation.task.control_period,
        "threads": threads,
        "rejected": dict(adaptation.imagination.rejected),
    }
