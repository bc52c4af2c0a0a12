"""Pictures as a run's policy sees them: each camera's region of interest, at the run's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsample_core.messages.images import to_training_size
from worldsample_core.observation import VIEWS, Observation
from worldsample_core.settings import Settings


class TrainingPictures:
    """Cuts and scales the pictures of a run's cameras."""

    def __init__(self, settings: Settings) -> None:
        self._size = settings.run.image_size
        self._crops = [settings.cameras.calibration(view).crop for view in VIEWS]

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``(V, S, S, 3)`` from pictures ``(V, H, W, 3)``, both uint8 rgb.

        Raises:
            InvalidObservation: a picture is smaller than S, or without its region.
        """
        pictures = zip(images, self._crops, strict=True)
        return np.stack([to_training_size(picture, self._size, crop) for picture, crop in pictures])

    def seen(self, observation: Observation) -> Observation:
        """The observation with images as the policy was trained on. Raises as a call does."""
        return Observation(self(observation.images), observation.proprio, observation.stamp)
