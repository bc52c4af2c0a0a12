"""The learning side: learner, its loop, update schedule, checkpoints, imagined segments."""
