"""``worldsample imagine``: a real segment above what a run's world model imagines of it."""
