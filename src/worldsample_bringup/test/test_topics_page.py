"""``worldsample topics``: the list of the graph is what the nodes create, and so is docs/topics.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from worldsample_bringup import cli
from worldsample_bringup.dashboard.imagination_watch import SERVICE
from worldsample_bringup.dashboard.status_records import STATUSES
from worldsample_bringup.graph.interface_files import read_interface, read_interfaces
from worldsample_bringup.graph.interfaces import SERVICES, TOPICS
from worldsample_bringup.graph.topics_page import as_markdown
from worldsample_core.observation import VIEWS

SOURCE = Path(__file__).parents[2]
DOCS = SOURCE.parent / "docs" / "topics.md"

FILES = {
    "a1x_sim/sim_node.py": ("a1x", ["sim_node"]),
    "a1x_sim/operator_node.py": ("operator", ["operator_node"]),
    "a1x_driver/driver_node.py": ("a1x", ["driver_node"]),
    "a1x_driver/arm_services.py": ("a1x", ["driver_node"]),
    "a1x_driver/teleop_node.py": ("operator", ["teleop_node"]),
    "worldsample_policy/policy_node.py": ("policy", ["policy_node"]),
    "worldsample_policy/acting/cell_calls.py": ("policy", ["policy_node"]),
    "worldsample_policy/acting/cell_input.py": ("policy", ["policy_node"]),
    "worldsample_policy/acting/episode_service.py": ("policy", ["policy_node"]),
    "worldsample_policy/acting/policy_outputs.py": ("policy", ["policy_node"]),
    "worldsample_policy/learner_node.py": ("learner", ["learner_node"]),
    "worldsample_worldmodel/worldmodel_node.py": ("worldmodel", ["worldmodel_node"]),
    "worldsample_core/node/transition_worker.py": ("", ["learner_node", "worldmodel_node"]),
    "worldsample_core/node/transform_publisher.py": ("a1x", ["sim_node", "driver_node"]),
    "worldsample_core/episodes/transition_fetch.py": ("", ["learner_node", "worldmodel_node"]),
    "worldsample_bringup/dashboard_node.py": ("dashboard", ["dashboard_node"]),
    "worldsample_bringup/dashboard/imagination_watch.py": ("dashboard", ["dashboard_node"]),
}
"""Files of the graph's nodes: the node's name, and the executables that have their code."""

NOT_OF_THE_GRAPH = {
    "a1x_driver/arm_functions.py",  # names that are settings
    "a1x_driver/vendor_link.py",
    "a1x_driver/standin_arm_node.py",  # in the place of the hardware
    "a1x_driver/standin_camera_node.py",
    "a1x_driver/standin_person_node.py",
    "a1x_driver/cell_probe.py",  # a check and measurements
    "a1x_driver/safety_measurement.py",
    "worldsample_core/node/attributed_service.py",  # names that are arguments
    "worldsample_core/node/attributed_subscription.py",
    "worldsample_bringup/viewer/viewer_node.py",  # looks on from outside
    "worldsample_bringup/crop/crop_command.py",
    "worldsample_bringup/bench/bench_loop.py",
    "worldsample_bringup/bench/faults/graph_ears.py",
    "worldsample_bringup/bench/transport_process.py",
}
"""Files that create topics and services, and why they have no row."""

CALLS = {
    "create_publisher": ("publisher", 0, 2),
    "create_subscription": ("subscriber", 0, 3),
    "_subscribe": ("subscriber", 1, 3),
    "create_service": ("server", 0, None),
    "AttributedService": ("server", 1, None),
    "create_client": ("client", 0, None),
}
"""Method: what it makes, where its type stands (the name follows), and where its QoS stands."""


@dataclass(frozen=True)
class End:
    """One end of a topic or service, as a node's code makes it."""

    node: str
    role: str
    name: str
    type: str
    qos: str


def name_in(expression: ast.expr, texts: dict[str, ast.expr]) -> list[str]:
    """The names that an expression stands for; none where it is a setting or an argument."""
    if isinstance(expression, ast.Constant):
        return [str(expression.value)]
    if isinstance(expression, ast.Call) and expression.args:  # main.resolve_topic_name("weights/policy")
        return name_in(expression.args[0], texts)
    if isinstance(expression, ast.Name) and expression.id in texts:
        return name_in(texts[expression.id], {})
    if isinstance(expression, ast.JoinedStr):
        source = ast.unparse(expression)[2:-1]
        return [source.replace("{view}", view) for view in VIEWS] if "{view}" in source else []
    return []


