"""Soft actor-critic on prior data: networks, losses, parameters, exported policies."""
