"""The learning core: encoder, networks, SAC on prior data (RLPD), replay, learner and actor.

Only the nodes use ROS.
"""
