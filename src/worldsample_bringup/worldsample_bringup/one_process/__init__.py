"""A run in one process: the graph's own policy, simulator, operator, learner and world model, without topics.

For experiments: many runs side by side, one on each core. A seed's run is the graph's, bit for bit.
"""
