"""A page that shows a picture of each camera; a square drawn on it becomes the setting to copy."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldsample_core.messages.images import Crop, square_of


def crop_page(pictures: Mapping[str, NDArray[np.uint8]], crops: Mapping[str, Crop | None], size: int) -> str:
    """The page as HTML, whole in one file.

    Args:
        pictures: of each view, ``(H, W, 3) uint8``. crops: the squares of now; None: the centred one.
        size: side of the training images, pixels; no square may be smaller.

    Raises:
        InvalidObservation: a picture is smaller than ``size``, or a square lies outside of it.
    """
    views = {}
    for view, picture in pictures.items():
        height, width = picture.shape[:2]
        views[view] = {
            "source": f"data:image/png;base64,{_png(picture)}",
            "width": width,
            "height": height,
            "crop": square_of(width, height, size, crops.get(view)),
        }
    template = files(__package__).joinpath("crop.html").read_text(encoding="utf-8")
    return template.replace("{{ data }}", json.dumps({"size": size, "views": views}))


def _png(picture: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
