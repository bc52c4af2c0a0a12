"""Tells whom a message or a request comes from: rclpy gives the message only, ROS's C library gives both."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from rclpy.utilities import get_rmw_implementation_identifier

IDENTITY = 16
"""Bytes of the identity of a publisher."""
PROCESS = 12
"""Bytes at their beginning that all identities of a process have in common."""
_TAKEN, _NOTHING = 0, 401
"""Return codes of ``rcl_take``."""
_COMPARABLE = b"rmw_fastrtps"
"""ROS middleware whose identities of messages and of endpoints are the same."""


class _Gid(ctypes.Structure):
    _fields_ = (("middleware", ctypes.c_char_p), ("data", ctypes.c_uint8 * IDENTITY))


class _MessageInfo(ctypes.Structure):
    """``rmw_message_info_t``, with room for the fields of later versions."""

    _fields_ = (
        ("source_timestamp", ctypes.c_int64),
        ("received_timestamp", ctypes.c_int64),
        ("publication_sequence_number", ctypes.c_uint64),
        ("reception_sequence_number", ctypes.c_uint64),
        ("publisher", _Gid),
        ("room", ctypes.c_uint8 * 256),
    )


class _ServiceInfo(ctypes.Structure):
    """``rmw_service_info_t``."""

    _fields_ = (
        ("source_timestamp", ctypes.c_int64),
        ("received_timestamp", ctypes.c_int64),
        ("asker", ctypes.c_uint8 * IDENTITY),
        ("sequence_number", ctypes.c_int64),
    )


@cache
def _rcl_take() -> Any:
    take = ctypes.PyDLL("librcl.so").rcl_take  # rclpy has loaded it
    take.argtypes, take.restype = [ctypes.c_void_p] * 4, ctypes.c_int32
    return take


@cache
def _functions(kind: Any) -> tuple[Any, Any, Any]:
    """Functions that make a message of a type in C, turn it into Python's, and free it."""
    pointer, name = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_GetName
    pointer.argtypes, pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    name.argtypes, name.restype = [ctypes.py_object], ctypes.c_char_p

    def function(capsule: Any, result: Any, *arguments: Any) -> Any:
        return ctypes.PYFUNCTYPE(result, *arguments)(pointer(capsule, name(capsule)))

    return (
        function(kind._CREATE_ROS_MESSAGE, ctypes.c_void_p),
        function(kind._CONVERT_TO_PY, ctypes.py_object, ctypes.c_void_p),
        function(kind._DESTROY_ROS_MESSAGE, None, ctypes.c_void_p),
    )


def take_with_sender(subscription: Any) -> tuple[Any, bytes] | None:
    """The oldest message that waits, and its publisher's identity; None where none waits.

    The identity is ``endpoint_gid`` of ``Node.get_publishers_info_by_topic`` as bytes; b"" with a middleware
    whose identities cannot be compared.

    Raises:
        RuntimeError: ROS cannot read its message.
    """
    create, convert, destroy = _functions(subscription.msg_type)
    info, message = _MessageInfo(), create()
    try:
        with subscription.handle:
            code = _rcl_take()(subscription.handle.pointer, message, ctypes.byref(info), None)
        if code == _NOTHING:
            return None
        if code != _TAKEN:
            raise RuntimeError(f"a message on {subscription.topic_name} cannot be read (rcl_take: {code})")
        known = (info.publisher.middleware or b"").startswith(_COMPARABLE)
        return convert(message), bytes(info.publisher.data) if known else b""
    finally:
        destroy(message)


def asker_of(header: Any) -> bytes:
    """The process from which a request comes: the first :data:`PROCESS` bytes of all its identities.

    Args:
        header: as rclpy takes it together with the request.

    Returns:
        b"" with a middleware, or an rclpy, of which it cannot be told.
    """
    if not get_rmw_implementation_identifier().encode().startswith(_COMPARABLE):
        return b""
    try:
        known = (header.source_timestamp, header.received_timestamp, header.request_id.sequence_number)
    except AttributeError:  # an rclpy that hands out another header
        return b""
    # rclpy hides the asker. Its object holds a pointer to C's structure, behind Python's own two words.
    place = ctypes.c_void_p.from_address(id(header) + object.__basicsize__).value
    info = _ServiceInfo.from_address(place) if place else _ServiceInfo()
    if known != (info.source_timestamp, info.received_timestamp, info.sequence_number):
        return b""
    return bytes(info.asker)[:PROCESS]
