"""Colours of a report's curves: readable on light and on dark."""

BLUE, ORANGE, INK, GREEN = "#2f6fd6", "#e07b39", "var(--mark)", "#3c9a6b"
GREY, RED = "#8a93a3", "#c2453f"
