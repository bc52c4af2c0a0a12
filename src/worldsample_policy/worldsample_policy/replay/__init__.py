"""Replay buffers of real and imagined transitions, and the mixer that draws from them."""
