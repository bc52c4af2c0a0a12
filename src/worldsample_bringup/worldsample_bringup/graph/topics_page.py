"""``worldsample topics``: every topic and service of the graph with its type and fields (docs/topics.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rclpy.qos import QoSProfile

from worldsample_bringup.graph.interface_files import Field, Interface, read_interfaces
from worldsample_bringup.graph.interfaces import SERVICES, TOPICS
from worldsample_bringup.run.setting_entries import SettingEntry, all_entries
from worldsample_core.messages import qos

OURS = "worldsample_msgs"
PREFACE = """\
# Topics and services

Names are relative to the graph's namespace. The arrow leads from the executables that publish to those that
subscribe; a run has those of its cell. A type of `worldsample_msgs` leads to its fields below. All others are
ROS 2's own: `ros2 interface show TYPE` prints them.

This page is made by `./worldsample topics > docs/topics.md`; a test holds it to the code.
"""


def as_markdown() -> str:
    """All of docs/topics.md."""
    lines = [PREFACE, "## Topics", "", *_table(("topic", "type", "from → to", "QoS", "meaning"))]
    for topic in TOPICS:
        ends = f"{_nodes(topic.publishers)} → {_nodes(topic.subscribers)}".rstrip()
        lines.append(
            _cells(f"`{topic.name}`", _type(topic.type), ends, topic.qos or "depth 1", topic.meaning)
        )
    lines += ["", "## Services", "", *_table(("service", "type", "served by", "called by", "meaning"))]
    for service in SERVICES:
        sides = (_nodes(service.servers), _nodes(service.clients) or "a person")
        lines.append(_cells(f"`{service.name}`", _type(service.type), *sides, service.meaning))
    lines += ["", "## Actions", "", *_actions()]
    lines += ["", "## QoS profiles", "", *_profiles()]
    lines += ["", "## Names that are settings", "", *_names_from_settings()]
    lines += ["", "## Messages"]
    for message in read_interfaces("msg"):
        lines += ["", f"### {message.name}", "", message.meaning, "", *_fields(message.parts[0])]
    lines += ["", "## Service types"]
    for service_type in read_interfaces("srv"):
        lines += _service_type(service_type)
    return "\n".join(lines).rstrip("\n") + "\n"


def _nodes(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _type(name: str) -> str:
    """A type, with a link to its fields where they are on this page."""
    package, _, short = name.partition("/")
    return f"[{short}](#{short.lower()})" if package == OURS else name


def _actions() -> Iterator[str]:
    actions = read_interfaces("action")
    if not actions:
        yield "The graph has no actions."
    for action in actions:
        yield f"### {action.name}"
        for part in action.parts:
            yield from ("", *_fields(part))


def _profiles() -> Iterator[str]:
    yield "The profiles stand in `worldsample_core/messages/qos.py`."
    yield ""
    yield from _table(("profile", "reliability", "durability", "depth"))
    for name, profile in sorted(vars(qos).items()):
        if isinstance(profile, QoSProfile):
            durability = profile.durability.name.lower().replace("system_default", "volatile")
            yield _cells(name, profile.reliability.name.lower(), durability, str(profile.depth))


def _names_from_settings() -> Iterator[str]:
    yield "Names of the arm's vendor and of the operator's devices."
    yield ""
    yield from _table(("topic", "setting", "meaning"))
    for entry in all_entries():
        if entry.key.startswith("driver.topics.") and entry.key.endswith(".name"):
            yield _named(entry, entry.group)
        elif entry.key in ("teleop.joy_topic", "teleop.twist_topic"):
            yield _named(entry, entry.meaning)


def _named(entry: SettingEntry, meaning: str) -> str:
    return _cells(f"`{entry.default}`", f"`{entry.key}`", " ".join(meaning.replace("``", "`").split()))


def _service_type(service: Interface) -> Iterator[str]:
    yield from ("", f"### {service.name}", "", service.meaning)
    for title, part in zip(("Request:", "Answer:"), service.parts, strict=True):
        yield from ("", title, "", *_fields(part)) if part else ("", f"{title} empty.")


def _fields(fields: Sequence[Field]) -> Iterator[str]:
    yield from _table(("field", "type", "meaning"))
    for field in fields:
        name = f"{field.name} = {field.value}" if field.value else field.name
        yield _cells(f"`{name}`", f"`{field.type}`", field.meaning)


def _table(heads: Sequence[str]) -> tuple[str, str]:
    return _cells(*heads), "|" + " --- |" * len(heads)


def _cells(*texts: str) -> str:
    safe = (text if "`" in text else text.replace("<", "&lt;") for text in texts)
    return "| " + " | ".join(text.replace("|", "\\|") for text in safe) + " |"
