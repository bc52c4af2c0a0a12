"""Which real segments are imagined for people to look at, and where the pictures of them go."""

from __future__ import annotations

from worldsample_bringup.dashboard.imagined import Figures, compare, picture, store
from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.run.history import History
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.observation import InvalidObservation
from worldsample_core.synthetic import SyntheticSegment

INTERVAL = 60.0
"""Seconds of wall time between two pictures, at least."""


def worth_imagining(history: History, horizon: int) -> list[tuple[int, int]]:
    """Episodes and start steps of segments to ask for, the most wanted first.

    The newest training episodes, which the model has been trained on least, then demonstrations; their ends,
    where most happens.
    """
    newest = [*reversed(history.train[-10:]), *reversed(history.demos[-5:])]
    return [(int(r["episode"]), int(r["steps"]) - horizon) for r in newest if int(r["steps"]) >= horizon]


def log_twin(
    folder: RunFolder, log: MetricsLog, real: SyntheticSegment, imagined: SyntheticSegment, version: int
) -> None:
    """Keep a picture of a real segment above its imagined twin, in the run folder and in the metrics.

    Args:
        version: of the world model.

    Raises:
        InvalidObservation: the segments have images of different sizes.
        OSError: the picture cannot be written.
    """
    if real.images.shape[2:] != imagined.images.shape[2:]:
        raise InvalidObservation("the real and the imagined segment have images of different sizes")
    frames = min(len(real.images), len(imagined.images))
    quality = compare(real.images[:frames], imagined.images[:frames])
    figures = Figures(
        version=version,
        episode=real.source_episode,
        start_step=real.source_step,
        real_steps=log.history.real_steps,
        quality=quality,
    )
    image = picture(real.images[:frames], imagined.images[:frames], quality.psnr)
    store(folder.imagined, image, figures)
    log.imagined(image, figures)
