"""The layout of the viewer: pictures above, curves below, then who drives, the nodes and the log."""

from __future__ import annotations

import rerun.blueprint as rrb

from worldsample_bringup.viewer import entities
from worldsample_core.observation import VIEWS


def make_blueprint() -> rrb.Blueprint:
    """The layout of every recording of ours; a person may change it in the viewer."""
    return rrb.Blueprint(
        rrb.Vertical(_pictures(), _curves(), _words(), row_shares=[5, 3, 3]),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        rrb.TimePanel(state="collapsed", timeline=entities.TIME, play_state="following"),
        auto_views=False,
        auto_layout=False,
    )


def _pictures() -> rrb.Horizontal:
    cameras = [rrb.Spatial2DView(origin=entities.CAMERAS[view], name=f"{view} camera") for view in VIEWS]
    beside = [
        rrb.Spatial2DView(origin=paths[view], name=f"{what}: {view}")
        for view in VIEWS
        for what, paths in (("real", entities.REAL), ("imagined", entities.IMAGINED))
    ]
    segment = rrb.TextDocumentView(origin=entities.SEGMENT, name="imagined segment")
    uncertainty = rrb.TimeSeriesView(
        origin="imagination",
        contents=[entities.UNCERTAINTY, entities.SUCCESS_PROBABILITY],
        name="each imagined step",
    )
    kept = rrb.Spatial2DView(origin=entities.COMPARISON, name="real above imagined")
    return rrb.Horizontal(
        rrb.Vertical(*cameras, name="cameras"),
        rrb.Grid(*beside, grid_columns=2, name="imagined beside real"),
        rrb.Tabs(rrb.Vertical(segment, uncertainty, name="segment"), kept, name="imagination"),
        rrb.Spatial3DView(origin="scene", name="arm"),
        column_shares=[3, 4, 2, 3],
    )


def _curves() -> rrb.Horizontal:
    return rrb.Horizontal(
        rrb.TimeSeriesView(origin="success", name="success, interventions, evaluation"),
        rrb.TimeSeriesView(origin="pacing", name="pacing: ρ, entropy (0 to 1)"),
        rrb.Tabs(
            rrb.TimeSeriesView(origin="q", name="Q gap"),
            rrb.TimeSeriesView(origin="entropy", name="entropy, nats"),
        ),
        rrb.TimeSeriesView(origin="queues", name="queues"),
        rrb.Tabs(
            rrb.TimeSeriesView(origin="worldmodel", name="world model"),
            rrb.TimeSeriesView(origin="learner", name="learner"),
            rrb.TimeSeriesView(origin="loop", name="loop"),
        ),
    )


def _words() -> rrb.Horizontal:
    return rrb.Horizontal(
        rrb.StateTimelineView(origin="timeline", name="phase, and who drives"),
        rrb.Tabs(
            rrb.TextDocumentView(origin=entities.NODES, name="nodes"),
            rrb.TimeSeriesView(origin=entities.AGES, name="seconds since each node was heard"),
        ),
        rrb.TextLogView(origin=entities.LOG, name="episodes"),
        column_shares=[3, 3, 3],
    )
