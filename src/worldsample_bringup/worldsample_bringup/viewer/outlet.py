"""The outlet of a recording: a page on this machine, or a file."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import rerun as rr
import rerun.blueprint as rrb

from worldsample_bringup.viewer.recording import open_recording
from worldsample_bringup.viewer.web_viewer import WebViewer


@dataclass(frozen=True)
class OutletChoice:
    """A person's wish.

    Attributes:
        port: of the page.
        save: the file to write in place of a page; None: a page.
        open_browser: show the page at once.
    """

    port: int
    save: Path | None = None
    open_browser: bool = False


class Outlet:
    """A recording that can be logged to, and the viewer that shows it, if one does.

    Attributes:
        stream: of the recording.
        viewer: None where a file is written.
    """

    def __init__(self, stream: rr.RecordingStream, viewer: WebViewer | None, open_browser: bool) -> None:
        self.stream = stream
        self.viewer = viewer
        self._open_browser = open_browser

    def announce(self, what: str, hint: str) -> None:
        """Tell a person where the page is, and open it if that was wished."""
        if self.viewer is None:
            return
        address = self.viewer.address
        print(f"{what}: {address}  ({hint})", flush=True)
        if self._open_browser and not _opened(address):
            print(f"there is no browser here; open {address}", flush=True)


@contextmanager
def open_outlet(choice: OutletChoice, blueprint: rrb.Blueprint) -> Iterator[Outlet]:
    """The outlet that was chosen; it ends with what was logged to it whole.

    Raises:
        ConfigError: a port is taken, or Rerun's server does not start.
    """
    with ExitStack() as stack:
        viewer = None
        if choice.save is None:
            viewer = WebViewer(choice.port)
            stack.callback(viewer.close)
        stream = open_recording(blueprint, viewer.stream_url if viewer else "", choice.save)
        stack.callback(stream.disconnect)
        yield Outlet(stream, viewer, choice.open_browser)
        stream.flush(timeout_sec=10.0)


def _opened(address: str) -> bool:
    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
