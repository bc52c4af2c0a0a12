"""The loop of the world model node, and its files on disk."""
