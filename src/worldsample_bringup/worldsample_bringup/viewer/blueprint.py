"""The layout of the viewer: pictures above, curves below, then who drives, the nodes and the log."""

from __future__ import annotations

import rerun.blueprint as rrb

from worldsample_bringup.viewer import entities
from worldsample_core.observation import VIEWS


def live_blueprint() -> rrb.Blueprint:
    """The layout of a run that is under way; a person may change it in the viewer."""
    return _blueprint(
        _beside(), rrb.TimePanel(state="collapsed", timeline=entities.TIME, play_state="following")
    )


def replay_blueprint() -> rrb.Blueprint:
    """The layout of a finished run: of what was imagined it has the pictures that the run keeps."""
    kept = rrb.Spatial2DView(origin=entities.COMPARISON, name="real above imagined")
    return _blueprint(kept, rrb.TimePanel(state="collapsed", timeline=entities.TIME))


def _blueprint(imagination: rrb.Container | rrb.View, time: rrb.TimePanel) -> rrb.Blueprint:
    cameras = [rrb.Spatial2DView(origin=entities.CAMERAS[view], name=f"{view} camera") for view in VIEWS]
    pictures = rrb.Horizontal(
        rrb.Vertical(*cameras, name="cameras"),
        imagination,
        rrb.Spatial3DView(origin="scene", name="arm"),
        column_shares=[3, 6, 3],
    )
    return rrb.Blueprint(
        rrb.Vertical(pictures, _curves(), _words(), row_shares=[5, 3, 3]),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        time,
        auto_views=False,
        auto_layout=False,
    )


def _beside() -> rrb.Horizontal:
    """Imagined frames beside the real ones, and what is said of them."""
    frames = [
        rrb.Spatial2DView(origin=paths[view], name=f"{what}: {view}")
        for view in VIEWS
        for what, paths in (("real", entities.REAL), ("imagined", entities.IMAGINED))
    ]
    uncertainty = rrb.TimeSeriesView(
        origin="imagination",
        contents=[entities.UNCERTAINTY, entities.SUCCESS_PROBABILITY],
        name="each imagined step",
    )
    return rrb.Horizontal(
        rrb.Grid(*frames, grid_columns=2, name="imagined beside real"),
        rrb.Vertical(rrb.TextDocumentView(origin=entities.SEGMENT, name="imagined segment"), uncertainty),
        column_shares=[4, 2],
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
