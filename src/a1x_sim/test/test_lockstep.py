"""Acting is paced by learning, and never waits for ever."""

from a1x_sim.lockstep import LearnerPacing


def test_waits_for_the_learner_up_to_the_lag() -> None:
    pacing = LearnerPacing(lag=2, patience=2.0)
    pacing.learner_reports(0, False, "a", now=0.0)
    for _ in range(2):
        pacing.step_done()
        assert pacing.may_go_on(now=0.1)
    pacing.step_done()
    assert not pacing.may_go_on(now=0.2)
    pacing.learner_reports(1, False, "b", now=0.3)
    assert pacing.may_go_on(now=0.3)


def test_a_stalled_learner_is_left_behind_until_it_moves() -> None:
    pacing = LearnerPacing(lag=0, patience=2.0)
    pacing.learner_reports(0, False, "a", now=0.0)
    pacing.step_done()
    assert not pacing.may_go_on(now=1.0)
    pacing.learner_reports(0, False, "a", now=1.9)  # the same words are not a sign of life
    assert pacing.may_go_on(now=2.1)
    pacing.step_done()
    assert pacing.may_go_on(now=2.2)  # no second waiting time
    pacing.learner_reports(1, False, "b", now=2.3)
    assert not pacing.may_go_on(now=2.4)


def test_no_learner_at_all() -> None:
    pacing = LearnerPacing(lag=0, patience=2.0)
    assert pacing.may_go_on(now=10.0)  # demonstrations and evaluations need none
    pacing.step_done()
    assert not pacing.may_go_on(now=20.0)
    assert not pacing.may_go_on(now=21.0)
    assert pacing.may_go_on(now=22.1)


def test_a_finished_learner_is_not_waited_for() -> None:
    pacing = LearnerPacing(lag=0, patience=2.0)
    pacing.step_done()
    pacing.learner_reports(0, True, "done", now=0.0)
    assert pacing.may_go_on(now=0.0)


def test_a_resumed_run_counts_on() -> None:
    pacing = LearnerPacing(lag=5, patience=2.0)
    pacing.policy_reports(3000)
    pacing.learner_reports(2990, False, "catching up", now=0.0)
    assert not pacing.may_go_on(now=0.0)
    pacing.step_done()
    pacing.policy_reports(3000)  # late by one step
    assert pacing.real_steps == 3001
    pacing.policy_reports(3001)
    assert pacing.real_steps == 3001
    pacing.learner_reports(2996, False, "caught up", now=0.1)
    assert pacing.may_go_on(now=0.1)
