"""Encoders from camera images to latents."""
