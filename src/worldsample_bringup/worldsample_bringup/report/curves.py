"""Line charts as inline SVG: no script, no plotting library, readable in light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 26, 12, 38  # pixels around the plot
NARROW = 340
"""Width of a drawing for a phone, pixels: its letters stay as large as they are."""
_MOST_POINTS = 600  # per line: more than that is below a pixel


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        name: in the legend.
        points: (x, y) in order of x; a y that is not finite breaks the line.
        colour: a CSS colour.
        marks: dots at the points instead of a line through them.
        dashed: a thin dashed line.
    """

    name: str
    points: Points
    colour: str
    marks: bool = False
    dashed: bool = False


def chart(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_range: tuple[float, float] | None = None,
    percent: bool = False,
    x_high: float = 1.0,
    width: int = 720,
    height: int = 260,
) -> str:
    """A chart as a ``<figure>`` with title, legend and curves; "" where there is nothing to show.

    A wide chart is drawn twice: where the page is narrow, as on a phone, its style shows the narrow drawing.

    Args:
        y_range: of the axis; from the data where None.
        percent: the values are fractions, shown as per cent.
        x_high: the x axis reaches at least so far.
    """
    series = [s for s in series if any(math.isfinite(y) for _, y in s.points)]
    if not series:
        return ""
    drawings = [_drawing(title, series, x_label, y_range, percent, x_high, width, height)]
    if width > NARROW:
        drawings.append(_drawing(title, series, x_label, y_range, percent, x_high, NARROW, 220))
    classes = ("wide", "narrow") if len(drawings) > 1 else ("",)
    shown = "".join(f'<svg class="{name}" {drawing}' for name, drawing in zip(classes, drawings, strict=True))
    legend = "".join(f'<span><i style="background:{_swatch(s)}"></i>{escape(s.name)}</span>' for s in series)
    legend = legend if len(series) > 1 or series[0].name != title else ""
    return f'<figure class="chart"><figcaption><b>{escape(title)}</b>{legend}</figcaption>{shown}</figure>'


def _drawing(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_range: tuple[float, float] | None,
    percent: bool,
    x_high: float,
    width: int,
    height: int,
) -> str:
    """The attributes and the content of an ``<svg>`` element of this size, its end included."""
    xs = [x for s in series for x, _ in s.points]
    x_low, x_high = min(0.0, min(xs)), max(max(xs), x_high)
    y_low, y_high = y_range or _padded([y for s in series for _, y in s.points if math.isfinite(y)])

    def px(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (width - _LEFT - _RIGHT)

    def py(y: float) -> float:
        inside = min(max(y, y_low), y_high)
        return height - _BOTTOM - (inside - y_low) / (y_high - y_low) * (height - _TOP - _BOTTOM)

    def y_text(y: float) -> str:
        return f"{100 * y:g}%" if percent else f"{y:,g}"

    parts = []
    for y in ticks(y_low, y_high):
        parts.append(f'<path class="grid" d="M{_LEFT} {py(y):.1f}H{width - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{py(y) + 4:.1f}" text-anchor="end">{y_text(y)}</text>')
    for x in ticks(x_low, x_high, 5 if width > NARROW else 3):
        parts.append(f'<text x="{px(x):.1f}" y="{height - _BOTTOM + 18}" text-anchor="middle">{x:,g}</text>')
    middle = (_LEFT + width - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{height - 4}" text-anchor="middle">{escape(x_label)}</text>')
    for s in series:
        if s.marks:
            for x, y in s.points:
                tip = f"<title>{escape(s.name)}: {y_text(round(y, 4))} at {x:,g}</title>"
                parts.append(
                    f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="4.5" fill="{s.colour}">{tip}</circle>'
                )
        else:
            style = 'stroke-width="1.2" stroke-dasharray="5 4"' if s.dashed else 'stroke-width="2"'
            path = _path([(px(x), py(y) if math.isfinite(y) else math.nan) for x, y in thin(s.points)])
            parts.append(
                f'<path d="{path}" fill="none" stroke="{s.colour}" {style} stroke-linejoin="round"/>'
            )
    return f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def _swatch(series: Series) -> str:
    """CSS background of a curve's mark in the legend."""
    if series.dashed:
        return f"repeating-linear-gradient(90deg,{series.colour} 0 4px,transparent 4px 7px)"
    return series.colour


def thin(points: Points) -> list[tuple[float, float]]:
    """A curve thinned to about :data:`_MOST_POINTS` points: means over equal numbers of neighbours."""
    size = math.ceil(len(points) / _MOST_POINTS)
    if size <= 1:
        return list(points)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(g[-1][0], sum(y for _, y in g) / len(g)) for g in groups]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 5 times a power of ten apart) between ``low`` and ``high``."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high == 0.0:
        return 0.0, 1.0
    pad = 0.05 * (high - low) or max(0.05 * abs(high), 1e-3)
    return (0.0 if 0.0 <= low < 0.3 * high else low - pad), high + pad


def _path(points: Points) -> str:
    text, pen = [], "M"
    for x, y in points:
        if not math.isfinite(y):
            pen = "M"
            continue
        text.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return "".join(text)
