"""``worldsample watch``: a run as it happens, or a finished one again, in the viewer of Rerun."""
