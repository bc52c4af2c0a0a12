"""One run per ROS domain: two graphs with the same topic names in one domain would drive each other's arm.

The mark is a Linux abstract socket named after the domain. It reaches exactly as far as discovery on this
machine does (the network namespace, whoever the user), and the kernel removes
it with its process, so no stale lock is ever left.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Mapping
from pathlib import Path

from worldsample_core.config import ConfigError

LAST_DOMAIN = 101
"""Beyond it the ports of DDS reach into Linux's range of ephemeral ports."""


class DomainTaken(RuntimeError):
    """Another run is on the domain; the message names it and the remedy."""


class DomainClaim:
    """Holds a ROS domain from its making until :meth:`release` or the end of this process.

    Args:
        domain: ROS_DOMAIN_ID.
        owner: what to call this run when another one asks, e.g. its folder.

    Raises:
        DomainTaken: another run holds it.
    """

    def __init__(self, domain: int, owner: str) -> None:
        self.domain = domain
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(_address(domain))
        except OSError:
            self._socket.close()
            raise DomainTaken(
                f"ROS domain {domain} is in use by {_holder(domain)}.\n"
                f"  Stop that run, or start this one on another domain: ROS_DOMAIN_ID={_free(domain)} …"
            ) from None
        self._socket.listen()
        self._thread = threading.Thread(target=self._answer, args=(owner,), daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the domain back."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the answering thread
        self._thread.join(timeout=2.0)  # the name is taken as long as that thread waits on the socket
        self._socket.close()

    def _answer(self, owner: str) -> None:
        """Tell whoever connects who holds the domain."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.sendall(owner.encode()[:4096])


def named_domain(environment: Mapping[str, str] | None = None) -> int | None:
    """The domain of ``ROS_DOMAIN_ID``; None where it is not set. Raises ConfigError where it is none."""
    text = (os.environ if environment is None else environment).get("ROS_DOMAIN_ID", "").strip()
    if text and (not text.isdecimal() or int(text) > LAST_DOMAIN):
        raise ConfigError(f"ROS_DOMAIN_ID is {text!r}: it must be a number from 0 to {LAST_DOMAIN}")
    return int(text) if text else None


def claim_domain(owner: str, environment: Mapping[str, str] | None = None) -> DomainClaim:
    """The domain of ``ROS_DOMAIN_ID`` where it is set, otherwise the first free one, from 0.

    Raises:
        DomainTaken: it is in use, or all are.
        ConfigError: ROS_DOMAIN_ID is not a domain.
    """
    named = named_domain(environment)
    if named is not None:
        return DomainClaim(named, owner)
    for domain in range(LAST_DOMAIN + 1):
        with contextlib.suppress(DomainTaken):
            return DomainClaim(domain, owner)
    raise DomainTaken("every ROS domain of this machine is in use by a run: stop one of them")


def runs_on_this_machine() -> dict[int, str]:
    """The ROS domains that a run of this machine holds, and what it is: ``{0: "train in /…/runs/mine"}``."""
    found = {}
    for domain in range(LAST_DOMAIN + 1):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
            asker.settimeout(2.0)
            with contextlib.suppress(OSError):
                asker.connect(_address(domain))
                found[domain] = asker.recv(4096).decode(errors="replace")
    return found


def is_under_way(path: Path) -> bool:
    """True if a run of this machine works in the run folder ``path``, absolute."""
    return any(owner.endswith(f" in {path}") for owner in runs_on_this_machine().values())


def _address(domain: int) -> str:
    return f"\0worldsample/domain/{domain}"


def _free(taken: int) -> int:
    """A domain that no run holds at the moment."""
    for domain in (*range(taken + 1, LAST_DOMAIN + 1), *range(taken)):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.bind(_address(domain))
            return domain
    return taken


def _holder(domain: int) -> str:
    """Words for the run that holds a domain."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
        asker.settimeout(2.0)
        try:
            asker.connect(_address(domain))
            pid = struct.unpack("3i", asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
            owner = asker.recv(4096).decode(errors="replace")
        except OSError:
            return "another run"
    return f"another run: {owner or _command_line(pid)} (pid {pid})"


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return "unknown"
