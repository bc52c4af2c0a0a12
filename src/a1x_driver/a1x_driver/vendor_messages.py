"""The vendor's own message package, ``hdas_msg``: optional at run time.

It comes with Galaxea's SDK and not with ROS. SDK versions differ in names and in whether functions (enable,
disable, clear) are sent on a topic or called as a service. Without the package, plain ``std_msgs`` stand in:
that is what the stand-in arm of the tests speaks, never a real arm.
"""

from __future__ import annotations

import importlib
from typing import Any

from std_msgs.msg import Int32, String

ENABLE, DISABLE, CALIBRATE, CLEAR = 1, 2, 3, 4


def _find(module: str, *names: str) -> Any:
    try:
        found = importlib.import_module(module)
    except ImportError:
        return None
    return next((getattr(found, name) for name in names if hasattr(found, name)), None)


VendorStatus: Any = _find("hdas_msg.msg", "FeedbackStatus", "feedback_status")
VendorFunction: Any = _find("hdas_msg.msg", "FunctionFrame", "function_frame")
VendorFunctionCall: Any = _find("hdas_msg.srv", "FunctionFrame", "FunctionFrameSrv")

HAVE_VENDOR = VendorStatus is not None
StatusMessage: Any = VendorStatus or String
FunctionMessage: Any = VendorFunction or Int32

WITHOUT_VENDOR = (
    "the vendor's package hdas_msg is not installed: errors of the arm cannot be seen, and enable, disable "
    "and clear cannot be sent. Source the vendor's SDK before starting, or use the vendor's own tool"
)


def function_message(code: int) -> Any:
    """A message that asks the arm for a function."""
    message = FunctionMessage()
    for name in ("command", "frame", "function", "data"):
        if hasattr(message, name):
            setattr(message, name, code)
            return message
    raise TypeError(f"{type(message).__name__} has no field for the function's code")


def function_code(message: Any) -> int:
    """The code in such a message."""
    return next(
        int(getattr(message, name))
        for name in ("command", "frame", "function", "data")
        if hasattr(message, name)
    )


def errors_in(message: Any) -> str:
    """The errors that a status message names; "" for none.

    Understood: a text (the stand-in's), a list ``errors`` of records with ``error_code`` and
    ``error_description``, a list of numbers, or one number.
    """
    if isinstance(message, String):
        return str(message.data)
    for name in ("errors", "error", "error_code", "status"):
        if not hasattr(message, name):
            continue
        value = getattr(message, name)
        if isinstance(value, (int, float)):
            return f"{name} {int(value):#x}" if value else ""
        words = []
        for item in value:
            code = getattr(item, "error_code", item)
            text = str(getattr(item, "error_description", "")).strip()
            if code:
                words.append(f"{text} ({code})" if text else f"code {code}")
        return ", ".join(words)
    return ""
