"""The learning core: encoder, networks, SAC on prior data (RLPD), replay, learner and actor. No ROS in here
but the nodes."""
