"""The layout of the viewer: pictures above, curves below, then who drives, the nodes and the log."""

from __future__ import annotations

import rerun.blueprint as rrb
from rerun.blueprint.encodings import TextLogColumn, TimelineColumn

from worldsample_bringup.viewer import entities
from worldsample_core.observation import VIEWS

EYE, CENTRE = (0.95, 0.75, 0.65), (0.3, 0.0, 0.12)
"""The eye and what it looks at; m, base_link."""


def live_blueprint() -> rrb.Blueprint:
    """The layout of a run that is under way; a person may change it in the viewer."""
    panel = rrb.TimePanel(state="collapsed", timeline=entities.TIME, play_state="following")
    return _blueprint(_beside(), rrb.Horizontal(_timeline(), _nodes(), _episodes()), panel)


def replay_blueprint() -> rrb.Blueprint:
    """The layout of a finished run: of what was imagined it has the pictures that the run keeps."""
    kept = rrb.Spatial2DView(origin=entities.COMPARISON, name="real above imagined")
    panel = rrb.TimePanel(state="collapsed", timeline=entities.TIME)
    return _blueprint(kept, rrb.Horizontal(_timeline(), _episodes()), panel)


def _blueprint(
    imagination: rrb.Container | rrb.View, words: rrb.Container, time: rrb.TimePanel
) -> rrb.Blueprint:
    cameras = [rrb.Spatial2DView(origin=entities.CAMERAS[view], name=f"{view} camera") for view in VIEWS]
    pictures = rrb.Horizontal(
        rrb.Vertical(*cameras, name="cameras"),
        imagination,
        _arm(),
        column_shares=[3, 6, 3],
    )
    return rrb.Blueprint(
        rrb.Vertical(pictures, _curves(), words, row_shares=[5, 3, 3]),
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


def _arm() -> rrb.Spatial3DView:
    """The arm in space, seen from the front and above, with what its cameras see."""
    eye = rrb.EyeControls3D(position=EYE, look_target=CENTRE, eye_up=(0.0, 0.0, 1.0))
    cameras = [f"+ /{path}" for path in entities.CAMERAS.values()]
    contents = ["+ $origin/**", f"- /{entities.UNDRAWN}/**", *cameras]
    return rrb.Spatial3DView(origin="scene", contents=contents, name="arm", eye_controls=eye)


def _curves() -> rrb.Horizontal:
    return rrb.Horizontal(
        rrb.TimeSeriesView(origin="success", name="success"),
        rrb.TimeSeriesView(origin="pacing", name="ρ, entropy"),
        rrb.Tabs(
            rrb.TimeSeriesView(origin="q", name="Q gap"),
            rrb.TimeSeriesView(origin="entropy", name="nats"),
        ),
        rrb.TimeSeriesView(origin="queues", name="queues"),
        rrb.Tabs(
            rrb.TimeSeriesView(origin="worldmodel", name="world model"),
            rrb.TimeSeriesView(origin="learner", name="learner"),
            rrb.TimeSeriesView(origin="loop", name="loop"),
        ),
    )


def _timeline() -> rrb.StateTimelineView:
    return rrb.StateTimelineView(origin="timeline", name="phase, and who drives")


def _nodes() -> rrb.Tabs:
    return rrb.Tabs(
        rrb.TextDocumentView(origin=entities.NODES, name="nodes"),
        rrb.TimeSeriesView(origin=entities.AGES, name="seconds since each node was heard"),
    )


def _episodes() -> rrb.TextLogView:
    """The log, without the columns that are the same in every line."""
    columns = rrb.TextLogColumns(
        timeline_columns=[TimelineColumn(entities.TIME), TimelineColumn(entities.REAL_STEP)],
        text_log_columns=[TextLogColumn("Body")],
    )
    return rrb.TextLogView(origin=entities.LOG, name="episodes", columns=columns)
