r"""Draws evaluation episodes of a trained policy as a moving picture (GIF): side camera and wrist camera.

    source <(./worldsample env)
    python benchmarks/rollout_picture.py benchmarks/results/table1-2000-seed10/sorting-rlpd_plus-seed10 \
        --seeds 1 2 3 4 0 --out docs/images/rollout.gif

The policy acts on its own 64x64 images; the picture is rendered larger from the same states. Every scene that
was asked for is shown, whether the policy solves it or not. The picture runs in real time, at 10 Hz.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from a1x_sim.cameras import Cameras
from a1x_sim.cell import Cell
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.run.trained_actor import load_actor
from worldsample_core.messages.training_pictures import TrainingPictures

SIDE, BAR, GAP = 256, 24, 4  # pixels: side of a view, height of the caption, gap between the views
HOLD = 10  # frames for which the end of an episode stays
COLOURS = 64  # of the palette that all frames share


def frame(views: list[Image.Image], caption: str) -> Image.Image:
    """Both views side by side, with a caption below."""
    canvas = Image.new("RGB", (2 * SIDE + GAP, SIDE + BAR), "white")
    for column, view in enumerate(views):
        canvas.paste(view, (column * (SIDE + GAP), 0))
    font = ImageFont.load_default(13)
    ImageDraw.Draw(canvas).text((4, SIDE + BAR // 2), caption, "#1c2330", font, anchor="lm")
    return canvas


def main() -> None:
    """Run the episodes and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run folder, or an exported policy")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="scenes to show")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    run = RunFolder(options.run)
    settings, actor = run.settings(), load_actor(run)
    pictures = TrainingPictures(settings)
    cell = Cell(settings.task.name, settings.camera_shape, config=settings.task)
    cameras = Cameras(cell.model, SIDE, SIDE)
    steps = run.checkpoint().name.removeprefix("step_")
    frames = []
    for seed in options.seeds:
        observation = cell.reset(seed)
        actor.seed(seed)
        while True:
            views = [Image.fromarray(view) for view in cameras.render(cell.data)]
            end = "  success" if cell.success else ""
            text = f"{settings.task.name} after {int(steps):,} real steps  {0.1 * cell.steps:4.1f} s{end}"
            frames.append(frame(views, text))
            if cell.success or cell.steps == settings.task.horizon:
                break
            observation = cell.step(actor.act(pictures.seen(observation), settings.run.evaluates_mean)[0])
        frames += [frames[-1]] * HOLD
        print(f"scene {seed}: {'success' if cell.success else 'no success'} after {cell.steps} steps")
    every = Image.new("RGB", (frames[0].width, 8 * frames[0].height))
    for row in range(8):
        every.paste(frames[row * (len(frames) - 1) // 7], (0, row * frames[0].height))
    palette = every.quantize(COLOURS, dither=Image.Dither.NONE)
    indexed = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    indexed[0].save(
        options.out, save_all=True, append_images=indexed[1:], duration=100, loop=0, optimize=True
    )
    print(f"{options.out}: {len(frames)} frames, {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
