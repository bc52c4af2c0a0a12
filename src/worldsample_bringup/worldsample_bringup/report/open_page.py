"""Opens a report in the person's browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path


def open_page(page: Path) -> str:
    """Open ``page``; returns a line for people where there is no browser, "" otherwise."""
    address = page.resolve().as_uri()
    try:
        opened = webbrowser.open(address)
    except (webbrowser.Error, OSError):
        opened = False
    return "" if opened else f"there is no browser here; open {address}"
