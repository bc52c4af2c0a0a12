"""Logs curves and the run's own words from records, as they stand in ``metrics.jsonl``."""

from __future__ import annotations

import math
from collections.abc import Iterator

import rerun as rr

from worldsample_bringup.run.history import History, Record
from worldsample_bringup.viewer import entities

FIELDS: dict[str, dict[str, str]] = {
    "policy": {
        "success_rate": entities.SUCCESS,
        "intervention_rate": entities.INTERVENTIONS,
        "tick_jitter_p99_ms": "loop/jitter_p99_ms",
        "tick_hz": "loop/tick_hz",
        "weights_latency_ms": "loop/weights_latency_ms",
    },
    "pacing": {
        "rho": "pacing/rho",
        "entropy_normalised": "pacing/entropy_normalised",
        "entropy": "entropy/entropy",
        "q_gap": "q/q_gap",
        "q_real": "q/q_real",
        "q_success": "q/q_success",
        "q_failure": "q/q_failure",
        "queue_success": "queues/success",
        "queue_failure": "queues/failure",
    },
    "learner": {
        "critic_loss": "learner/critic_loss",
        "actor_loss": "learner/actor_loss",
        "updates_per_second": "learner/updates_per_second",
    },
    "worldmodel": {
        "psnr": "worldmodel/psnr",
        "psnr_copy_last": "worldmodel/psnr_copy_last",
        "uncertainty": "worldmodel/uncertainty",
    },
}
"""Field of a record: the entity of its curve, by the record's kind."""
UNMEASURED_IS_ZERO = ("psnr", "psnr_copy_last", "uncertainty", "weights_latency_ms")
"""Figures that are 0 until they are measured."""
NAMES: dict[str, tuple[str, tuple[int, int, int]]] = {
    entities.SUCCESS: ("success, last 20", (60, 160, 80)),
    entities.INTERVENTIONS: ("interventions, last 20", (230, 140, 20)),
    entities.EVALUATION: ("evaluation", (50, 110, 220)),
    "pacing/rho": ("ρ, weight of the imagined", (150, 80, 200)),
    "pacing/entropy_normalised": ("entropy, 0 to 1", (230, 140, 20)),
    "q/q_gap": ("gap of imagined and real", (210, 60, 60)),
    "q/q_real": ("Q, real", (50, 110, 220)),
    "q/q_success": ("Q, imagined successes", (60, 160, 80)),
    "q/q_failure": ("Q, imagined failures", (150, 150, 150)),
    "queues/success": ("imagined successes", (60, 160, 80)),
    "queues/failure": ("imagined failures", (150, 150, 150)),
    "worldmodel/psnr": ("PSNR, dB", (150, 80, 200)),
    "worldmodel/psnr_copy_last": ("PSNR of the last frame, dB", (150, 150, 150)),
    "worldmodel/uncertainty": ("uncertainty", (230, 140, 20)),
    entities.UNCERTAINTY: ("uncertainty", (230, 140, 20)),
    entities.SUCCESS_PROBABILITY: ("success, probability", (60, 160, 80)),
}
"""Name and colour of the curves that do not explain themselves, by entity."""


def scalars(record: Record) -> Iterator[tuple[str, float]]:
    """Entities and values of a record's curves; what is no figure, or not measured yet, is left out."""
    for field, entity in FIELDS.get(str(record.get("kind")), {}).items():
        value = record.get(field)
        if value is None or isinstance(value, (bool, str)) or not math.isfinite(value):
            continue
        if value or field not in UNMEASURED_IS_ZERO:
            yield entity, float(value)


class Curves:
    """Logs records one after the other.

    Args:
        stream: of the recording.
        counts: numbers of episodes that make an evaluation, where they are known; an evaluation's curve then
            has a point for a whole one only.
    """

    def __init__(self, stream: rr.RecordingStream, counts: tuple[int, ...] = ()) -> None:
        self._stream = stream
        self._counts = counts
        self._history = History()
        self._phase = ""
        for entity, (name, colour) in NAMES.items():
            stream.log(entity, rr.SeriesLines(names=name, colors=colour), static=True)

    @property
    def real_steps(self) -> int:
        """Real training steps so far."""
        return self._history.real_steps

    def take(self, record: Record) -> None:
        """Log what a record says."""
        if record.get("kind") == "episode":
            self._episode(record)
            return
        if record.get("kind") == "policy":
            self._history.statuses["policy"] = [record]
            if (phase := str(record.get("phase", ""))) and phase != self._phase:
                self._phase = phase
                self._stream.log(entities.PHASE, rr.StateChange(state=phase))
        for entity, value in scalars(record):
            self._stream.log(entity, rr.Scalars(value))

    def _episode(self, record: Record) -> None:
        if self._history.find(record["episode_kind"], record["episode"]) is not None:
            return
        self._history.add(record)
        self._stream.log(entities.LOG, rr.TextLog(in_words(record), level="INFO"))
        if record["episode_kind"] != "eval":
            return
        last = self._history.evaluations(0)[-1]
        if not self._counts or last.episodes in self._counts:
            self._stream.log(entities.EVALUATION, rr.Scalars(last.success_rate))


def in_words(record: Record) -> str:
    """One line about an episode that has ended."""
    kinds = {"train": "episode", "demo": "demonstration", "eval": "evaluation", "label": "labels"}
    ended = "success" if record["success"] else "aborted" if record["aborted"] else "no success"
    helped = f", {record['intervention_steps']} by the operator" if record["intervention_steps"] else ""
    kind = kinds[record["episode_kind"]]
    return f"{kind} {record['episode']}: {ended} after {record['steps']} steps{helped}"
