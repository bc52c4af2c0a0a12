"""A node that is not heard any more is told once, and that it is heard again."""

from __future__ import annotations

from worldsample_bringup.dashboard.silence_watch import QUIET, SilenceWatch


def test_a_silent_node_is_told_once_and_again_when_it_is_back() -> None:
    silence = SilenceWatch()
    silence.heard("policy", 0.0)
    silence.heard("learner", QUIET)
    assert not list(silence.look(QUIET))
    told = list(silence.look(QUIET + 0.5))
    assert len(told) == 1 and "nothing is heard of policy" in told[0]
    assert not list(silence.look(QUIET + 1.0))
    silence.heard("policy", 31.0)
    assert "policy is heard again, after 31 s" in list(silence.look(31.1))
    silence.heard("policy", 32.0)
    assert not [words for words in silence.look(32.1) if "policy" in words]


def test_a_node_that_was_never_heard_is_not_waited_for() -> None:
    assert not list(SilenceWatch().look(1e6))
