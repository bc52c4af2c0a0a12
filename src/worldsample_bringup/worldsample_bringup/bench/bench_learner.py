"""``worldsample bench learner``: time of an update of HiL-SERL and WorldSample, with LeRobot's beside it.

The methods' own settings on the cpu machine's networks, at the sizes of batch that training uses. LeRobot
runs in an environment of its own; where it cannot be installed, the result says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from worldsample_bringup.bench.machine_load import MachineLoad
from worldsample_bringup.bench.peer_environment import LEROBOT, measured_or_reason, run_peer
from worldsample_bringup.run.configuration import layers
from worldsample_bringup.run.provenance import git_revision, version_of
from worldsample_core.config import TaskConfig, from_mapping
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learner_speed import measure_parts, measure_updates

Say = Callable[[str], None]


@dataclass(frozen=True)
class LearnerSettings:
    """Cases that are measured.

    Attributes:
        methods: whose own updates are timed.
        task: whose action dimensions the policy has.
        image_sizes: pixels; ours sees latents of one size at each.
        threads: of torch, one after the other.
        seconds: about how long each case is timed.
        peer_timeout_s: s that LeRobot's cases may take together.
    """

    methods: tuple[str, ...] = ("hil_serl", "worldsample")
    task: str = "pick_place"
    image_sizes: tuple[int, ...] = (64, 128)
    threads: tuple[int, ...] = (1, 2)
    seconds: float = 5.0
    peer_timeout_s: float = 1800.0


def measure(settings: LearnerSettings | None = None, peers: bool = True, say: Say = print) -> dict[str, Any]:
    """All cases on this machine, JSON-able.

    Args:
        peers: measure LeRobot as well.
        say: is told what happens, for people.
    """
    asked = settings or LearnerSettings()
    load = MachineLoad()
    result: dict[str, Any] = {
        "task": asked.task,
        "torch": version_of("torch"),
        "git_revision": git_revision(),
        **{method: _method(asked, method, say) for method in asked.methods},
    }
    if peers:
        _, config = case_of(asked, asked.methods[0], asked.image_sizes[0])
        given = {
            "batch_size": config.batch_size,
            "image_sizes": asked.image_sizes,
            "threads": asked.threads,
            "seconds": asked.seconds,
        }
        result["lerobot"] = measured_or_reason(
            lambda: run_peer(LEROBOT, "lerobot_learner.py", given, say, asked.peer_timeout_s)
        )
    return {**result, "machine": load.describe()}


def case_of(settings: LearnerSettings, method: str, image_size: int) -> tuple[TaskConfig, LearnerConfig]:
    """Task and learner as a run on the cpu machine has them."""
    merged = layers("cpu", method, settings.task, quick=False)
    config = from_mapping(LearnerConfig, merged.get("learner", {}), "learner")
    return from_mapping(TaskConfig, merged["task"], "task"), replace(config, image_size=image_size)


def _method(settings: LearnerSettings, method: str, say: Say) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for size in settings.image_sizes:
        task, config = case_of(settings, method, size)
        for threads in settings.threads:
            say(f"measuring {method}, {size}x{size}, {threads} threads")
            key = f"{size}x{size}, {threads} threads"
            result[key] = measure_updates(config, task, threads, settings.seconds)
        result[f"parts_ms, {size}x{size}, {settings.threads[0]} threads"] = measure_parts(
            config, task, settings.threads[0], 0.5 * settings.seconds
        )
    return result


def table(result: Mapping[str, Any]) -> str:
    """The figures for people, one case a line."""
    rows = [f"{'CPU ms / wall ms of an update':<62}{'critics only':>18}{'full':>18}{'mixed':>18}{'per s':>8}"]
    for name in ("hil_serl", "worldsample", "lerobot"):
        of = result.get(name, {})
        if "skipped" in of:
            rows.append(f"{name}: skipped: {of['skipped']}")
            continue
        rows += [
            f"{f'{name}, {case}':<62}{_row(figures)}" for case, figures in of.items() if _is_case(figures)
        ]
    return "\n".join([*rows, f"machine: {result['machine']['note']}"])


def _is_case(figures: Any) -> bool:
    return isinstance(figures, Mapping) and ("mixed" in figures or "failed" in figures)


def _row(figures: Mapping[str, Any]) -> str:
    if "failed" in figures:
        return f"  failed: {figures['failed']}"
    pairs = [figures.get(kind) for kind in ("critic_only", "full", "mixed")]
    texts = [f"{pair['cpu_ms']} / {pair['wall_ms']}" if pair else "-" for pair in pairs]
    return "".join(f"{text:>18}" for text in texts) + f"{figures['updates_per_second']:>8}"
