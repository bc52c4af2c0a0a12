"""The order of a run's episodes follows from what is on disk alone."""

import dataclasses
from pathlib import Path

import pytest

from worldsample_core.config import ConfigError
from worldsample_core.settings import RunConfig
from worldsample_core.transition import EpisodeSummary
from worldsample_policy.acting.run_plan import EvaluatedEpisode, EvaluationLog, RunPlan, episode_seed

from .test_rollout import TASK

RUN = RunConfig("r", "/tmp/r", demos=2, eval_every=20, eval_episodes=2, final_eval_episodes=3)
EPISODE = EpisodeSummary("train", 0, 10, 0.0, success=True, truncated=False)


def simulate(run: RunConfig, successes: bool = True, steps: int = 5) -> list[tuple[str, int, bool]]:
    """Play a run: (kind, real steps before it, final) of every episode until the run is done.

    Each training episode has its full length.
    """
    plan = RunPlan(run, dataclasses.replace(TASK, max_real_steps=52))
    episodes: list[EpisodeSummary] = []
    evaluations: list[EvaluatedEpisode] = []
    order = []
    real_steps = 0
    while (episode := plan.next(episodes, evaluations, len(episodes), real_steps)) is not None:
        order.append((episode.kind, real_steps, episode.final))
        assert len(order) < 200
        if episode.kind == "train":
            real_steps += episode.max_steps
        summary = dataclasses.replace(
            EPISODE, kind=episode.kind, success=successes, steps=episode.max_steps, real_steps=real_steps
        )
        if episode.kind == "eval":
            evaluations.append(EvaluatedEpisode(summary, episode.final))
        else:
            episodes.append(summary)
    return order


def test_a_last_evaluation_has_the_scenes_of_any_other() -> None:
    """So ``worldsample eval`` repeats it from a checkpoint, however many evaluations the run had before."""

    def scenes(run: RunConfig, before: int, real_steps: int) -> list[int]:
        plan = RunPlan(run, dataclasses.replace(TASK, max_real_steps=52))
        summary = dataclasses.replace(EPISODE, kind="eval", real_steps=40)
        evaluations = [EvaluatedEpisode(summary, False)] * before
        seeds = []
        while (episode := plan.next([], evaluations, 0, real_steps)) is not None:
            seeds.append(episode.seed)
            done = dataclasses.replace(summary, real_steps=real_steps)
            evaluations = [*evaluations, EvaluatedEpisode(done, episode.final)]
        return seeds

    trained = scenes(dataclasses.replace(RUN, demos=0, stop_when_solved=0), 4, 52)
    again = scenes(dataclasses.replace(RUN, mode="eval"), 0, 0)
    assert trained == again and len(set(trained)) == 3
    assert scenes(dataclasses.replace(RUN, mode="eval", seed=1), 0, 0) != again
    assert not set(trained) & {episode_seed(RUN.seed, "eval", i) for i in range(1000)}


def test_a_training_run_has_demonstrations_training_evaluations_and_a_last_evaluation() -> None:
    order = simulate(RUN)
    assert [kind for kind, _, _ in order[:2]] == ["demo", "demo"]
    assert [(steps, final) for kind, steps, final in order if kind == "eval"] == [
        (20, False),
        (20, False),
        (40, False),
        (40, False),
        (52, True),
        (52, True),
        (52, True),
    ]
    train = [steps for kind, steps, _ in order if kind == "train"]
    assert train == [
        0,
        5,
        10,
        15,
        20,
        25,
        30,
        35,
        40,
        45,
        50,
    ]  # the last episode is cut to the budget: 2 steps
    assert order[-1] == ("eval", 52, True)


def test_other_modes() -> None:
    assert [kind for kind, _, _ in simulate(dataclasses.replace(RUN, mode="demos"))] == ["demo", "demo"]
    assert [(k, f) for k, _, f in simulate(dataclasses.replace(RUN, mode="eval"))] == [("eval", True)] * 3
    assert "eval" not in {
        k for k, _, _ in simulate(dataclasses.replace(RUN, eval_every=0, final_eval_episodes=0))
    }


def test_training_ends_when_solved() -> None:
    order = simulate(dataclasses.replace(RUN, stop_when_solved=1))
    assert [(steps, final) for kind, steps, final in order if kind == "eval"] == [(20, False)] * 2 + [
        (20, True)
    ] * 3
    order = simulate(dataclasses.replace(RUN, stop_when_solved=2))
    assert order[-1] == ("eval", 40, True)


def test_failed_demonstrations_do_not_count_and_are_not_repeated_for_ever() -> None:
    with pytest.raises(ConfigError, match="success button"):
        simulate(RUN, successes=False)


def test_seeds_repeat_and_never_meet() -> None:
    seeds = {kind: {episode_seed(0, kind, i) for i in range(500)} for kind in ("train", "demo", "eval")}
    assert all(len(values) == 500 for values in seeds.values())
    assert not seeds["eval"] & (seeds["train"] | seeds["demo"])
    assert not seeds["eval"] & {
        episode_seed(s, k, i) for s in range(50) for k in ("train", "demo") for i in range(50)
    }
    assert all(0 <= seed < 1 << 63 for values in seeds.values() for seed in values)
    assert episode_seed(1, "train", 3) == episode_seed(1, "train", 3) != episode_seed(2, "train", 3)


def test_evaluations_survive_a_crash(tmp_path: Path) -> None:
    log = EvaluationLog(tmp_path)
    entries = [dataclasses.replace(EPISODE, kind="eval", episode=i, real_steps=i) for i in range(3)]
    for entry in entries:
        log.append(entry, final=entry.episode == 2)
    with log.path.open("ab") as file:
        file.write(b'{"summary": {"kind"')  # torn
    again = EvaluationLog(tmp_path)
    assert [e.summary for e in again.entries] == entries
    assert [e.final for e in again.entries] == [False, False, True]
    again.append(entries[0], False)
    assert len(EvaluationLog(tmp_path).entries) == 4
    log.path.write_text("nonsense\n")
    damaged = EvaluationLog(tmp_path)  # those evaluations are repeated
    assert (damaged.entries, damaged.damaged) == ([], 1)
