"""A policy for the imagination that is not there is named before anything starts."""

from __future__ import annotations

import pytest

from worldsample_core.config import ConfigError, TaskConfig
from worldsample_core.imagined_policy import make_imagined_policy
from worldsample_core.settings import RunConfig, Settings


@pytest.mark.parametrize("name", ["", "nothing", "no.such.module:make", "worldsample_core.config:nothing"])
def test_names_that_lead_nowhere(name: str) -> None:
    task = TaskConfig("test", 20, 0.9, (True,) * 7, (0.01,) * 7, (0.0,) * 3, (0.5,) * 3, (0.0,) * 6, 1.0, 100)
    settings = Settings(RunConfig("a", "/tmp/a"), task)
    with pytest.raises(ConfigError, match=r"worldmodel\.policy"):
        make_imagined_policy(name, settings)
