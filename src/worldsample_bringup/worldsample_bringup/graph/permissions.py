"""Rights of each node of a closed cell (SROS 2): the topics that it may write and read, and no others.

A node's rights follow from the list of the graph's topics and services, from the settings that name the
vendor's topics, and from what ROS 2 itself makes for every node. ``docker/permissions`` holds them as DDS
Security permissions, which ``docker/keystore.sh`` signs; :mod:`worldsample_bringup.graph.closed_cell` reads
them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from xml.sax.saxutils import escape

from a1x_driver.driver_config import DriverConfig
from a1x_driver.teleop_config import TeleopConfig
from a1x_driver.vendor_config import VendorTopics
from worldsample_bringup.graph.enclaves import enclave_of
from worldsample_bringup.graph.interfaces import SERVICES, TOPICS
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.observation import VIEWS
from worldsample_core.settings import Settings
from worldsample_core.world_model_use import world_model_use

PARAMETER_SERVICES = (
    "describe_parameters",
    "get_parameter_types",
    "get_parameters",
    "get_type_description",
    "list_parameters",
    "set_parameters",
    "set_parameters_atomically",
)
"""Services that ROS 2 makes for every node. No node of the graph may call those of another one."""

SIM = "sim_node"
DEVICES = {"joy_node": ("joy",), "spacenav_node": ("spacenav/*",)}
"""Drivers of the operator's devices, by node: what they publish."""


@dataclass(frozen=True)
class Rights:
    """Rights of one process.

    Attributes:
        node: its node; its enclave has the same name.
        publish, subscribe: names of DDS topics, sorted; ``*`` in a name stands for any characters.
    """

    node: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    def lacking(self, other: Rights) -> tuple[str, ...]:
        """Rights of ``other`` that are not among these, as ``publish rt/…`` and ``subscribe rt/…``."""
        return tuple(
            f"{verb} {topic}"
            for verb, given, asked in (
                ("publish", self.publish, other.publish),
                ("subscribe", self.subscribe, other.subscribe),
            )
            for topic in asked
            if topic not in given and not any(fnmatchcase(topic, pattern) for pattern in given)
        )


def rights_of_a_cell(settings: Settings) -> tuple[Rights, ...]:
    """Rights of every process of a real cell: of the graph's nodes, and of what is around it.

    Beside the nodes there are ``vendor`` (the arm's own driver), ``person`` (who looks on, stops the arm and
    starts it again), and the health checks of both containers.

    Raises:
        ConfigError: settings of the driver or of the operator's devices that cannot be used.
    """
    driver = from_mapping(DriverConfig, settings.driver, "driver")
    teleop = from_mapping(TeleopConfig, settings.teleop, "teleop")
    use = world_model_use(settings.worldmodel)
    imagining = [_indexed("worldmodel", index) for index in range(max(1, use.nodes))]
    arm_publishes, arm_hears = _vendor_topics(driver)
    return (
        _node("a1x", "driver_node", publish=arm_publishes, subscribe=arm_hears),
        _node("operator", "teleop_node", subscribe=_device_topics(teleop)),
        _node("policy", "policy_node", others=("policy_episodes",)),
        *(
            _node(each, "worldmodel_node", own={"/worldmodel/": f"/{each}/"} if each != "worldmodel" else {})
            for each in imagining
        ),
        _node("learner", "learner_node"),
        _node("dashboard", "dashboard_node"),
        _node("dashboard_workstation", "dashboard_node"),
        *(_camera(view) for view in VIEWS),
        *(
            _foreign(name, publish=[_topic(topic) for topic in topics], subscribe=["rt/joy/set_feedback"])
            for name, topics in DEVICES.items()
        ),
        _vendor(driver.topics, arm_publishes, arm_hears),
        _person(driver, teleop),
        _rights("health_robot", subscribe=["rt/a1x/status"], nodes=("health",)),
        _rights("health_workstation", subscribe=["rt/learner/status"], nodes=("health",)),
    )


def write_permissions(folder: Path, settings: Settings) -> list[Path]:
    """Write the rights of a cell, each as ``robot/NODE.xml`` or ``workstation/NODE.xml``.

    ``keystore.sh`` puts the domain and the days for which they hold in the place of ``@DOMAIN@``, ``@BEGIN@``
    and ``@END@``.

    Returns:
        The files.

    Raises:
        ConfigError: the settings cannot be used, or the folder holds something else.
    """
    contents = {
        folder.joinpath(*enclave_of(rights.node).split("/")[2:]).with_suffix(".xml"): as_xml(rights)
        for rights in rights_of_a_cell(settings)
    }
    there = set(folder.rglob("*")) - {path.parent for path in contents}
    if strange := sorted(path for path in there if path.suffix != ".xml"):
        raise ConfigError(f"{folder} holds {strange[0].name}, which is no permission: name another folder")
    for old in there - set(contents):
        old.unlink()
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return sorted(contents)


def as_xml(rights: Rights) -> str:
    """Rights as a document of DDS Security 1.1, section 9.4.1.3, before it is signed."""
    enclave = enclave_of(rights.node)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<!-- Made by ./worldsample permissions; keystore.sh fills in the rest, and signs it. -->",
        '<dds xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"',
        '    xsi:noNamespaceSchemaLocation="http://www.omg.org/spec/DDS-SECURITY/20170901/'
        'omg_shared_ca_permissions.xsd">',
        "  <permissions>",
        f'    <grant name="{escape(enclave)}">',
        f"      <subject_name>CN={escape(enclave)}</subject_name>",
        "      <validity><not_before>@BEGIN@</not_before><not_after>@END@</not_after></validity>",
        "      <allow_rule>",
        "        <domains><id>@DOMAIN@</id></domains>",
        *_topic_lines("publish", rights.publish),
        *_topic_lines("subscribe", rights.subscribe),
        "      </allow_rule>",
        "      <default>DENY</default>",
        "    </grant>",
        "  </permissions>",
        "</dds>",
    ]
    return "\n".join(lines) + "\n"


