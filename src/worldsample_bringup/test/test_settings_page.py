"""``worldsample settings``: every key is told, and docs/settings.md says the same as the code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from worldsample_bringup import cli
from worldsample_bringup.run.configuration import layers, make_settings
from worldsample_bringup.run.setting_entries import _entries, all_entries, flat
from worldsample_bringup.run.settings_page import as_markdown
from worldsample_core.config import merge, to_mapping
from worldsample_core.settings import Settings
from worldsample_core.units import Metres, Seconds

DOCS = Path(__file__).parents[3] / "docs" / "settings.md"


def test_every_key_of_a_run_has_a_meaning() -> None:
    values = layers("cpu", "worldsample", "pushing", quick=False)
    run = merge(values, {"run": {"name": "run", "directory": "run"}})
    config = dict(flat(to_mapping(make_settings(run))))
    entries = {entry.key: entry for entry in all_entries()}
    assert list(entries) == list(config), "as they stand in config.yaml"
    for entry in entries.values():
        assert entry.meaning.endswith("."), f"{entry.key} needs a sentence below it: what does it mean?"
        assert entry.source and entry.group, entry.key
    assert {entry.unit for entry in entries.values()} >= {"s", "m", "rad", "m/s", "real steps", "updates"}


def test_a_key_has_default_unit_meaning_and_source() -> None:
    entries = {entry.key: entry for entry in all_entries()}
    rate = entries["learner.lr"]
    assert (rate.default, rate.unit, rate.source) == (3e-4, "", "HiL-SERL")
    assert rate.meaning == "Adam step size of actor, critics, heads and temperature."
    box = entries["task.box_low"]
    assert (box.unit, box.default, box.set_by) == ("m", None, "config/tasks")
    assert entries["run.mode"].choices == ("train", "eval", "demos", "label")
    topic = entries["driver.topics.target_pose.reliability"]
    assert topic.default == "reliable" and topic.group.startswith("Pose targets")


@dataclass(frozen=True)
class Base:
    """The base's keys."""

    near: tuple[Metres, Metres] = (0.0, 1.0)
    """Nearness [DrQ]."""


@dataclass(frozen=True)
class Told(Base):
    """The keys told here."""

    untold: Seconds | None = None


def test_an_undocumented_key_has_no_meaning() -> None:
    near, untold = _entries(Told, "told")
    assert (near.meaning, near.unit, near.source, near.group) == ("Nearness.", "m", "DrQ", "The base's keys.")
    assert (untold.meaning, untold.unit, untold.source) == ("", "s", "")


def test_the_document_is_that_of_the_code() -> None:
    said = "./worldsample settings --markdown > docs/settings.md makes it again"
    assert DOCS.read_text() == as_markdown(), said


def test_a_section_with_the_values_of_its_layers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings", "learner", "--method", "worldsample"]) == 0
    said = capsys.readouterr().out
    assert "learner.dropout = 0.3   (methods/worldsample.yaml; default 0.0)" in said
    assert "learner.lr = 0.0003   [HiL-SERL]" in said and "worldmodel" not in said.split("learner.")[0]
    assert cli.main(["settings", "task.horizon", "--task", "pushing", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["value"], row["layer"], row["unit"]) == (60, "tasks/pushing.yaml", "control steps")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("leaner", "did you mean learner? Sections: run, task"),
        ("learner.batchsize", "did you mean learner.batch_size"),
        ("worldmodel.gates", "did you mean worldmodel.gate"),
    ],
)
def test_a_misspelt_name_gets_the_nearest(
    capsys: pytest.CaptureFixture[str], said: str, message: str
) -> None:
    assert cli.main(["settings", said]) == 2
    assert message in capsys.readouterr().err


def test_help_names_every_section() -> None:
    for section in Settings.__dataclass_fields__:
        assert f" {section}" in cli.SETTINGS_HELP, section
