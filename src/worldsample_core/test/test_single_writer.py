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


def test_an_arm_that_was_left_alone_is_free_again() -> None:
    writer = SingleWriter(silence=5.0)
    writer.refuses("first", 0.0)
    writer.seen(1.0)
    assert writer.refuses("second", 6.5) == ""
    assert "second" in writer.refuses("first", 7.0)
