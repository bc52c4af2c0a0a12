"""The algorithm that the configuration names: one of WorldSample's, or one in a folder of your own."""

from __future__ import annotations

from worldsample_core.config import ConfigError, choose
from worldsample_core.extension_path import METHOD_PATH, extension_files, load_extension
from worldsample_policy.algorithms.algorithm import Algorithm
from worldsample_policy.algorithms.rlpd import RLPD
from worldsample_policy.algorithms.vlaw import VLAW
from worldsample_policy.algorithms.wmpo import WMPO

ALGORITHMS: dict[str, type[Algorithm]] = {algorithm.name: algorithm for algorithm in (RLPD, WMPO, VLAW)}


def algorithm_class(name: str) -> type[Algorithm]:
    """The class that `learner.algorithm` names.

    Raises:
        ConfigError: there is none (the message lists the known ones), or an own file does not load.
    """
    own = extension_files(METHOD_PATH, ".py")
    if name in ALGORITHMS and name in own:
        raise ConfigError(f"{own[name]}: the method {name!r} comes with WorldSample: give yours another name")
    choose(name, {**ALGORITHMS, **own}, "learner.algorithm")
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    return load_extension(METHOD_PATH, name, own[name], Algorithm)  # type: ignore[type-abstract]