def _topic_lines(verb: str, topics: Iterable[str]) -> list[str]:
    names = [f"            <topic>{escape(topic)}</topic>" for topic in topics]
    return [f"        <{verb}>", "          <topics>", *names, "          </topics>", f"        </{verb}>"]


def _node(
    name: str,
    executable: str,
    publish: Iterable[str] = (),
    subscribe: Iterable[str] = (),
    others: tuple[str, ...] = (),
    own: Mapping[str, str] | None = None,
) -> Rights:
    """A node of this project. ``own`` renames private services, ``others`` are further nodes in it."""
    writes, reads = list(publish), list(subscribe)
    for topic in TOPICS:
        if SIM in topic.publishers and len(topic.publishers) == 1:
            continue  # of the simulator alone
        if executable in topic.publishers:
            writes.append(_topic(topic.name))
        if executable in topic.subscribers:
            reads.append(_topic(topic.name))
    for service in SERVICES:
        place = service.name
        for old, new in (own or {}).items():
            place = place.replace(old, new)
        if executable in service.servers:
            reads.append(_request(place))
            writes.append(_reply(place))
        if executable in service.clients:
            writes.append(_request(service.name))
            reads.append(_reply(service.name))
    return _rights(name, writes, reads, (name, *others))


def _rights(
    name: str, publish: Iterable[str] = (), subscribe: Iterable[str] = (), nodes: tuple[str, ...] = ()
) -> Rights:
    """Rights with what ROS 2 itself makes for each of the process's nodes."""
    writes = {*publish, "ros_discovery_info", "rt/rosout", "rt/parameter_events"}
    reads = {*subscribe, "ros_discovery_info"}
    for node in nodes:
        reads.update(_request(f"{node}/{service}") for service in PARAMETER_SERVICES)
        writes.update(_reply(f"{node}/{service}") for service in PARAMETER_SERVICES)
    return Rights(name, tuple(sorted(writes)), tuple(sorted(reads)))


def _foreign(
    name: str, publish: Iterable[str], subscribe: Iterable[str] = (), nodes: tuple[str, ...] = ()
) -> Rights:
    """A node of another project, in C++: it also listens to parameter events."""
    return _rights(name, publish, [*subscribe, "rt/parameter_events"], nodes or (name,))


def _camera(view: str) -> Rights:
    """``realsense2_camera``: what it publishes below its own name changes with its version."""
    return _foreign(
        view,
        publish=[f"rt/{view}/*", f"rr/{view}/*", "rt/tf_static", "rt/diagnostics"],
        subscribe=[f"rq/{view}/*"],
    )


def _vendor_topics(driver: DriverConfig) -> tuple[list[str], list[str]]:
    """DDS topics that the driver publishes and subscribes on the vendor's side."""
    topics = driver.topics
    publish = [_topic(topics.target_joints.name), _topic(topics.target_gripper.name)]
    subscribe = [
        _topic(each.name) for each in (topics.feedback_arm, topics.feedback_gripper, topics.feedback_status)
    ]
    if driver.ik == "vendor":
        publish.append(_topic(topics.target_pose.name))
    if driver.functions == "topic":
        publish.append(_topic(topics.function_frame.name))
    elif driver.functions == "service":
        publish.append(_request(topics.function_frame.name))
        subscribe.append(_reply(topics.function_frame.name))
    return publish, subscribe


def _vendor(topics: VendorTopics, arm_publishes: Iterable[str], arm_hears: Iterable[str]) -> Rights:
    """The vendor's driver: the other end of what ours uses, and the vendor's own namespaces.

    Its nodes' names are not known here: it may answer for the parameters of any node whose name is its own.
    """
    parts = [topic.name.strip("/").split("/") for topic in vars(topics).values()]
    spaces = sorted({f"rt/{first}/*" for first, *rest in parts if rest})

    def beside(names: Iterable[str]) -> list[str]:
        return [name for name in names if not any(fnmatchcase(name, space) for space in spaces)]

    return _foreign("vendor", [*spaces, *beside(arm_hears)], [*spaces, *beside(arm_publishes)], nodes=("*",))


def _person(driver: DriverConfig, teleop: TeleopConfig) -> Rights:
    """A person: hears all that a real cell says; enables, stops, clears errors, resets."""
    hears = [_topic(topic.name) for topic in TOPICS if topic.publishers != (SIM,)]
    hears += [*_vendor_topics(driver)[1], *_device_topics(teleop), "rt/rosout", "rt/parameter_events"]
    asks = [service.name for service in SERVICES if not service.clients] + ["/a1x/reset"]
    return _rights(
        "person",
        publish=[_request(name) for name in asks],
        subscribe=[*(name for name in hears if name.startswith("rt/")), *(_reply(name) for name in asks)],
        nodes=("viewer", "cell_probe", "crop", "_ros2cli*"),
    )


def _device_topics(teleop: TeleopConfig) -> list[str]:
    """DDS topics of every operator's device, so that another one needs no new keys."""
    names = {teleop.joy_topic, teleop.twist_topic, TeleopConfig(device="spacemouse").joy_topic}
    return [_topic(name) for name in names | {TeleopConfig().joy_topic}]


def _topic(name: str) -> str:
    return f"rt/{name.strip('/')}"


def _request(service: str) -> str:
    return f"rq/{service.strip('/')}Request"


def _reply(service: str) -> str:
    return f"rr/{service.strip('/')}Reply"


def _indexed(name: str, index: int) -> str:
    return f"{name}_{index}" if index else name
