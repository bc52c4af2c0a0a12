"""Tells which publisher a message comes from: rclpy gives the message only, ROS's C library gives both."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

IDENTITY = 16
"""Bytes of the identity of a publisher."""
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
