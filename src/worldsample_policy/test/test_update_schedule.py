"""The updates owed are a matter of counters only: a restart changes nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from worldsample_policy.learning.update_schedule import UpdateSchedule


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(0, 20), st.integers(0, 50), st.integers(0, 60))
def test_the_schedule_of_updates(utd: int, starts: int, pretrain: int, steps: int) -> None:
    schedule = UpdateSchedule(utd, starts, pretrain)
    updates = 0
    for step in range(steps + 1):  # as lockstep does it
        while schedule.owed(step, updates):
            assert (
                schedule.completed(step, updates) == (max(0, step - 1) if updates >= pretrain else 0)
                or step == 0
            )
            updates += 1
        assert schedule.completed(step, updates) == step
    assert updates == pretrain + utd * max(0, steps - max(1, starts) + 1)
    for done in range(updates + 1):  # as real time does it: all steps first
        completed = schedule.completed(steps, done)
        assert 0 <= completed <= steps
        assert schedule.total(completed) <= max(done, pretrain)
