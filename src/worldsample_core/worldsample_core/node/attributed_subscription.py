"""A subscription whose callback is told which publisher each message comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.waitable import NumberOfEntities, Waitable

from worldsample_core.node.sender_identity import take_with_sender


class NeverGroup(CallbackGroup):
    """Keeps an executor from taking messages itself, without their publisher."""

    def can_execute(self, entity: Any) -> bool:
        """Nothing of this group is executed."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Nothing of this group is executed."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing of this group is executed."""


class AttributedSubscription(Waitable):  # type: ignore[misc]  # rclpy has no types for it
    """A subscription of ``node``, in its executor's thread.

    Args:
        callback: called with each message and its publisher's identity, see :func:`take_with_sender`.
    """

    def __init__(
        self, node: Node, kind: Any, topic: str, callback: Callable[[Any, bytes], object], qos: Any
    ) -> None:
        super().__init__(node.default_callback_group)
        self._callback, self._index = callback, -1
        self._subscription = node.create_subscription(
            kind, topic, lambda message: None, qos, callback_group=NeverGroup()
        )
        node.add_waitable(self)

    def __enter__(self) -> None:
        """Keep the subscription while an executor waits for it."""
        self._subscription.handle.__enter__()

    def __exit__(self, *error: Any) -> None:
        """Let the subscription be destroyed again."""
        self._subscription.handle.__exit__(*error)

    def get_num_entities(self) -> NumberOfEntities:
        """One subscription."""
        return NumberOfEntities(num_subs=1)

    def add_to_wait_set(self, wait_set: Any) -> None:
        """Have the executor wait for the subscription, too."""
        self._index = wait_set.add_subscription(self._subscription.handle)

    def is_ready(self, wait_set: Any) -> bool:
        """True if a message waits."""
        return bool(wait_set.is_ready("subscription", self._index))

    def take_data(self) -> tuple[Any, bytes] | None:
        """The oldest message, with its publisher's identity."""
        return take_with_sender(self._subscription)

    async def execute(self, taken_data: tuple[Any, bytes] | None) -> None:
        """Call the callback."""
        if taken_data is not None:
            self._callback(*taken_data)
