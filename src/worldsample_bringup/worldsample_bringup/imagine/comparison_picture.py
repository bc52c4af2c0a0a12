"""Draws rows of segments as a film strip (PNG) or a moving picture (MP4, WebP, GIF), side and wrist view."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worldsample_bringup.imagine.imagined_segments import Row
from worldsample_core.config import ConfigError
from worldsample_core.observation import VIEWS

SUFFIXES = (".mp4", ".webp", ".gif", ".png")
VIEW, STRIP_VIEW, STRIP_FRAMES = 192, 96, 9  # pixels; pixels; frames in a row of a strip
GAP, LABEL, LINE = 6, 128, 24  # pixels
HOLD_SECONDS = 1.2  # for which the last frame stays
WEBP_QUALITY = 80  # 0 .. 100
INK, SOFT, PAPER, GREEN, RED = "#1c2330", "#667085", "#ffffff", "#15803d", "#b42318"


def write_comparison(rows: Sequence[Row], title: str, period: float, out: Path) -> None:
    """Write the picture; its form is that of the file's ending.

    Args:
        rows: from top to bottom, all of the same length.
        title: one line above.
        period: time of one step, s.
        out: the file, .mp4, .webp, .gif or .png; replaced as a whole.

    Raises:
        ConfigError: another ending. OSError: the file cannot be written.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out is a file that ends in {', '.join(SUFFIXES)}; got {out.name!r}")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        if out.suffix.lower() == ".png":
            strip(rows, title).save(part, optimize=True)
        else:
            frames = [moment(rows, title, step, period) for step in range(len(rows[0].images))]
            held = [*frames, *[frames[-1]] * round(HOLD_SECONDS / period)]
            _WRITERS[out.suffix.lower()](held, period, part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def moment(rows: Sequence[Row], title: str, step: int, period: float) -> Image.Image:
    """One frame of the moving picture: a row for each segment, side and wrist beside each other."""
    steps = len(rows[0].images) - 1
    width, height = LABEL + 2 * (VIEW + GAP), LINE + len(rows) * (VIEW + GAP) + LINE
    canvas = Image.new("RGB", (width + width % 2, height + height % 2), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, LINE // 2), title, INK, _font(13), anchor="lm")
    for number, row in enumerate(rows):
        top = LINE + number * (VIEW + GAP)
        psnr = None if row.psnr is None or step == 0 else float(row.psnr[step - 1].mean())
        _label(draw, row, psnr, step == steps, top + VIEW // 2)
        for view in range(len(VIEWS)):
            canvas.paste(_scaled(row.images[step, view], VIEW), (LABEL + view * (VIEW + GAP), top))
    bottom = height - LINE // 2
    draw.text((LABEL - 10, bottom), f"{step * period:.1f} s", SOFT, _font(13), anchor="rm")
    length = 2 * VIEW + GAP
    draw.rectangle((LABEL, bottom - 2, LABEL + length, bottom + 2), "#e4e7ec")
    draw.rectangle((LABEL, bottom - 2, LABEL + length * step // max(1, steps), bottom + 2), INK)
    return canvas


def strip(rows: Sequence[Row], title: str) -> Image.Image:
    """All of it as one picture: for each view the rows below each other, time from left to right."""
    length = len(rows[0].images)
    shown = np.unique(np.linspace(0, length - 1, min(STRIP_FRAMES, length)).round().astype(int))
    cell = STRIP_VIEW + GAP
    block = len(rows) * cell + LINE
    canvas = Image.new("RGB", (LABEL + len(shown) * cell, LINE + len(VIEWS) * block), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, LINE // 2), title, INK, _font(13), anchor="lm")
    for view, name in enumerate(VIEWS):
        top = LINE + view * block
        draw.text((LABEL - 10, top + LINE // 2), name, SOFT, _font(13), anchor="rm")
        for column, step in enumerate(shown):
            text = "now" if step == 0 else f"+{step}"
            left = LABEL + column * cell
            draw.text((left + STRIP_VIEW // 2, top + LINE // 2), text, SOFT, _font(12), anchor="mm")
            for number, row in enumerate(rows):
                canvas.paste(_scaled(row.images[step, view], STRIP_VIEW), (left, top + LINE + number * cell))
        for number, row in enumerate(rows):
            psnr = None if row.psnr is None else float(row.psnr[:, view].mean())
            _label(draw, row, psnr, True, top + LINE + number * cell + STRIP_VIEW // 2)
    return canvas


def _label(draw: ImageDraw.ImageDraw, row: Row, psnr: float | None, ended: bool, middle: int) -> None:
    """Name of a row, its PSNR against the real frames (dB), and at its end how it ended."""
    lines = [(row.name, INK)]
    if psnr is not None:
        lines.append((f"{psnr:.1f} dB", SOFT))
    if ended:
        lines.append(("success", GREEN) if row.success else ("no success", RED))
    for number, (text, colour) in enumerate(lines):
        place = middle + round((number - (len(lines) - 1) / 2) * 18)
        draw.text((LABEL - 10, place), text, colour, _font(13), anchor="rm")


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _scaled(image: NDArray[np.uint8], side: int) -> Image.Image:
    return Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)


def _write_webp(frames: list[Image.Image], period: float, out: Path) -> None:
    duration = round(1000 * period)
    frames[0].save(
        out, save_all=True, append_images=frames[1:], duration=duration, loop=0, quality=WEBP_QUALITY
    )


def _write_gif(frames: list[Image.Image], period: float, out: Path) -> None:
    palette = frames[len(frames) // 2].quantize(128, dither=Image.Dither.NONE)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    duration = round(1000 * period)
    indexed[0].save(out, save_all=True, append_images=indexed[1:], duration=duration, loop=0, optimize=True)


def _write_mp4(frames: list[Image.Image], period: float, out: Path) -> None:
    """H.264 in the form that browsers and phones play."""
    import av

    with av.open(str(out), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=round(1 / period), options={"crf": "18", "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_image(frame)))
        file.mux(stream.encode())


_WRITERS = {".mp4": _write_mp4, ".webp": _write_webp, ".gif": _write_gif}