def ends_in(path: str) -> Iterator[End]:
    """The ends that a file's code makes under names that are fixed."""
    owner, nodes = FILES[path]
    tree = ast.parse((SOURCE / path.partition("/")[0] / path).read_text(encoding="utf-8"))
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    texts = {node.targets[0].id: node.value for node in assigned if isinstance(node.targets[0], ast.Name)}
    imports = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    original = {alias.asname: alias.name for alias in imports if alias.asname}
    for call in ast.walk(tree):
        called = call.func if isinstance(call, ast.Call) else None
        method = getattr(called, "attr", getattr(called, "id", ""))
        if not isinstance(call, ast.Call) or method not in CALLS:
            continue
        role, first, qos_at = CALLS[method]
        kind, qos = ast.unparse(call.args[first]), call.args[qos_at] if qos_at else None
        for name in name_in(call.args[first + 1], texts):
            resolved = "/" + name.replace("~/", f"{owner}/").lstrip("/")
            for node in nodes:
                profile = qos.id if isinstance(qos, ast.Name) else ""
                yield End(node, role, resolved, original.get(kind, kind), profile)


def made() -> set[End]:
    """Every end that the graph's nodes make."""
    found = {end for path in FILES for end in ends_in(path)}
    for topic, message, _ in STATUSES.values():  # the dashboard's loop
        found.add(End("dashboard_node", "subscriber", f"/{topic}", message.__name__, "STATUS"))
    found.add(End("dashboard_node", "client", f"/{SERVICE}", "Imagine", ""))
    return found


def short(name: str) -> str:
    """A type without its package."""
    return name.partition("/")[2]


def test_the_list_is_what_the_nodes_make() -> None:
    listed = {
        (node, role, topic.name, short(topic.type))
        for topic in TOPICS
        for role, nodes in (("publisher", topic.publishers), ("subscriber", topic.subscribers))
        for node in nodes
        if node != "realsense2_camera_node"  # somebody else's
    } | {
        (node, role, service.name, short(service.type))
        for service in SERVICES
        for role, nodes in (("server", service.servers), ("client", service.clients))
        for node in nodes
    }
    assert listed == {(end.node, end.role, end.name, end.type) for end in made()}


def test_publishers_have_the_qos_that_is_listed() -> None:
    listed = {topic.name: topic.qos for topic in TOPICS}
    for end in made():
        if end.role == "publisher":
            assert listed[end.name] == end.qos, end


def test_no_file_makes_topics_unseen() -> None:
    seen = set()
    for path in SOURCE.glob("*/*/**/*.py"):
        package, *_ = parts = path.relative_to(SOURCE).parts
        calls = (f".{method}(" for method in CALLS if method.startswith("create"))
        if parts[1] == package and any(call in path.read_text(encoding="utf-8") for call in calls):
            seen.add("/".join(parts[1:]))
    assert seen == set(FILES) | NOT_OF_THE_GRAPH


def test_every_type_of_ours_has_its_fields_on_the_page() -> None:
    interfaces = {interface.name for kind in ("msg", "srv") for interface in read_interfaces(kind)}
    ours = {short(entry.type) for entry in (*TOPICS, *SERVICES) if entry.type.startswith("worldsample_msgs/")}
    assert ours <= interfaces
    headings = {line[4:] for line in as_markdown().splitlines() if line.startswith("### ")}
    assert headings == interfaces


def test_a_field_has_type_unit_and_shape() -> None:
    text = (
        "# Head,\n# goes on.\nuint8 ON=1   # word\nfloat32[7] action  # rad,\n   # 7 of them\n---\nbool ok\n"
    )
    interface = read_interface("Sample", text)
    assert interface.meaning == "Head, goes on."
    (on, action), (ok,) = interface.parts
    assert (on.type, on.name, on.value, on.meaning) == ("uint8", "ON", "1", "word")
    assert (action.type, action.value, action.meaning) == ("float32[7]", "", "rad, 7 of them")
    assert (ok.type, ok.name, ok.meaning) == ("bool", "ok", "")
    with pytest.raises(ValueError, match="no field"):
        read_interface("Sample", "float32\n")


def test_the_document_is_that_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert DOCS.read_text() == as_markdown(), "./worldsample topics > docs/topics.md makes it again"
    assert cli.main(["topics"]) == 0
    assert capsys.readouterr().out == as_markdown()
