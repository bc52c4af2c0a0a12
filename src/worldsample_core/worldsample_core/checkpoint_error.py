"""The error that every reader of checkpoints raises."""

from __future__ import annotations


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message says why and what to do."""
