"""Functions that a configuration may name: those that an installed package has registered, and no others.

A ``config.yaml`` may come from anybody. A package registers a function in its ``setup.py``, under
``entry_points``; installing it is a decision of the person who runs the project.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from worldsample_core.config import ConfigError

SUCCESS_DETECTORS = "worldsample.success_detectors"
"""Group of functions that :class:`worldsample_core.success_detector.SuccessDetector` are made with."""
IMAGINED_POLICIES = "worldsample.imagined_policies"
"""Group of functions that :class:`worldsample_core.imagined_policy.ImaginedPolicy` are made with."""


def registered_factory(group: str, name: str, setting: str) -> Any:
    """The function ``module:function`` that is registered in a group.

    Args:
        setting: that names it, for people.

    Raises:
        ConfigError: no installed package registers it, or it cannot be imported.
    """
    registered = {entry.value: entry for entry in entry_points(group=group)}
    if name not in registered:
        raise ConfigError(
            f"{setting} is {name!r}, no module:function that an installed package registers in its entry "
            f"points under {group}; registered: {', '.join(sorted(registered)) or 'none (set up again)'}"
        )
    try:
        return registered[name].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{setting}: {name} cannot be imported ({error})") from error
