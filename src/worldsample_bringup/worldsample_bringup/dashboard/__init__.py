"""A run as a person watches it: metrics, the live line, imagined segments."""
