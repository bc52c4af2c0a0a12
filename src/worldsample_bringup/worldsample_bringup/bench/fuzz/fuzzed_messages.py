"""Decoders of what arrives on a wire: each message as bytes and as fields, through the bounds of a run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from worldsample_bringup.bench.fuzz import message_mutations
from worldsample_bringup.bench.fuzz.byte_mutations import mutate
from worldsample_bringup.bench.fuzz.fuzzed_decoder import FuzzedDecoder
from worldsample_bringup.bench.fuzz.value_mutations import DEEP, spoil, spoilt_json
from worldsample_bringup.dashboard.status_records import STATUSES, to_record
from worldsample_bringup.run.metrics_record import is_record
from worldsample_core.episodes.episode_bag import decode, transition_message
from worldsample_core.messages.conversions import (
    image_to_message,
    image_to_numpy,
    summary_from_message,
    summary_to_message,
    synthetic_to_message,
    transition_to_message,
    weights_to_message,
)
from worldsample_core.messages.run_bounds import MAX_REWARD, RunBounds
from worldsample_core.messages.weights import InvalidWeights, pack, unpack
from worldsample_core.observation import InvalidObservation
from worldsample_core.transition import EpisodeSummary
from worldsample_msgs.msg import EpisodeSummary as EpisodeSummaryMsg
from worldsample_msgs.msg import SyntheticBatch, Transition, Weights
from worldsample_policy.acting.actor import Actor
from worldsample_policy.tiny_learner import make_episode, make_imagined, make_task, tiny_config

SIZE = 16
"""Side of the images, pixels."""
BOUNDS = RunBounds(counts=10_000, image_size=SIZE)


class FuzzedMessage(FuzzedDecoder[Any]):
    """A message type: half of the inputs are mutated bytes, half are messages with spoilt fields."""

    declared: tuple[type[Exception], ...] = (InvalidObservation,)
    kind: Any

    def __init__(self, samples: Sequence[Any]) -> None:
        self._samples = [bytes(serialize_message(sample)) for sample in samples]

    def mutate(self, dice: Random) -> Any:
        """Bytes, or a message."""
        sample = dice.choice(self._samples)
        if dice.random() < 0.5:
            return mutate(sample, self._samples, dice).data
        message = deserialize_message(sample, self.kind)
        for _ in range(dice.choice((1, 1, 2, 4))):
            message_mutations.spoil(message, dice)
        return message

    def decode(self, made: Any) -> str:
        return self.take(self.read(made) if isinstance(made, bytes) else made)

    def read(self, made: bytes) -> Any:
        """The message in bytes. Raises :class:`InvalidObservation` where there is none."""
        return decode(made, self.kind)

    @abstractmethod
    def take(self, message: Any) -> str:
        """Do with a message what a node does; words where something unusable was accepted."""


class FuzzedTransition(FuzzedMessage):
    """Real transitions, live and fetched, and the records of journals and bags."""

    name, share, kind = "transitions", 20.0, Transition

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        super().__init__([transition_to_message(t) for t in make_episode(rng, 3, size=SIZE)])

    def read(self, made: bytes) -> Any:
        return transition_message(made)

    def take(self, message: Any) -> str:
        got = BOUNDS.transition(message)
        proprio = [o.proprio for o in (got.observation, got.next_observation)]
        numbers = np.concatenate([got.action, got.label, *proprio, [got.reward]])
        usable = np.isfinite(numbers).all() and np.abs(got.action).max() < 1.001
        return "" if usable and abs(got.reward) <= MAX_REWARD else "an unusable transition was accepted"


class FuzzedSegment(FuzzedMessage):
    """Imagined segments."""

    name, share, kind = "segments", 15.0, SyntheticBatch

    def __init__(self) -> None:
        rng, task = np.random.default_rng(2), make_task()
        made = [make_imagined(rng, task, SIZE, success, 3) for success in (True, False)]
        super().__init__([synthetic_to_message(segment, Time()) for segment in made])

    def take(self, message: Any) -> str:
        got = BOUNDS.segment(message)
        numbers = np.concatenate([got.actions.ravel(), got.proprio.ravel(), got.rewards])
        usable = np.isfinite(numbers).all() and np.abs(got.actions).max() < 1.001
        return (
            "" if usable and np.abs(got.rewards).max() <= MAX_REWARD else "an unusable segment was accepted"
        )


class FuzzedStatus(FuzzedMessage):
    """Statuses of policy, learner, pacing and world model, as nodes and dashboard take them."""

    name, share = "statuses", 15.0

    def __init__(self) -> None:
        super().__init__([])
        self._kinds = list(STATUSES.values())

    def mutate(self, dice: Random) -> Any:
        _, self.kind, self._words = dice.choice(self._kinds)
        self._samples = [bytes(serialize_message(self.kind(run="r")))]
        return super().mutate(dice)

    def take(self, message: Any) -> str:
        record = {
            "kind": "policy",
            "t": 0.0,
            "real_steps": 0,
            **to_record(BOUNDS.status(message), self._words),
        }
        plain = {
            name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in record.items()
        }
        json.dumps(plain, allow_nan=False)
        return "" if is_record(plain) else "a status makes a line of metrics that is no record"


class FuzzedSummary(FuzzedMessage):
    """Summaries of episodes, live and at the end of a bag."""

    name, share, kind = "summaries", 5.0, EpisodeSummaryMsg

    def __init__(self) -> None:
        summary = EpisodeSummary(
            "train", 3, 20, 1.0, True, False, first_seq=60, path="episodes/episode_000003"
        )
        super().__init__([summary_to_message(summary, Time())])

    def take(self, message: Any) -> str:
        summary_from_message(message)
        return ""


class FuzzedImage(FuzzedMessage):
    """Pictures of a camera."""

    name, share, kind = "camera images", 5.0, Image

    def __init__(self) -> None:
        super().__init__([image_to_message(np.zeros((SIZE, SIZE, 3), np.uint8), "side", Time())])

    def take(self, message: Any) -> str:
        return (
            "" if image_to_numpy(message).size == message.height * message.width * 3 else "pixels are missing"
        )


class FuzzedWeights(FuzzedMessage):
    """Weights of the policy: message, safetensors and architecture, up to where an actor takes them.

    Two thirds of the damaged safetensors get a matching sha256, as a hostile writer would give them.
    """

    name, share, kind = "weights", 20.0, Weights
    declared = (InvalidWeights, InvalidObservation)

    def __init__(self) -> None:
        self._actor = Actor(tiny_config(image_size=SIZE), make_task())
        self._architecture = self._actor.architecture()
        self._packed = pack(self._actor.agent.actor_state(), self._architecture, 3, run="r")
        super().__init__([weights_to_message(self._packed, Time())])

    def mutate(self, dice: Random) -> Any:
        way = dice.random()
        if way < 0.25:
            return super().mutate(dice)
        if way < 0.4:
            text = spoilt_json(self._architecture, dice).encode(errors="replace").decode()
            return weights_to_message(dataclasses.replace(self._packed, architecture=text), Time())
        data = bytes(self._packed.data)
        data = mutate(data, (), dice).data if way < 0.6 else spoilt_header(data, dice)
        digest = hashlib.sha256(data).hexdigest() if dice.random() < 0.67 else self._packed.sha256
        return weights_to_message(dataclasses.replace(self._packed, data=data, sha256=digest), Time())

    def take(self, message: Any) -> str:
        tensors = unpack(BOUNDS.weights(message), self._architecture)
        try:
            self._actor.agent.check_actor_state(tensors)
        except ValueError as error:
            raise InvalidWeights(str(error)) from error
        whole = all(np.isfinite(np.asarray(value, np.float64)).all() for value in tensors.values())
        return "" if whole else "weights that are not finite were accepted"


def spoilt_header(data: bytes, dice: Random) -> bytes:
    """Safetensors with another header: types, shapes and offsets that do not fit, or no JSON at all."""
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    changed = _HEADERS[dice.randrange(len(_HEADERS))](header, dice)
    told = len(changed) if dice.random() < 0.9 else dice.choice((0, 1, 1 << 31, (1 << 63) - 1, (1 << 64) - 1))
    return told.to_bytes(8, "little") + changed + body


def _spoilt(header: dict[str, Any], dice: Random) -> bytes:
    return spoilt_json(header, dice).encode(errors="replace")


def _other_type(header: dict[str, Any], dice: Random) -> bytes:
    """All tensors, or one, of a type of the same or another size, with shapes that fit it."""
    kinds = {
        "BF16": 2,
        "F16": 2,
        "F64": 8,
        "I32": 4,
        "U32": 4,
        "F8_E4M3": 1,
        "F8_E5M2": 1,
        "BOOL": 1,
        "F4": 1,
    }
    kind, size = dice.choice(list(kinds.items()))
    tensors = [name for name in header if name != "__metadata__"]
    names = [name for name in tensors if dice.random() < 0.5] or tensors[:1]
    for name in names:
        begin, end = header[name]["data_offsets"]
        fitting = [(end - begin) // size] if dice.random() < 0.7 else header[name]["shape"]
        header[name] = {**header[name], "dtype": kind, "shape": fitting}
    return json.dumps(header).encode()


def _metadata(header: dict[str, Any], dice: Random) -> bytes:
    value: Any = dice.choice(({}, {"a": 1}, {"counters": "x" * 100_000}, [], "a", None, {"format": "pt"}))
    return json.dumps({**header, "__metadata__": value}).encode()


def _nested(header: dict[str, Any], dice: Random) -> bytes:
    return b'{"__metadata__":' + b"[" * DEEP + b"]" * DEEP + b"," + json.dumps(header).encode()[1:]


def _overlap(header: dict[str, Any], dice: Random) -> bytes:
    names = [name for name in header if name != "__metadata__"]
    if names:
        header[names[0]]["data_offsets"] = header[names[-1]]["data_offsets"]
    return json.dumps(spoil(header, dice) if dice.random() < 0.5 else header).encode(errors="replace")


_HEADERS: tuple[Callable[[dict[str, Any], Random], bytes], ...] = (
    *(_spoilt, _spoilt, _other_type, _metadata, _nested, _overlap),
)


def fuzzed_messages() -> list[FuzzedDecoder[Any]]:
    """The decoders of messages."""
    return [
        *(
            FuzzedTransition(),
            FuzzedSegment(),
            FuzzedStatus(),
            FuzzedSummary(),
            FuzzedImage(),
            FuzzedWeights(),
        ),
    ]
