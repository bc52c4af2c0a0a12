"""The settings that an episode remembers, so that nothing recorded with others is mixed with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from worldsample_core.config import ConfigError
from worldsample_core.settings import Settings

CROPS = "crops"
"""Name of the regions of interest in a bag's metadata; bags of earlier versions have none."""


def recorded_with(settings: Settings) -> dict[str, str]:
    """Strings for the metadata of a run's bags: task, side of the images in pixels, regions of interest."""
    return {
        "task": settings.task.name,
        "image_size": str(settings.run.image_size),
        CROPS: settings.cameras.crops,
    }


def refuse_other_crops(source: str, recorded: Iterable[Mapping[str, str]], crops: str) -> None:
    """Raise :class:`ConfigError` where episodes show other regions of interest than a run.

    Args:
        source: what was recorded, in words. recorded: metadata of its bags.
        crops: of the run, see :attr:`worldsample_core.settings.CamerasConfig.crops`.
    """
    for metadata in recorded:
        there = metadata.get(CROPS, "")
        if there != crops:
            raise ConfigError(
                f"{source} was recorded with the regions of interest {there or 'none'}, the run has "
                f"{crops or 'none'}: give the same cameras.side.crop and cameras.wrist.crop, or record anew"
            )
