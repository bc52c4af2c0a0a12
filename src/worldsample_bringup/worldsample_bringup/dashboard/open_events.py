"""Opens everything that shall get a run's curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worldsample_bringup.dashboard.metrics import EventWriter, event_writer
from worldsample_bringup.dashboard.wandb_events import WandbEvents
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.settings import Settings


def open_events(
    folder: RunFolder, settings: Settings, tell: Callable[[str], object], warn: Callable[[str], object]
) -> EventWriter:
    """TensorBoard, and Weights & Biases where ``run.wandb`` names a project.

    Args:
        folder: of the run.
        settings: of the run.
        tell: is told where the curves can be seen.
        warn: is told once if Weights & Biases takes no more curves.
    """
    tensorboard = event_writer(folder)
    if not settings.run.wandb:
        return tensorboard
    return _EachOf(tensorboard, WandbEvents(folder, tell, warn))


class _EachOf:
    """Hands everything to several writers."""

    def __init__(self, *writers: EventWriter) -> None:
        self._writers = writers

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        for writer in self._writers:
            writer.add_scalar(tag, scalar_value, global_step)

    def add_image(self, tag: str, img_tensor: Any, global_step: int, *, dataformats: str) -> None:
        for writer in self._writers:
            writer.add_image(tag, img_tensor, global_step, dataformats=dataformats)

    def flush(self) -> None:
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
