"""The world-model half of a report: its quality, the pacing, and imagined beside real. Empty without one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from worldsample_bringup.dashboard.imagined import VIEWS, ByView, Figures, pictures
from worldsample_bringup.report.curves import Series, chart
from worldsample_bringup.report.filmstrip import file_url
from worldsample_bringup.report.palette import BLUE, GREEN, GREY, INK, ORANGE, RED
from worldsample_bringup.run.history import History, Record
from worldsample_bringup.run.run_folder import RunFolder

SHOWN = 3
"""Pictures in the report: the first one and the newest."""

FIGURES = ("psnr", "ssim", "uncertainty")
"""Beginning of the names of figures that are 0 until they are measured."""
QUALITY = (("world model", "psnr", BLUE), ("moving pixels", "psnr_moving", ORANGE))
COPIED = (
    ("last frame copied", "psnr_copy_last", BLUE),
    ("moving pixels, copied", "psnr_moving_copy_last", ORANGE),
)
"""Figures that repeating the last real frame would give: drawn dashed."""
Q = (
    ("real", "q_real", INK),
    ("imagined successes", "q_success", GREEN),
    ("imagined failures", "q_failure", ORANGE),
)
QUEUES = (("successes", "queue_success", GREEN), ("failures", "queue_failure", ORANGE))
REJECTED = (
    ("uncertainty", "rejected_uncertainty", ORANGE),
    ("bounds", "rejected_bounds", BLUE),
    ("label", "rejected_label", GREEN),
    ("stale", "rejected_stale", GREY),
    ("malformed", "rejected_malformed", RED),
)


def world_sections(folder: RunFolder, history: History) -> list[str]:
    """The sections, in order; what a run does not have is left out."""
    return [
        *_world_model(folder, history.statuses.get("worldmodel", [])),
        *_pacing([r for r in history.statuses.get("pacing", []) if r.get("enabled")]),
    ]


def _world_model(folder: RunFolder, records: Sequence[Record]) -> list[str]:
    shots = pictures(folder.imagined)
    if not records and not shots:
        return []
    newest = [figures for _, figures in shots[-SHOWN:] if figures.steps == shots[-1][1].steps]
    charts = [
        _small("PSNR, held out, dB", [*_lines(records, *QUALITY), *_lines(records, *COPIED, dashed=True)]),
        _one("SSIM, held out", records, "ssim", BLUE),
        _by_step("PSNR of the segments above, dB", [(f.quality.psnr, f.quality.psnr_copied) for f in newest]),
        _by_step("SSIM of the segments above", [(f.quality.ssim, f.quality.ssim_copied) for f in newest]),
        _one("Imagined transitions", records, "transitions", INK),
        _one("Uncertainty", records, "uncertainty", ORANGE),
    ]
    chosen = shots if len(shots) <= SHOWN else [shots[0], *shots[1 - SHOWN :]]
    figures = [
        f'<figure class="strip shot"><figcaption>{escape(_caption(each))}</figcaption>'
        f'<img alt="{escape(_caption(each))}" src="{file_url(path)}"></figure>'
        for path, each in reversed(chosen)
    ]
    explained = (
        '<p class="soft">Each real segment above what the world model imagined from its first frame and '
        "the same actions.</p>"
    )
    body = [explained, *figures] if figures else []
    return ["<h2>World model</h2>", *body, f'<div class="pair">{"".join(charts)}</div>']


def _caption(figures: Figures) -> str:
    means = "; ".join(f"{view} {figures.psnr(view):.1f} dB, SSIM {figures.ssim(view):.3f}" for view in VIEWS)
    end = figures.start_step + figures.steps
    return (
        f"After {figures.real_steps:,} real steps, version {figures.version}: episode {figures.episode}, "
        f"steps {figures.start_step} to {end}; {means}"
    )


def _by_step(title: str, shots: Sequence[tuple[ByView, ByView]]) -> str:
    """A figure over the horizon, by view: means over pictures, and of the copied frame beside them."""

    def means(rows: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
        return [(float(step), sum(v) / len(v)) for step, v in enumerate(zip(*rows, strict=True), start=1)]

    series = []
    for view, colour in zip(VIEWS, (BLUE, ORANGE), strict=True):
        series.append(Series(view, means([imagined[view] for imagined, _ in shots]), colour))
        copied = means([copied[view] for _, copied in shots])
        series.append(Series(f"{view}, copied", copied, colour, dashed=True))
    return chart(title, series, "steps ahead", width=340, height=180)


def _pacing(records: Sequence[Record]) -> list[str]:
    if not records:
        return []
    rejected = [line for line in REJECTED if any(record.get(line[1]) for record in records)]
    charts = [
        _one("Weight of imagined data, rho", records, "rho", BLUE),
        _one("Entropy: 1 at the start, 0 at its target", records, "entropy_normalised", GREEN, (0.0, 1.0)),
        _small("Mean Q", _lines(records, *Q)),
        _one("Q gap, imagined to real", records, "q_gap", BLUE),
        _small("Imagined transitions waiting", _lines(records, *QUEUES)),
        _one("Share of imagined successes in a batch", records, "p_success", GREEN, (0.0, 1.0)),
        _one("Segments accepted", records, "accepted", GREEN),
        _small("Segments rejected, by reason", _lines(records, *rejected)),
    ]
    detail = str(records[-1].get("detail") or "")
    note = [f'<p class="soft">In the end: {escape(detail)}.</p>'] if detail else []
    return ["<h2>Policy-Paced Learning</h2>", *note, f'<div class="pair">{"".join(charts)}</div>']


def _one(
    title: str, records: Sequence[Record], key: str, colour: str, y_range: tuple[float, float] | None = None
) -> str:
    """A chart of one curve, which needs no legend."""
    return _small(title, _lines(records, (title, key, colour)), y_range)


def _small(title: str, series: Sequence[Series], y_range: tuple[float, float] | None = None) -> str:
    return chart(title, series, "real steps", y_range, width=340, height=180)


def _lines(records: Sequence[Record], *lines: tuple[str, str, str], dashed: bool = False) -> list[Series]:
    """Series of (name, key, colour)."""
    return [Series(name, _points(records, key), colour, dashed=dashed) for name, key, colour in lines]


def _points(records: Sequence[Record], key: str) -> list[tuple[float, float]]:
    """(real steps, value); a value that is not there, or not measured yet, breaks the line."""
    points = []
    for record in records:
        value = record.get(key)
        known = value is not None and (value or not key.startswith(FIGURES))  # 0 until measured
        points.append((float(record.get("real_steps") or 0), float(value or 0.0) if known else math.nan))
    return points
