"""The policy's second thread: nothing that arrives ends it; where it ends all the same, the run says so."""

from __future__ import annotations

import array
import dataclasses
import hashlib
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")
from rclpy.serialization import serialize_message

from worldsample_core.messages.conversions import to_time, weights_to_message
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import RunBounds
from worldsample_core.messages.weights import PackedWeights, pack
from worldsample_core.node.stopping import RunFailed
from worldsample_msgs.msg import LearnerStatus, Transition
from worldsample_policy.acting.episode_service import EpisodeService

from .test_acting_weights import acting, weights


class RecordsInMemory:
    """Recorded steps, some of which are damaged. at_once: records in one answer."""

    def __init__(self, count: int, damaged: set[int], at_once: int) -> None:
        self.next_seq, self.at_once = count, at_once
        self.records = [
            b"\x00\x01" if seq in damaged else serialize_message(Transition(seq=seq)) for seq in range(count)
        ]

    def fetch(self, from_seq: int, max_count: int, _: int) -> list[bytes]:
        return self.records[from_seq : from_seq + min(max_count, self.at_once)]


class Service:
    """The callbacks of an :class:`EpisodeService`, without its node."""

    def __init__(self, lockstep: bool = True, store: Any = None) -> None:
        service: Any = EpisodeService.__new__(EpisodeService)
        service.run, service.weights, service.store = "r", acting(lockstep), store
        self.ready = 0
        service.on_weights = self.on_weights
        service._reception = self.reception = Reception(str)
        service._bounds = RunBounds(counts=1000, image_size=16)
        service.learner, service.error, service._stopping = None, None, False
        self.service: EpisodeService = service

    def on_weights(self) -> None:
        self.ready += 1

    def send(self, packed: PackedWeights) -> None:
        self.service._on_weights(weights_to_message(dataclasses.replace(packed, run="r"), to_time(0.0)))


def raw(header: dict[str, Any], body: bytes, architecture: str) -> PackedWeights:
    """Safetensors of any header, with the right digest."""
    text = json.dumps(header).encode()
    data = array.array("B", len(text).to_bytes(8, "little") + text + body)
    return PackedWeights(data, hashlib.sha256(data).hexdigest(), architecture, 2)


@pytest.mark.parametrize("lockstep", [True, False])
def test_attack_01_weights_that_cannot_be_used_end_nothing(lockstep: bool) -> None:
    service, good = Service(lockstep), weights(1, seed=1)
    bfloat = raw({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"\0\0", good.architecture)
    other_shape = pack({"w": np.ones(3, np.float32)}, json.loads(good.architecture), 2)
    for bad in (
        bfloat,
        dataclasses.replace(good, version=2, architecture="[" * 100_000),
        dataclasses.replace(good, version=2**64 - 1),
        other_shape,
    ):
        service.send(bad)
    assert service.reception.count("weights") == 4 and service.ready == 0
    service.send(good)
    assert service.ready == 1, "genuine ones are still taken"


def test_attack_07_a_status_beyond_the_run_is_not_believed() -> None:
    service = Service()
    service.service._on_learner(LearnerStatus(run="r", completed_steps=2**62))
    assert service.service.learner is None and service.reception.count("statuses") == 1
    service.service._on_learner(LearnerStatus(run="r", completed_steps=7))
    assert service.service.learner is not None and service.service.learner.completed_steps == 7


@pytest.mark.parametrize("at_once", [1, 3, 128])
def test_attack_01_a_record_that_cannot_be_decoded_counts_as_lost(at_once: int) -> None:
    service = Service(store=RecordsInMemory(8, {2, 3, 4}, at_once))
    read, seq = [], 0
    while answer := service.service._read(seq, 128):
        read += [int(message.seq) for message in answer]
        seq = read[-1] + 1
    assert read == [0, 1, 5, 6, 7] and service.reception.count("recorded steps") >= 3


def test_attack_01_a_thread_that_has_ended_ends_the_run_with_its_reason() -> None:
    service = Service().service
    service.check()

    def broken(timeout_sec: float) -> None:
        raise OSError(5, "Input/output error")

    executor: Any = SimpleNamespace(spin_once=broken)
    service._executor = executor
    service._spin()
    with pytest.raises(RunFailed, match=r"has ended \(OSError.*Input/output error.*--resume"):
        service.check()
