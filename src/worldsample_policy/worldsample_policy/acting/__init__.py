"""The acting side: observations, control steps, episodes and the order of a run."""
