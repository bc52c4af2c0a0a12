"""One decoder under test: what it is fed, the errors it may raise, and what became of an input."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from random import Random
from typing import Any, Generic, Literal, TypeVar

Input = TypeVar("Input")
Result = Literal["refused", "accepted", "uncaught", "silent"]

SLOW = 5.0
"""s for one input, after which a decoder counts as hanging: an uncaught input."""


@dataclass(frozen=True)
class FuzzVerdict:
    """The fate of one input.

    Attributes:
        result: refused with a declared error; accepted; uncaught: another error, or too slow; silent: damage
            that no check found.
        detail: for people, of the last two.
        seconds: that the decoder took.
        one_bit: a single bit was changed in something that has checksums.
    """

    result: Result
    detail: str = ""
    seconds: float = 0.0
    one_bit: bool = False


class FuzzedDecoder(ABC, Generic[Input]):
    """A decoder and the mutations that it is fed.

    Attributes:
        name: in the result.
        declared: errors that it may raise.
        share: of the inputs of a run, relative to the other decoders'; a slow decoder gets fewer.
    """

    name: str
    declared: tuple[type[Exception], ...] = ()
    share: float = 1.0

    @abstractmethod
    def mutate(self, dice: Random) -> Input:
        """An input; equal dice give equal inputs."""

    @abstractmethod
    def decode(self, made: Input) -> str:
        """Decode an input as the system does.

        Returns:
            "" where all is well; otherwise, in words, the damage that no check found.
        """

    def is_one_bit(self, made: Input) -> bool:
        """True for a single changed bit in something that has checksums."""
        return False

    def try_one(self, dice: Random) -> FuzzVerdict:
        """Make an input, decode it, and judge."""
        made = self.mutate(dice)
        began = time.perf_counter()
        found: dict[str, Any] = {"result": "accepted"}
        try:
            if words := self.decode(made):
                found = {"result": "silent", "detail": words}
        except self.declared:
            found = {"result": "refused"}
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a library in Rust panics with errors that are no Exception
            found = {"result": "uncaught", "detail": f"{type(error).__name__}: {str(error)[:300]}"}
        seconds = time.perf_counter() - began
        if seconds > SLOW:
            found = {"result": "uncaught", "detail": f"one input took {seconds:.1f} s"}
        return FuzzVerdict(**found, seconds=seconds, one_bit=self.is_one_bit(made))
