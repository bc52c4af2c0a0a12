"""Other generators behind the same call: ``model.imagine(first, current, first_proprio, proprio, actions,
rng)``."""

from worldsample_worldmodel.backends.backend import Backend, BackendUnavailable, load_backend

__all__ = ["Backend", "BackendUnavailable", "load_backend"]
