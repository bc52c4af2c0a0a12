"""``bench learner``: the methods' own settings, and LeRobot beside them or the reason why not."""

from __future__ import annotations

from typing import Any

import pytest

from worldsample_bringup.bench import bench_learner
from worldsample_bringup.bench.bench_learner import LearnerSettings, case_of, measure, table
from worldsample_bringup.bench.peer_environment import PeerMissing

TIMES = {"cpu_ms": 20.0, "wall_ms": 21.0}
CASE = {"threads": 1, "updates_per_second": 47.6, "critic_only": TIMES, "full": TIMES, "mixed": TIMES}


def test_each_method_is_measured_with_its_own_settings() -> None:
    settings = LearnerSettings()
    task, plain = case_of(settings, "hil_serl", 64)
    _, ours = case_of(settings, "worldsample", 128)
    assert task.name == "pick_place"
    assert (plain.image_size, plain.pacing, plain.batch_size) == (64, False, 256)
    assert (ours.image_size, ours.pacing, ours.synthetic_batch) == (128, True, 256)


def test_cases_are_named_and_a_missing_lerobot_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def no_peer(peer: Any, script: str, given: dict[str, Any], say: Any, timeout: float) -> dict[str, Any]:
        asked.update(given)
        raise PeerMissing("lerobot could not be installed: no network")

    monkeypatch.setattr(bench_learner, "measure_updates", lambda *arguments: CASE)
    monkeypatch.setattr(bench_learner, "measure_parts", lambda *arguments: {"actor": 4.0})
    monkeypatch.setattr(bench_learner, "run_peer", no_peer)
    result = measure(LearnerSettings(image_sizes=(64,)), say=lambda words: None)
    assert asked["threads"] == (1, 2) and asked["batch_size"] == 256
    assert result["worldsample"]["64x64, 2 threads"] == CASE
    assert result["hil_serl"]["parts_ms, 64x64, 1 threads"] == {"actor": 4.0}
    assert result["lerobot"] == {"skipped": "lerobot could not be installed: no network"}
    text = table(result)
    assert "hil_serl, 64x64, 1 threads" in text and "20.0 / 21.0" in text and "47.6" in text
    assert "lerobot: skipped" in text and "machine: " in text


def test_a_case_of_lerobot_that_fails_does_not_hide_the_others() -> None:
    result = {
        "lerobot": {"version": "lerobot 0.4.4", "a": CASE, "b": {"failed": "RuntimeError: too large"}},
        "machine": {"note": "2 CPU cores, otherwise idle"},
    }
    assert "failed: RuntimeError: too large" in table(result) and "lerobot, a" in table(result)
