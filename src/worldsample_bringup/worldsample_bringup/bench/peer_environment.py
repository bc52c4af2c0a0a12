"""Environments of other projects that a benchmark measures beside this one, each apart from ours.

They are made at first use in a folder of the user (``~/.cache/worldsample/peers``), never in the repository,
and never share a package with `.venv`. What is run in them stands in `benchmarks/peers/`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsample_bringup.run.configuration import config_directory
from worldsample_core.node.parent_death import die_with_parent

INSTALL_TIMEOUT = 1800.0
"""s that an installation may take: LeRobot brings torch along."""


@dataclass(frozen=True)
class Peer:
    """Another project.

    Attributes:
        name: of the project and its version.
        requirements: what pip installs, with what it depends on.
        alone: what pip installs without what it says it depends on.
    """

    name: str
    requirements: tuple[str, ...]
    alone: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Everything that decides what is installed."""
        return "\n".join([sys.version, *self.requirements, "--no-deps", *self.alone])


LEROBOT = Peer("lerobot 0.4.4", ("lerobot[grpcio-dep,transformers-dep]==0.4.4",))
AGENTLACE_SOURCE = (
    "agentlace @ git+https://github.com/youliangtan/agentlace@76984f9b854b9ad88c78b3e5f0319e6e3c573e34"
)


def agentlace(source: str = "") -> Peer:
    """Agentlace, the transport of HiL-SERL; it is on no package index. source: a folder instead of GitHub."""
    # Its setup.py asks for `typing` and `gym`, which its transport does not use and Python 3.11 cannot have.
    needed = ("pyzmq==27.1.0", "lz4==4.4.4", "opencv-python-headless==4.11.0.86", "numpy==2.2.6")
    return Peer("agentlace 0.1.4", (*needed, "typing_extensions"), (source or AGENTLACE_SOURCE,))


class PeerMissing(Exception):
    """The other project cannot be measured here; the message says why, in one line."""


def peers_folder() -> Path:
    """The folder of all environments; ``XDG_CACHE_HOME`` moves it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worldsample" / "peers"


def peer_python(peer: Peer, say: Callable[[str], None], folder: Path | None = None) -> Path:
    """The interpreter of the peer's environment, which is made where it is not there yet.

    Raises:
        PeerMissing: it cannot be installed.
    """
    home = (folder or peers_folder()) / peer.name.replace(" ", "-")
    python, stamp = home / "bin" / "python", home / "installed.txt"
    if stamp.is_file() and stamp.read_text() == peer.text:
        return python
    say(f"installing {peer.name} into {home}")
    try:
        venv.create(home, with_pip=True, clear=True)
        _pip(python, peer.requirements)
        if peer.alone:
            _pip(python, ("--no-deps", *peer.alone))
        stamp.write_text(peer.text)
    except (OSError, subprocess.SubprocessError) as error:
        raise PeerMissing(f"{peer.name} could not be installed: {_last_words(error)}") from error
    return python


def run_peer(
    peer: Peer, script: str, settings: Mapping[str, Any], say: Callable[[str], None], timeout: float
) -> dict[str, Any]:
    """Run a script of `benchmarks/peers/` in the peer's environment.

    Args:
        settings: given to the script as JSON, its only argument.
        timeout: s that it may take.

    Returns:
        What it prints as its last line, JSON.

    Raises:
        PeerMissing: the environment cannot be made, or the script fails.
    """
    path = config_directory().parent.parent.parent / "benchmarks" / "peers" / script
    if not path.is_file():
        raise PeerMissing(f"{peer.name} is measured from a checkout only: {path} is not there")
    python = peer_python(peer, say)
    say(f"measuring {peer.name}")
    try:
        done = _run([str(python), "-I", str(path), json.dumps(dict(settings))], timeout)
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return {"version": peer.name, **result}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise PeerMissing(f"{peer.name} could not be measured: {_last_words(error)}") from error


def measured_or_reason(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of ``measure``, or the reason why there is none, under "skipped"."""
    try:
        return measure()
    except PeerMissing as reason:
        return {"skipped": str(reason)}


def _pip(python: Path, arguments: Sequence[str]) -> None:
    _run([str(python), "-m", "pip", "install", "--quiet", *arguments], INSTALL_TIMEOUT)


def _run(command: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run in an environment without our Python's variables. Raises CalledProcessError where it fails."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        command,
        env=env,
        preexec_fn=die_with_parent(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=True,
    )


def _last_words(error: Exception) -> str:
    """The last line of what a failed command said; the error itself where it said nothing."""
    output = getattr(error, "stderr", None)
    lines = output.strip().splitlines() if isinstance(output, str) else []
    return lines[-1][:300] if lines else f"{type(error).__name__}: {str(error)[:300]}"
