"""YAML from files and command lines that anybody may have written: plain data of bounded size."""

from __future__ import annotations

from typing import Any

import yaml

MAX_BYTES = 1_000_000
"""Largest size of a document, bytes; a run's config.yaml has 20,000."""
MAX_DEPTH = 32
"""Largest number of sections inside each other."""

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UnusableYaml(ValueError):
    """A document that is not plain data; the message says why."""


class _StrictLoader(_BASE):  # type: ignore[misc]
    """Safe YAML in which a key stands once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            try:
                repeated = key in seen
            except TypeError as error:
                raise UnusableYaml(f"line {key_node.start_mark.line + 1}: a key must be a word") from error
            if repeated:
                raise UnusableYaml(f"line {key_node.start_mark.line + 1}: the key {key!r} stands there twice")
            seen.add(key)
        result: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return result


def load_yaml(text: str | bytes) -> Any:
    """The value of one YAML document.

    Raises:
        UnusableYaml: no YAML, too large, too deeply nested, a repeated key, an alias (by which a small
            document can stand for an endless one), or bytes that are no text.
    """
    if len(text) > MAX_BYTES:
        raise UnusableYaml(f"{len(text)} bytes are more than {MAX_BYTES}")
    try:
        if isinstance(text, bytes):
            text = text.decode()
        _check_events(text)
        return yaml.load(text, _StrictLoader)
    except UnusableYaml:
        raise
    except Exception as error:  # its constructors of numbers, dates and flags raise many kinds
        raise UnusableYaml(str(error) or type(error).__name__) from error


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, _BASE):
        if isinstance(event, yaml.AliasEvent):
            raise UnusableYaml("aliases (*name) are not understood here")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise UnusableYaml(f"nested more than {MAX_DEPTH} deep")
