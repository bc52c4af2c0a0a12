"""Settings that would stall or spoil a run are refused before it starts."""

import pytest

from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.settings import RunConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lag": 0}, "lag must be at least 1"),
        ({"name": ""}, "run name"),
        ({"name": "x" * 65}, "run name"),
        ({"image_size": 60}, "multiple of 8"),
        ({"image_size": 1024}, "multiple of 8"),
        ({"publish_every": 0}, "publish_every"),
        ({"mode": "train-ish"}, "config.mode"),
    ],
)
def test_unusable_run_settings_are_refused(change: dict[str, object], message: str) -> None:
    good = {"name": "r", "directory": "/tmp/r"}
    assert from_mapping(RunConfig, good).name == "r"
    with pytest.raises(ConfigError, match=message):
        from_mapping(RunConfig, {**good, **change})
