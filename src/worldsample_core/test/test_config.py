"""A mistyped setting must not train for an hour before anyone notices."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from worldsample_core.config import (
    ConfigError,
    TaskConfig,
    choose,
    from_mapping,
    merge,
    parse_override,
    read_yaml,
    to_mapping,
)

PUSHING = {
    "name": "pushing",
    "horizon": 60,
    "gamma": 0.97,
    "active": [True, True, True, False, False, False, False],
    "action_scale": [0.01] * 3 + [0.05] * 3 + [1],
    "box_low": [0.2, -0.2, 0.0],
    "box_high": [0.5, 0.2, 0.4],
    "reset_joints": [0.0] * 6,
    "reset_gripper": 1,
    "max_real_steps": 8000,
}


@dataclass(frozen=True)
class Inner:
    rate: float = 3e-4
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    steps: int
    inner: Inner = field(default_factory=Inner)
    name: str | None = None


def test_round_trip() -> None:
    task = from_mapping(TaskConfig, PUSHING)
    assert from_mapping(TaskConfig, to_mapping(task)) == task
    assert task.active_mask.sum() == 3


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gamma'"):
        from_mapping(TaskConfig, {**PUSHING, "gama": 0.9})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon": "sixty"}, "config.horizon: expected int"),
        ({"horizon": True}, "config.horizon"),
        ({"horizon": 0}, "at least 1"),
        ({"gamma": 1.0}, "gamma must be in"),
        ({"active": [True] * 6}, "expected 7 values"),
        ({"active": [False] * 7}, "active action dimension"),
        ({"box_low": [0.9, -0.2, 0.0]}, "box is empty"),
    ],
)
def test_a_bad_value_is_refused_where_it_stands(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(TaskConfig, {**PUSHING, **change})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="missing steps"):
        from_mapping(Outer, {})


def test_nested_sections_literals_and_scientific_notation() -> None:
    outer = from_mapping(Outer, {"steps": 1, "inner": {"rate": "1e-4", "kind": "b"}})
    assert outer.inner == Inner(1e-4, "b")
    with pytest.raises(ConfigError, match=r"inner.kind.*'c'"):
        from_mapping(Outer, {"steps": 1, "inner": {"kind": "c"}})


def test_merge_and_overrides() -> None:
    layers = merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, parse_override("a.z=[1, 2]"))
    assert layers == {"a": {"x": 1, "y": 3, "z": [1, 2]}}
    for text in ("a.z", "=1", "a..b=1"):
        with pytest.raises(ConfigError, match=r"section.key=value"):
            parse_override(text)


def test_yaml_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file"):
        read_yaml(tmp_path / "missing.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [1")
    with pytest.raises(ConfigError, match=r"bad.yaml is not valid YAML"):
        read_yaml(bad)


def test_choose_lists_what_is_known() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown task 'pushin'; did you mean 'pushing'.*insertion, pushing"
    ):
        choose("pushin", ["pushing", "insertion"], "task")


@pytest.mark.parametrize(
    "value", ["!!bool maybe", "!!int x", "!!float .", "!!timestamp 2026-99-99", "!!binary é"]
)
def test_a_value_that_is_none_of_its_tag_is_no_yaml(tmp_path: Path, value: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(f"a: {value}")
    with pytest.raises(ConfigError, match=r"bad.yaml is not valid YAML"):
        read_yaml(bad)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a: &a [x, x]\nb: [*a, *a]\n", "aliases"),
        (b"{a: " * 20_000, "nested more than 32 deep"),
        (b"[" * 50_000, "nest"),
        (bytes(range(256)), "codec"),
        (b"run: {name: a, name: b}\n", "'name' stands there twice"),
    ],
    ids=["alias bomb", "deep mapping", "deep list", "random bytes", "duplicate key"],
)
def test_attack_minor_a_hostile_file_is_one_sentence(tmp_path: Path, text: bytes, reason: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(text)
    with pytest.raises(ConfigError, match=rf"(?s)bad.yaml is not valid YAML.*{reason}"):
        read_yaml(bad)
