"""Opens a recording of Rerun and moves it through time."""

from __future__ import annotations

from pathlib import Path

import rerun as rr
import rerun.blueprint as rrb

from worldsample_bringup.viewer.entities import REAL_STEP, TIME
from worldsample_core.config import ConfigError

APPLICATION = "worldsample"
SUFFIX = ".rrd"
BATCH = 0.25
"""Seconds of data that are sent together. Rerun's default, 0.008, makes a parcel of each curve's point."""


def open_recording(blueprint: rrb.Blueprint, url: str = "", save: Path | None = None) -> rr.RecordingStream:
    """A stream with a layout. Logging to it never waits for who reads it.

    Args:
        blueprint: the layout.
        url: of a server of Rerun; "": none.
        save: file to write; None: none.
    """
    stream = rr.RecordingStream(APPLICATION, batcher_config=rr.ChunkBatcherConfig(flush_tick=BATCH))
    stream.set_log_time_enabled(False)  # the viewer then begins with our own timeline
    stream.set_log_tick_enabled(False)
    sinks: list[rr.GrpcSink | rr.FileSink] = [rr.GrpcSink(url)] if url else []
    if save is not None:
        sinks.append(rr.FileSink(str(save)))
    stream.set_sinks(*sinks, default_blueprint=blueprint)
    stream.send_blueprint(blueprint)
    return stream


def writable(save: Path) -> Path:
    """The file of a recording, if it can be written.

    Raises:
        ConfigError: it ends otherwise, is there already, or cannot be made.
    """
    if save.suffix != SUFFIX:
        raise ConfigError(f"--save is a file that ends in {SUFFIX}; got {save.name!r}")
    try:
        save.parent.mkdir(parents=True, exist_ok=True)
        if save.exists():
            raise ConfigError(f"{save} exists already and is not overwritten: name another file")
        save.touch()
        save.unlink()
    except OSError as error:
        raise ConfigError(f"{save} cannot be written: {error.strerror}") from error
    return save


def set_moment(stream: rr.RecordingStream, seconds: float, real_steps: int | None) -> None:
    """Move the recording to a time: all that is logged from now on happens then.

    Args:
        stream: of the recording.
        seconds: since 1970.
        real_steps: of the run; None where they are not known.
    """
    stream.set_time(TIME, timestamp=seconds)
    if real_steps is None:
        stream.disable_timeline(REAL_STEP)
    else:
        stream.set_time(REAL_STEP, sequence=real_steps)
