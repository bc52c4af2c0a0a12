"""Line charts of several runs as one picture, with Pillow, for results outside a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from worldsample_bringup.report.curves import ticks

Curve = Sequence[Sequence[float]]
"""(x, y) in order of x, y in [0, 1]."""
Panel = tuple[str, Mapping[str, Sequence[Curve]]]
"""Title, and curves (one for each seed) by name."""

COLOURS = {
    "hil_serl": "#8a93a3",
    "worldsample": "#2f6fd6",
    "wmpo": "#e07b39",
    "vlaw": "#3c9a6b",
    "rlpd_plus": "#9a6bc4",
}
OTHER = "#c2453f"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 230, 52, 16, 44, 40  # pixels of a panel, and around its plot


def curves(panels: Sequence[Sequence[Panel]], x_label: str) -> Image.Image:
    """Rows of panels. Without any, a small white picture."""
    columns = max((len(row) for row in panels), default=1)
    picture = Image.new("RGB", (columns * WIDTH, max(1, len(panels)) * HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    for i, row in enumerate(panels):
        for j, panel in enumerate(row):
            _panel(draw, j * WIDTH, i * HEIGHT, panel, x_label)
    return picture


def _panel(draw: ImageDraw.ImageDraw, x0: int, y0: int, panel: Panel, x_label: str) -> None:
    title, by_name = panel
    font = ImageFont.load_default()
    most = max((p[0] for runs in by_name.values() for run in runs for p in run), default=0.0) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        across = x0 + LEFT + x / most * (WIDTH - LEFT - RIGHT)
        return across, y0 + HEIGHT - BOTTOM - min(max(y, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM)

    for y in (0.0, 0.25, 0.5, 0.75, 1.0):
        draw.line([at(0.0, y), at(most, y)], fill="#e4e7ec")
        draw.text((x0 + LEFT - 8, at(0.0, y)[1]), f"{100 * y:.0f} %", "#5b6472", font, anchor="rm")
    for x in ticks(0.0, most):
        draw.text((at(x, 0.0)[0], y0 + HEIGHT - BOTTOM + 6), f"{x:,.0f}", "#5b6472", font, anchor="mt")
    draw.text((x0 + LEFT, y0 + 10), title, "black", font)
    draw.text((x0 + WIDTH - RIGHT, y0 + HEIGHT - 6), x_label, "#5b6472", font, anchor="rb")
    across = x0 + LEFT
    for name, runs in by_name.items():
        colour = COLOURS.get(name, OTHER)
        draw.line([(across, y0 + 32), (across + 16, y0 + 32)], fill=colour, width=3)
        draw.text((across + 20, y0 + 32), name, "black", font, anchor="lm")
        across += 34 + int(draw.textlength(name, font))
        for run in runs:
            points = [at(x, y) for x, y in run]
            if len(points) > 1:
                draw.line(points, fill=colour, width=2)
            for px, py in points if len(points) < 40 else []:
                draw.ellipse([px - 2, py - 2, px + 2, py + 2], fill=colour)
