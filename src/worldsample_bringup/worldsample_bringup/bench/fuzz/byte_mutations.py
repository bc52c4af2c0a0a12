"""Mutations of bytes: what a bad wire, a bad disk or a hostile writer makes of a file or a message."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

ONE_BIT = "one bit"
"""Kind of the mutation that every checksum must find."""
CUT = "cut off"

EXTREMES = tuple(
    struct.pack(f"<{code}", value)
    for code, values in {
        "B": (0, 0x7F, 0x80, 0xFF),
        "H": (0, 0x7FFF, 0xFFFF),
        "I": (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF),
        "Q": (0, 1 << 31, 1 << 53, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
        "f": (math.nan, math.inf, -math.inf, 1e30, -1e30, 1e-45),
        "d": (math.nan, math.inf, -math.inf, 1e300, -1e300, 5e-324),
    }.items()
    for value in values
)
"""Bytes of the numbers at the ends of each type."""
ENDS = 160
"""Bytes at the beginning and the end of an input that are hit more often: headers, counts, checksums."""


@dataclass(frozen=True)
class MutatedBytes:
    """Bytes with the kind of mutation that made them."""

    kind: str
    data: bytes


def mutate(data: bytes, others: Sequence[bytes], dice: Random) -> MutatedBytes:
    """One mutation of ``data``; ``others`` are inputs of the same kind, for splices."""
    kind = dice.choice(tuple(_MUTATIONS))
    return MutatedBytes(kind, _MUTATIONS[kind](data, others, dice))


def flip(data: bytes, dice: Random) -> MutatedBytes:
    """The same with one bit changed."""
    return MutatedBytes(ONE_BIT, _one_bit(data, (), dice))


def _place(size: int, dice: Random) -> int:
    """An index below ``size``, near the ends more often than elsewhere."""
    where = dice.random()
    if where < 0.3:
        return dice.randrange(min(size, ENDS))
    if where < 0.5:
        return size - 1 - dice.randrange(min(size, ENDS))
    return dice.randrange(size)


def _one_bit(data: bytes, others: Sequence[bytes], dice: Random) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[_place(len(data), dice)] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _some_bits(data: bytes, others: Sequence[bytes], dice: Random) -> bytes:
    for _ in range(dice.randrange(2, 17)):
        data = _one_bit(data, others, dice)
    return data


def _cut(data: bytes, others: Sequence[bytes], dice: Random) -> bytes:
    return data[: _place(len(data), dice)] if data else data


def _longer(data: bytes, others: Sequence[bytes], dice: Random) -> bytes:
    more = dice.choice((1, 7, 64, 4096))
    return data + (bytes(more) if dice.random() < 0.5 else dice.randbytes(more))


def _extreme(data: bytes, others: Sequence[bytes], dice: Random) -> bytes:
    number = dice.choice(EXTREMES)
    if len(data) < len(number):
        return number
    place = min(_place(len(data), dice), len(data) - len(number))
    place -= place % dice.choice((1, 4))
    return data[:place] + number + data[place + len(number) :]


def _splice(data: bytes, others: Sequence[bytes], dice: Random) -> bytes:
    """A piece of one input over, into or in place of a piece of another."""
    source = dice.choice(tuple(others) or (data,)) or b"\0"
    begin = dice.randrange(len(source))
    piece = source[begin : begin + dice.randrange(1, 1 + min(256, len(source)))]
    place = dice.randrange(len(data) + 1)
    removed = dice.choice((0, len(piece), dice.randrange(257)))
    return data[:place] + piece + data[place + removed :]


def _removed(data: bytes, others: Sequence[bytes], dice: Random) -> bytes:
    place = dice.randrange(len(data) + 1)
    return data[:place] + data[place + dice.randrange(1, 257) :]


def _noise(data: bytes, others: Sequence[bytes], dice: Random) -> bytes:
    return dice.randbytes(dice.choice((0, 1, 8, 64, 1024)))


_MUTATIONS: dict[str, Callable[[bytes, Sequence[bytes], Random], bytes]] = {
    ONE_BIT: _one_bit,
    "some bits": _some_bits,
    CUT: _cut,
    "longer": _longer,
    "extreme number": _extreme,
    "splice": _splice,
    "removed": _removed,
    "noise": _noise,
}
