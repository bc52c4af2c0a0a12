"""The figures of ``bench learner``, with everything tiny."""

import pytest
import torch

from worldsample_policy.learner_speed import measure_parts, measure_updates, ready_learner
from worldsample_policy.tiny_learner import make_task, tiny_config


@pytest.mark.parametrize("pacing", [False, True])
def test_updates_are_measured_by_kind_and_mixed(pacing: bool) -> None:
    threads = torch.get_num_threads()
    result = measure_updates(tiny_config(pacing=pacing, synthetic_batch=8), make_task(), 1, seconds=0.1)
    assert torch.get_num_threads() == threads
    assert result["threads"] == 1 and result["imagined_batch"] == (8 if pacing else 0)
    assert result["updates_timed"] % 2 == 0 and result["updates_timed"] >= 6
    assert result["updates_per_second"] > 1
    for kind in ("critic_only", "full", "mixed"):
        assert result[kind]["cpu_ms"] > 0 and result[kind]["wall_ms"] > 0


@pytest.mark.parametrize("heads", [{}, {"actor_trains_head": True}, {"policy_head": True}])
def test_every_part_is_measured(heads: dict[str, bool]) -> None:
    parts = measure_parts(tiny_config(**heads), make_task(), seconds=0.1)
    assert {"sample", "encode", "features", "critic", "actor", "target", "act"} <= set(parts)


def test_the_last_update_of_a_cycle_is_the_full_one() -> None:
    learner = ready_learner(tiny_config(critic_actor_ratio=3), make_task())
    kinds = ["actor_loss" in learner.update() for _ in range(6)]
    assert kinds == [False, False, True] * 2
