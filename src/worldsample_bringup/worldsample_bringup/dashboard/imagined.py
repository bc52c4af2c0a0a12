"""Real segments above their imagined twins, as pictures for people: ``imagined/`` of the run folder.

Each picture is one PNG that also carries its figures (a text chunk, JSON), so that a report needs no other
file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

Images = NDArray[np.uint8]
VIEWS = ("side", "wrist")
KEPT = 6
"""Pictures kept in a run folder: the first one and the newest."""

_CHUNK = "worldsample"
_FRAMES, _LEAST_SIDE = 9, 112  # shown in a row; pixels
_GAP, _LABEL, _LINE = 4, 74, 20  # pixels
_INK, _SOFT, _PAPER = (28, 35, 48), (102, 112, 133), (255, 255, 255)


ByView = dict[str, list[float]]
"""A figure of each step, by view."""


@dataclass(frozen=True)
class ImaginedQuality:
    """Imagined steps against the real ones: PSNR (dB) and SSIM, and both of repeating the last real frame."""

    psnr: ByView
    ssim: ByView
    psnr_copied: ByView
    ssim_copied: ByView


@dataclass(frozen=True)
class Figures:
    """Caption and quality of a picture.

    Attributes:
        version: of the world model.
        episode: of the real segment; start_step: where it begins there.
        real_steps: training steps of the run at that time.
        quality: of the imagined steps.
    """

    version: int
    episode: int
    start_step: int
    real_steps: int
    quality: ImaginedQuality

    @property
    def steps(self) -> int:
        """Name of the segment."""
        return len(self.quality.psnr[VIEWS[0]])

    def psnr(self, view: str) -> float:
        """Mean over the steps, dB."""
        return float(np.mean(self.quality.psnr[view]))

    def ssim(self, view: str) -> float:
        """Mean over the steps."""
        return float(np.mean(self.quality.ssim[view]))

    @property
    def name(self) -> str:
        """Name of the file; names sort by time."""
        return f"steps_{self.real_steps:07d}_version_{self.version}.png"


def compare(real: Images, imagined: Images) -> ImaginedQuality:
    """Compare the steps after the first frame, which is real in both.

    Args:
        real, imagined: ``(T + 1, 2, H, W, 3) uint8``, H and W at least 11.
    """
    from worldsample_worldmodel.training.image_quality import psnr, ssim

    copied = np.broadcast_to(real[:1], real[1:].shape)

    def by_view(measure: Callable[[Images, Images], NDArray[np.float64]], images: Images) -> ByView:
        values = measure(images, real[1:])
        return {view: [round(float(v), 4) for v in values[:, index]] for index, view in enumerate(VIEWS)}

    return ImaginedQuality(
        psnr=by_view(psnr, imagined[1:]),
        ssim=by_view(ssim, imagined[1:]),
        psnr_copied=by_view(psnr, copied),
        ssim_copied=by_view(ssim, copied),
    )


def picture(real: Images, imagined: Images, psnr: ByView) -> Images:
    """A picture: for each view a row of real frames above a row of imagined ones, PSNR below each step.

    Args:
        real, imagined: ``(T + 1, 2, H, W, 3) uint8``; psnr: T values for each view, dB.

    Returns:
        ``(H', W', 3) uint8``, on white.
    """
    steps = np.unique(np.linspace(0, len(real) - 1, min(_FRAMES, len(real))).round().astype(int))
    side = real.shape[2] * max(1, -(-_LEAST_SIDE // real.shape[2]))
    cell = side + _GAP
    block = 2 * cell + _LINE
    canvas = Image.new("RGB", (_LABEL + len(steps) * cell - _GAP, _LINE + 2 * block), _PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for column, step in enumerate(steps):
        middle = _LABEL + column * cell + side // 2
        text = "now" if step == 0 else f"+{step}"
        draw.text((middle, _LINE // 2), text, _SOFT, font, anchor="mm")
        for view, name in enumerate(VIEWS):
            top = _LINE + view * block
            for row, images in enumerate((real, imagined)):
                frame = Image.fromarray(images[step, view]).resize((side, side), Image.Resampling.NEAREST)
                canvas.paste(frame, (_LABEL + column * cell, top + row * cell))
            if step:
                value = f"{psnr[name][step - 1]:.1f} dB"
                draw.text((middle, top + 2 * cell + _LINE // 2 - 3), value, _INK, font, anchor="mm")
    for view, name in enumerate(VIEWS):
        for row, what in enumerate(("real", "imagined")):
            middle = _LINE + view * block + row * cell + side // 2
            draw.text((_LABEL - 10, middle - 9), name, _SOFT, font, anchor="rm")
            draw.text((_LABEL - 10, middle + 9), what, _INK, font, anchor="rm")
    return np.asarray(canvas)


def encode(image: Images, figures: Figures) -> bytes:
    """A PNG file that carries its figures."""
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text(_CHUNK, json.dumps(asdict(figures)))
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", optimize=True, pnginfo=chunk)
    return file.getvalue()


def store(folder: Path, image: Images, figures: Figures) -> Path:
    """Write a picture, whole or not at all, and remove what is too much.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(exist_ok=True)
    path = folder / figures.name
    partial = path.with_suffix(".partial")
    partial.write_bytes(encode(image, figures))
    partial.replace(path)
    for old in sorted(folder.glob("steps_*.png"))[1 : 1 - KEPT]:
        old.unlink()
    return path


def pictures(folder: Path) -> list[tuple[Path, Figures]]:
    """The pictures of a run folder's ``imagined/``, in order of time; one that cannot be read is left out."""
    result = []
    for path in sorted(folder.glob("steps_*.png")):
        try:
            with Image.open(path) as image:
                result.append((path, _figures(json.loads(image.info[_CHUNK]))))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return result


def _figures(values: dict[str, Any]) -> Figures:
    return Figures(**{**values, "quality": ImaginedQuality(**values["quality"])})
