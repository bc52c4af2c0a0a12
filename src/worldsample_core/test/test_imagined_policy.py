"""A policy for the imagination that is not there is named before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldsample_core.config import ConfigError, TaskConfig
from worldsample_core.imagined_policy import make_imagined_policy
from worldsample_core.settings import RunConfig, Settings
from worldsample_core.success_detector import make_success_detector


@pytest.mark.parametrize("name", ["", "nothing", "no.such.module:make", "worldsample_core.config:nothing"])
def test_names_that_lead_nowhere(name: str) -> None:
    task = TaskConfig("test", 20, 0.9, (True,) * 7, (0.01,) * 7, (0.0,) * 3, (0.5,) * 3, (0.0,) * 6, 1.0, 100)
    settings = Settings(RunConfig("a", "/tmp/a"), task)
    with pytest.raises(ConfigError, match=r"worldmodel\.policy"):
        make_imagined_policy(name, settings)


def test_attack_minor_a_module_that_nobody_registered_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared config.yaml must not choose what is run on the machine of whoever takes it."""
    (tmp_path / "from_the_config.py").write_text(
        "import pathlib\npathlib.Path('ran').touch()\nmake = print\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    task = TaskConfig("test", 20, 0.9, (True,) * 7, (0.01,) * 7, (0.0,) * 3, (0.5,) * 3, (0.0,) * 6, 1.0, 100)
    settings = Settings(RunConfig("a", "/tmp/a", classifier="from_the_config:make"), task)
    with pytest.raises(ConfigError, match="no module:function that an installed package registers"):
        make_imagined_policy("from_the_config:make", settings)
    with pytest.raises(ConfigError, match=r"run\.classifier .* registered: worldsample_worldmodel\."):
        make_success_detector(settings)
    with pytest.raises(ConfigError):
        make_imagined_policy("os:system", settings)
    assert not (tmp_path / "ran").exists()
