"""Draws the success of every method on every task as bars with Wilson's 95 % intervals (PNG).

    source <(./worldsample env)
    python benchmarks/success_figure.py        # benchmarks/results/table1.json -> docs/images/success.png

The picture stays readable on a telephone, where it is 390 pixels wide.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from worldsample_bringup.report.curve_image import COLOURS

ROOT = Path(__file__).resolve().parent.parent
NAMES = {"worldsample": "WorldSample", "wmpo": "WMPO", "vlaw": "VLAW", "hil_serl": "HiL-SERL"}
TITLES = {"pick_place": "pick and place"}
WIDTH, LEFT, RIGHT, ROW, TITLE, GAP, FOOT = 780, 176, 40, 32, 40, 14, 96  # pixels
INK, SOFT, LINE = "#1c2330", "#5b6472", "#d9dde3"


def across(share: float) -> float:
    """Horizontal position of a share in [0, 1], pixels."""
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def draw_task(draw: ImageDraw.ImageDraw, top: int, task: str, cells: dict[str, Any]) -> int:
    """Draw the bars of one task; returns where the next one begins."""
    font = ImageFont.load_default(25)
    draw.text((LEFT, top + TITLE // 2), TITLES.get(task, task), INK, ImageFont.load_default(28), anchor="lm")
    top += TITLE
    for method, name in NAMES.items():
        cell, middle = cells[method], top + ROW // 2
        draw.text((LEFT - 12, middle), name, INK, font, anchor="rm")
        bar = (across(0.0), middle - 11, max(across(cell["success"]), across(0.0) + 2), middle + 11)
        draw.rectangle(bar, fill=COLOURS[method])
        low, high = (across(share) for share in cell["ci"])
        draw.line([(low, middle), (high, middle)], fill=INK, width=3)
        for end in (low, high):
            draw.line([(end, middle - 7), (end, middle + 7)], fill=INK, width=3)
        top += ROW
    return top + GAP


def figure(table: dict[str, Any]) -> Image.Image:
    """The whole picture, from the contents of ``table1.json``."""
    tasks = table["cells"]
    height = len(tasks) * (TITLE + len(NAMES) * ROW + GAP) + FOOT
    picture = Image.new("RGB", (WIDTH, height), "white")
    draw = ImageDraw.Draw(picture)
    bottom = height - FOOT
    font = ImageFont.load_default(22)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        draw.line([(across(share), 8), (across(share), bottom)], fill=LINE, width=2)
        draw.text((across(share), bottom + 16), f"{share:.0%}", SOFT, font, anchor="mm")
    top = 0
    for task, cells in tasks.items():
        top = draw_task(draw, top, task, cells)
    any_cell = next(iter(tasks.values()))["worldsample"]
    words = f"success over {any_cell['episodes']} episodes after {any_cell['real_steps']:,.0f} real steps;"
    draw.text((WIDTH - 12, bottom + 46), words, SOFT, font, anchor="rm")
    seeds = len(table["seeds"])
    words = f"{seeds} training seed{'s' if seeds > 1 else ''}; black: 95 % interval of those episodes"
    draw.text((WIDTH - 12, bottom + 74), words, SOFT, font, anchor="rm")
    return picture


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    results = ROOT / "benchmarks" / "results" / "table1.json"
    parser.add_argument("--table", type=Path, default=results)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "success.png")
    options = parser.parse_args()
    figure(json.loads(options.table.read_text())).save(options.out, optimize=True)
    print(options.out)


if __name__ == "__main__":
    main()
