"""Training and measurement of the video model."""
