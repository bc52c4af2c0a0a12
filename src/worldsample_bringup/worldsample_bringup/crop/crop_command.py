"""The command: a picture of each camera, from the cell, from the simulation or from files, onto the page."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from worldsample_bringup.run.options import DEFAULT_TASK, refuse_unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pictures = dict[str, NDArray[np.uint8]]

SIMULATED = 256
"""Side of the simulated cell's pictures, pixels."""


def add_crop_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--sim", action="store_true", help="pictures of the simulated cell")
    parser.add_argument(
        "--task", default=DEFAULT_TASK, metavar="NAME", help="whose cell (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures", nargs=2, default=(), metavar=("SIDE", "WRIST"), help="picture files, one of each camera"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        metavar="S",
        help="wait so long for pictures (default: %(default)g)",
    )
    parser.add_argument(
        "--out", default="crop.html", metavar="FILE", help="the page to write (default: %(default)s)"
    )


def crop(options: argparse.Namespace) -> int:
    """Write the page. Returns the exit code."""
    refuse_unknown(options.rest)
    from worldsample_bringup.crop.crop_page import crop_page
    from worldsample_bringup.report.open_page import open_page
    from worldsample_bringup.run.options import Request
    from worldsample_bringup.run.prepare import plan
    from worldsample_core.config import ConfigError
    from worldsample_core.observation import VIEWS, InvalidObservation

    wide = (f"cameras.width={SIMULATED}", f"cameras.height={SIMULATED}") if options.sim else ()
    request = Request("demos", task=options.task, sim=options.sim, overrides=(*wide, *options.rest))
    settings = plan(request, Path("runs")).settings
    if options.pictures:
        pictures = dict(zip(VIEWS, map(_read, options.pictures), strict=True))
    elif options.sim:
        from a1x_sim.cell import Cell

        images = Cell(options.task, SIMULATED, settings.run.seed, settings.task).reset(0).images
        pictures = dict(zip(VIEWS, images, strict=True))
    else:
        pictures = _live(options.seconds)
    crops = {view: settings.cameras.calibration(view).crop for view in VIEWS}
    try:
        page = crop_page(pictures, crops, settings.run.image_size)
    except InvalidObservation as problem:
        raise ConfigError(str(problem)) from problem
    out = Path(options.out)
    out.write_text(page, encoding="utf-8")
    sizes = ", ".join(f"{view} {image.shape[1]}x{image.shape[0]}" for view, image in pictures.items())
    print(f"{out} ({sizes}): draw a square on each picture, and copy the settings below them")
    if options.open and (hint := open_page(out)):
        print(hint)
    return 0


def _read(name: str) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    from worldsample_core.config import ConfigError

    try:
        with Image.open(name) as picture:
            return np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError as problem:
        raise ConfigError(f"--pictures: {name} is no picture that Pillow can read") from problem


def _live(seconds: float) -> Pictures:
    """One picture of each camera that publishes now. Raises :class:`ConfigError` where one is silent."""
    from functools import partial

    import rclpy
    from sensor_msgs.msg import Image

    from worldsample_core.config import ConfigError
    from worldsample_core.messages.conversions import image_to_numpy
    from worldsample_core.messages.qos import SENSOR
    from worldsample_core.observation import VIEWS

    pictures: Pictures = {}

    def on_image(view: str, message: Image) -> None:
        pictures[view] = image_to_numpy(message)

    rclpy.init()
    try:
        node = rclpy.create_node("crop")
        for view in VIEWS:
            node.create_subscription(Image, f"{view}/color/image_raw", partial(on_image, view), SENSOR)
        until = time.monotonic() + seconds
        while len(pictures) < len(VIEWS) and time.monotonic() < until:
            rclpy.spin_once(node, timeout_sec=0.1)
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    silent = [f"/{view}/color/image_raw" for view in VIEWS if view not in pictures]
    if silent:
        raise ConfigError(
            f"nothing came on {' and '.join(silent)} within {seconds:g} s: start the cameras "
            "(docs/real-robot.md), give files with --pictures, or see the simulated cell with --sim"
        )
    return {view: pictures[view] for view in VIEWS}
