"""VLAW's filter: what failed is never imitated, and what is imagined never becomes a demonstration."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsample_policy.algorithms.behaviour_cloning import cloning_loss
from worldsample_policy.learning.learner import Learner
from worldsample_policy.replay.replay import Batch
from worldsample_policy.sac.sac import SAC
from worldsample_policy.tiny_learner import make_episode, make_task, tiny_config

from .test_policy_paced_learning import segment

DEMO, SUCCESS, FAILURE = 6, 5, 4


def make_learner(**changes: object) -> Learner:
    """A demonstration, a successful real episode (with an intervention) and a failed one."""
    learner = Learner(tiny_config(**{"algorithm": "vlaw", **changes}), make_task())
    rng = np.random.default_rng(3)
    for transition in make_episode(rng, DEMO, source="demo"):
        learner.add(transition)
    learner.adapt_encoder()
    for transition in make_episode(rng, SUCCESS, episode=1, first_seq=DEMO, interventions=(1,)):
        learner.add(transition)
    failed = make_episode(rng, FAILURE + 1, episode=2, first_seq=DEMO + SUCCESS, interventions=(0,))
    for transition in failed[:FAILURE]:  # it never gets to its success
        learner.add(transition)
    return learner


def imitated(learner: Learner, monkeypatch: pytest.MonkeyPatch, updates: int = 30) -> list[Batch]:
    """Every batch that the supervised loss sees."""
    seen: list[Batch] = []

    def spy(sac: SAC, batches: list[Batch], generator: torch.Generator) -> object:
        seen.extend(batches)
        return cloning_loss(sac, batches, generator)

    monkeypatch.setattr("worldsample_policy.algorithms.vlaw.cloning_loss", spy)
    for _ in range(updates):
        assert learner.update()
    return seen


def rows(batches: list[Batch]) -> set[bytes]:
    return {action.numpy().tobytes() for batch in batches for action in batch.action}


def test_only_what_succeeded_is_imitated(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make_learner()
    good = segment(learner, True, 4, on_policy=True)
    bad = segment(learner, False, 6, on_policy=True)
    assert learner.add_synthetic(good) and not learner.add_synthetic(bad)
    seen = rows(imitated(learner, monkeypatch))
    replay = learner.replay
    demos = {a.tobytes() for a in replay.demonstrations.action[: len(replay.demonstrations)]}
    online = [a.tobytes() for a in replay.online.action[: len(replay.online)]]
    assert len(demos) == DEMO and len(replay.successes) == SUCCESS
    assert seen == demos | set(online[:SUCCESS]) | {a.tobytes() for a in good.actions}
    assert not seen & ({a.tobytes() for a in bad.actions} | set(online[SUCCESS:]))


def test_imagined_data_enter_no_real_buffer() -> None:
    learner = make_learner()
    before = len(learner.replay.demonstrations), len(learner.replay.online), len(learner.replay.successes)
    for number in range(5):
        learner.add_synthetic(segment(learner, number % 2 == 0, on_policy=True))
    replay = learner.replay
    assert (len(replay.demonstrations), len(replay.online), len(replay.successes)) == before
    assert len(learner.synthetic.success) == 3 * 4 and not len(learner.synthetic.failure)
    assert learner.detail == "3 of 5 imagined rollouts succeeded and are kept"


def test_the_parts_of_a_batch_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make_learner(batch_size=18)
    assert [len(batch.action) for batch in imitated(learner, monkeypatch, 1)] == [18]
    learner.add_synthetic(segment(learner, True, on_policy=True))
    assert [len(batch.action) for batch in imitated(learner, monkeypatch, 1)] == [12, 6]


@pytest.mark.parametrize("changes", [{"on_policy": False}, {"uncertainty": np.full(4, 0.5, np.float32)}])
def test_a_success_that_the_guards_refuse_is_not_kept(changes: dict[str, object]) -> None:
    learner = make_learner()
    assert not learner.add_synthetic(segment(learner, True, **{"on_policy": True, **changes}))
    assert not len(learner.synthetic)


def test_interventions_of_failed_episodes_supervise_only_where_asked() -> None:
    assert len(make_learner().replay.demonstrations) == DEMO
    assert len(make_learner(imitate_interventions=True).replay.demonstrations) == DEMO + 2


def test_imitation_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make_learner(lr=3e-3)
    first = learner.pretrain(1)["bc_loss"]
    assert learner.pretrain(100)["bc_loss"] < first - 0.5
    assert learner.skipped_updates == 0
