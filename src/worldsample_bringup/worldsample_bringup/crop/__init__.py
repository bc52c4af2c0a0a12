"""``worldsample crop``: chooses the square of each camera's picture that becomes the training image."""
