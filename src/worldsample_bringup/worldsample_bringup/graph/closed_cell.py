"""Check of a closed cell's keys before its nodes start: every node needs some, and they must let it speak."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

from worldsample_bringup.graph.enclaves import enclave_of, is_closed
from worldsample_bringup.graph.node_spec import NodeSpec
from worldsample_bringup.graph.permissions import Rights, rights_of_a_cell
from worldsample_core.config import ConfigError
from worldsample_core.settings import Settings

FILES = (
    "cert.pem",
    "key.pem",
    "identity_ca.cert.pem",
    "permissions_ca.cert.pem",
    "governance.p7s",
    "permissions.p7s",
)
"""Files of an enclave."""
REMEDY = (
    "they were made for other settings. `worldsample permissions FOLDER SETTINGS` writes the rights for "
    "these, `docker/keystore.sh KEYS FOLDER` makes keys with them"
)


def require_keys(
    nodes: Sequence[NodeSpec], settings: Settings, environment: Mapping[str, str] = os.environ
) -> None:
    """Refuse to start nodes without keys, or with keys that forbid what these settings ask for.

    Without SROS 2 nothing is asked for. Nodes of other projects are looked at like our own.

    Raises:
        ConfigError: the sentence names the node and the remedy.
    """
    if not is_closed(environment) or environment.get("ROS_SECURITY_ENCLAVE_OVERRIDE"):
        return
    keystore = environment.get("ROS_SECURITY_KEYSTORE", "")
    if not keystore:
        raise ConfigError("ROS_SECURITY_ENABLE is true, and ROS_SECURITY_KEYSTORE names no folder of keys")
    asked = {rights.node: rights for rights in rights_of_a_cell(settings)}
    for node in nodes:
        enclave = Path(keystore, "enclaves", enclave_of(node.name).lstrip("/"))
        missing = [name for name in FILES if not os.access(enclave / name, os.R_OK)]
        if missing:
            raise ConfigError(
                f"{node.name} has no keys: {enclave / missing[0]} is not there, or not readable for this "
                "user. `docker/keystore.sh KEYS` makes them (docs/real-robot.md)"
            )
        if node.name in asked:
            given = read_permissions(enclave / "permissions.p7s", node.name)
            if forbidden := given.lacking(asked[node.name]):
                raise ConfigError(f"the keys of {node.name} do not let it {forbidden[0]}; {REMEDY}")


def read_permissions(path: Path, node: str) -> Rights:
    """The rights in a permissions document, signed or not. The signature is checked by DDS, not here.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text[text.index("<dds") : text.index("</dds>") + len("</dds>")])
    except (OSError, ValueError, ElementTree.ParseError) as problem:
        raise ConfigError(f"{path} is no permissions document: {problem}") from None

    def topics(verb: str) -> tuple[str, ...]:
        found = root.iterfind(f".//allow_rule/{verb}/topics/topic")
        return tuple(sorted({each.text or "" for each in found}))

    return Rights(node, topics("publish"), topics("subscribe"))
