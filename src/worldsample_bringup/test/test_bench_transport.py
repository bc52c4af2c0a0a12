"""``bench transport``: figures, environments of other projects, and a small measurement of ours."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from worldsample_bringup.bench import bench_transport, peer_environment
from worldsample_bringup.bench.bench_transport import figures, measure, table
from worldsample_bringup.bench.machine_load import IDLE, MachineLoad
from worldsample_bringup.bench.peer_environment import Peer, PeerMissing, measured_or_reason, peer_python
from worldsample_bringup.bench.transport_process import TransportSettings

MEASURED: dict[str, Any] = {
    "version": "agentlace 0.1.4",
    "weights_ms": {"1": [4.0, 5.0, 6.0], "10": []},
    "transitions_per_second": 812.34,
    "sent": 100,
    "lost": 2,
    "transition_ms": [1.0],
}


def test_figures_are_percentiles_and_counts() -> None:
    result = figures(MEASURED)
    assert result["weights"]["1_mb"] == {"p50_ms": 5.0, "p99_ms": 5.98, "received": 3}
    assert result["weights"]["10_mb"] == {"p50_ms": None, "p99_ms": None, "received": 0}
    assert (result["transitions_per_second"], result["lost"], result["sent"]) == (812.3, 2, 100)
    assert result["version"] == "agentlace 0.1.4" and result["transition_p50_ms"] == 1.0


def test_a_peer_that_cannot_be_installed_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(bench_transport, "ours", lambda settings: MEASURED)
    monkeypatch.setattr(peer_environment.venv, "create", lambda home, **options: home.mkdir(parents=True))

    def refuse(command: Sequence[str], timeout: float) -> None:
        raise subprocess.CalledProcessError(1, list(command), stderr="warning\nERROR: no network\n")

    monkeypatch.setattr(peer_environment, "_run", refuse)
    result = measure(TransportSettings(), say=lambda words: None)
    assert result["agentlace"] == {"skipped": "agentlace 0.1.4 could not be installed: ERROR: no network"}
    assert "skipped: lerobot 0.4.4 could not be installed" in table(result)
    assert "worldsample" in table(result) and "machine: " in table(result)


def test_an_environment_is_made_once_and_again_when_what_is_in_it_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed: list[tuple[str, ...]] = []
    monkeypatch.setattr(peer_environment.venv, "create", lambda home, **options: home.mkdir(exist_ok=True))
    monkeypatch.setattr(
        peer_environment, "_pip", lambda python, arguments: installed.append(tuple(arguments))
    )
    told: list[str] = []
    for requirement in ("thing==1", "thing==1", "thing==2"):
        peer_python(Peer("thing 1", (requirement,), ("other",)), told.append, tmp_path)
    assert installed == [("thing==1",), ("--no-deps", "other"), ("thing==2",), ("--no-deps", "other")]
    assert len(told) == 2


def test_half_an_installation_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peer_environment.venv, "create", lambda home, **options: home.mkdir(exist_ok=True))

    def fail(python: Path, arguments: Sequence[str]) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(peer_environment, "_pip", fail)
    peer = Peer("thing 1", ("thing",))
    for _ in range(2):
        with pytest.raises(PeerMissing, match="the disk is full"):
            peer_python(peer, lambda words: None, tmp_path)
    assert measured_or_reason(lambda: {"figure": 1}) == {"figure": 1}


def test_the_load_of_other_processes_is_seen() -> None:
    load = MachineLoad()
    sum(k * k for k in range(2_000_000))  # our own work does not count
    facts = load.describe()
    assert facts["idle"] == (facts["others_cores"] <= IDLE)
    assert facts["cores"] >= 1 and facts["note"].startswith(str(facts["cores"]))


def test_weights_and_transitions_arrive_whole(monkeypatch: pytest.MonkeyPatch, ros_domain: int) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(ros_domain))
    settings = TransportSettings(
        weights_mb=(1, 2), rounds=3, pause_s=0.05, transitions=40, paced=5, paced_hz=50.0, image_size=32
    )
    result = measure(settings, peers=False, say=lambda words: None)["worldsample"]
    assert [size["received"] for size in result["weights"].values()] == [3, 3]
    assert result["lost"] == 0 and result["transitions_per_second"] > 0
    assert result["transition_p50_ms"] > 0
