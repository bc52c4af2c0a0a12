"""Real episodes: on disk, and in order after they have crossed the network."""
