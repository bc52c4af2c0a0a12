"""Two runs must never drive one arm."""

from __future__ import annotations

from worldsample_core.node.single_writer import SingleWriter


def test_a_second_run_is_refused_while_the_first_one_acts() -> None:
    writer = SingleWriter(silence=5.0)
    assert writer.refuses("first", 0.0) == ""
    writer.seen(4.0)
    assert "first" in writer.refuses("second", 8.0)
    assert writer.refuses("first", 8.5) == "", "the run itself resets as often as it likes"


def test_attack_04_a_run_that_waits_between_its_episodes_keeps_the_arm() -> None:
    writer = SingleWriter(silence=5.0)
    assert writer.refuses("first", 0.0, frozenset({b"first's commands"})) == ""
    assert "first" in writer.refuses("second", 60.0, frozenset({b"first's commands", b"second's commands"}))
    assert writer.refuses("second", 60.0, frozenset({b"second's commands"})) == "", "the first one has ended"


def test_attack_04_a_reset_under_the_run_s_own_name_is_another_program_s() -> None:
    """A name can be copied; the process that resets and commands cannot be."""
    writer, policy, intruder = SingleWriter(silence=5.0), b"policy".ljust(12), b"intruder".ljust(12)
    commands = frozenset({policy + b"cmds"})
    assert writer.refuses("mine", 0.0, frozenset(), intruder) == "", "nobody drives yet"
    assert writer.refuses("mine", 1.0, commands, policy) == "", "who commands comes before who does not"
    assert "another program" in writer.refuses("mine", 2.0, commands, intruder)
    assert "another program" in writer.refuses("mine", 60.0, commands | {intruder + b"cmds"}, intruder)
    assert "another program" in writer.refuses("mine", 61.0, commands, b""), "who cannot be told is no one"
    assert writer.refuses("mine", 62.0, commands, policy) == ""
    assert writer.refuses("mine", 70.0, frozenset(), intruder) == "", "the policy was started again"


def test_an_arm_that_was_left_alone_is_free_again() -> None:
    writer = SingleWriter(silence=5.0)
    writer.refuses("first", 0.0)
    writer.seen(1.0)
    assert writer.refuses("second", 6.5) == ""
    assert "second" in writer.refuses("first", 7.0)
