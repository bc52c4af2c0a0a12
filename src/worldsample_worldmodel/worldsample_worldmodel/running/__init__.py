"""What the world model node does, when, and what it keeps on disk."""
