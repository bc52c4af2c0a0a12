"""Elapsed time does not follow the wall clock (field report 7: the clock is set back at boot)."""

from pathlib import Path

from worldsample_core.content_liveness import ContentLiveness

SOURCE = Path(__file__).resolve().parents[2]


def test_field_report_07_no_timer_runs_on_the_wall_clock() -> None:
    """A timer of the node's own clock stands still for as long as the wall clock was set back."""
    allowed = {"steady_time.py"}
    offenders = [
        path
        for path in SOURCE.glob("*/*/**/*.py")
        if "test" not in path.parts and path.name not in allowed and ".create_timer(" in path.read_text()
    ]
    assert not offenders, "use worldsample_core.node.steady_time.steady_timer"


def test_field_report_07_stamps_go_on_evenly_and_follow_a_clock_that_was_set() -> None:
    import pytest

    pytest.importorskip("rclpy")
    from worldsample_core.node.steady_time import EvenStamps

    wall, steady = [1_000_000_000_000], [5_000_000_000]
    stamps = EvenStamps(lambda: wall[0], lambda: steady[0])
    for jump in (-30.0, 30.0):
        before = stamps()
        wall[0] += round((jump + 1.0) * 1e9)
        steady[0] += 1_000_000_000
        assert stamps() - before == 1_000_000_000, "a second later, whatever the wall clock says"
        assert abs(stamps.followed() - jump) < 1e-6 and stamps() == wall[0]
        assert stamps.followed() == 0.0


def test_field_report_03_a_source_is_judged_by_its_content() -> None:
    import numpy as np

    source = ContentLiveness(patience=0.5, travel=0.1)
    for now in np.arange(0.0, 10.0, 0.01):
        source.take(b"same", now)
        source.moved(np.array([0.02 * now]), now)
        assert (source.frozen(now) > 0.0) == (now > 5.51), now
    assert source.take(b"else", 10.0) and source.frozen(10.0) == 0.0
