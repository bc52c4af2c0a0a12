"""A service whose callback is told which process each request comes from."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.waitable import NumberOfEntities, Waitable

from worldsample_core.node.attributed_subscription import NeverGroup
from worldsample_core.node.sender_identity import asker_of


class AttributedService(Waitable):  # type: ignore[misc]  # rclpy has no types for it
    """A service of ``node``, in its executor's thread.

    Args:
        callback: called with each request, an empty response and the process that asks, see
            :func:`asker_of`. Returns the response, or an awaitable of it.
        group: as in ``Node.create_service``.
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        name: str,
        callback: Callable[[Any, Any, bytes], Any],
        group: CallbackGroup | None = None,
    ) -> None:
        super().__init__(group or node.default_callback_group)
        self._kind, self._callback, self._index = kind, callback, -1
        self._service = node.create_service(
            kind, name, lambda request, response: response, callback_group=NeverGroup()
        )
        node.add_waitable(self)

    def __enter__(self) -> None:
        """Keep the service while an executor waits for it."""
        self._service.handle.__enter__()

    def __exit__(self, *error: Any) -> None:
        """Let the service be destroyed again."""
        self._service.handle.__exit__(*error)

    def get_num_entities(self) -> NumberOfEntities:
        """One service."""
        return NumberOfEntities(num_services=1)

    def add_to_wait_set(self, wait_set: Any) -> None:
        """Have the executor wait for the service, too."""
        self._index = wait_set.add_service(self._service.handle)

    def is_ready(self, wait_set: Any) -> bool:
        """True if a request waits."""
        return bool(wait_set.is_ready("service", self._index))

    def take_data(self) -> tuple[Any, Any]:
        """The oldest request with its header; both None where another thread has taken it."""
        request, header = self._service.handle.service_take_request(self._kind.Request)
        return request, header

    async def execute(self, taken_data: tuple[Any, Any]) -> None:
        """Call the callback, and send what it returns."""
        request, header = taken_data
        if header is None:
            return
        response = self._callback(request, self._kind.Response(), asker_of(header))
        if isawaitable(response):
            response = await response
        self._service.send_response(response, header)
