"""The vendor's own message package, ``hdas_msg``: optional at run time.

It comes with Galaxea's SDK and not with ROS. SDK versions differ in names and in whether functions (enable,
clear) are sent on a topic or called as a service. Without the package, plain ``std_msgs`` stand in: that is
what the stand-in arm of the tests speaks, never a real arm.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from std_msgs.msg import Int32, String

from a1x_driver.vendor_config import ErrorBits
from worldsample_msgs.srv import ArmFunction


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
FunctionCall: Any = VendorFunctionCall or ArmFunction

WITHOUT_VENDOR = (
    "the vendor's package hdas_msg is not installed: errors of the arm cannot be seen, and enable and "
    "clear cannot be sent. Source the vendor's SDK before starting, or set driver.functions=none and use the "
    "vendor's own tool"
)


CODE_FIELDS = ("command", "frame", "function", "code", "data")
"""Names that SDK versions give the field with a function's code."""
ANSWER_FIELDS = ("success", "result", "ok")
"""Names that they give the field of an answer that says yes or no."""


def function_message(code: int, kind: Any = None) -> Any:
    """A message (or a request, where ``kind`` is its class) that asks the arm for a function."""
    message = (kind or FunctionMessage)()
    for name in CODE_FIELDS:
        if hasattr(message, name):
            setattr(message, name, code)
            return message
    raise TypeError(f"{type(message).__name__} has no field for the function's code")


def function_code(message: Any) -> int:
    """The code in such a message."""
    return next(int(getattr(message, name)) for name in CODE_FIELDS if hasattr(message, name))


def function_answer(response: Any) -> tuple[bool, str]:
    """The arm's answer: True if it has done what it was asked, and its words."""
    words = str(getattr(response, "message", "")).strip()
    for name in ANSWER_FIELDS:
        if hasattr(response, name):
            return bool(getattr(response, name)), words
    return False, f"its answer is not understood: {response}"


def codes_in(message: Any) -> list[tuple[int, str]]:
    """Error codes and their texts in a status message; 0 with a text is an error without a number.

    Understood: a text (the stand-in's), a list ``errors`` of records with ``error_code`` and
    ``error_description``, a list of numbers, or one number.
    """
    if isinstance(message, String):
        text = str(message.data).strip()
        found = re.fullmatch(r"code (\d+)", text)
        return [(int(found[1]), "")] if found else [(0, text)] if text else []
    for name in ("errors", "error", "error_code", "status"):
        if not hasattr(message, name):
            continue
        value = getattr(message, name)
        if isinstance(value, (int, float)):
            return [(int(value), "")] if value else []
        codes = []
        for item in value:
            code = int(getattr(item, "error_code", item))
            text = str(getattr(item, "error_description", "")).strip()
            if code:
                codes.append((code, text))
        return codes
    return []


def errors_in(message: Any, table: ErrorBits | None = None) -> str:
    """The errors in a status message that forbid motion, in words; "" for none.

    What only a command ends (``table.at_rest``) is none of them.
    """
    table = table or ErrorBits()
    words = []
    for code, text in codes_in(message):
        remaining = _without_rest(code, table)
        if code and not remaining:
            continue
        said = text or _names(remaining, table)
        words.append(f"{said} (code {code})" if said and code else said or f"code {code}")
    return ", ".join(words)


def unheard_in(message: Any, table: ErrorBits | None = None) -> bool:
    """True if the arm says that no command reaches it (``table.at_rest``)."""
    table = table or ErrorBits()
    return any(code and _without_rest(code, table) != code for code, _ in codes_in(message))


def _without_rest(code: int, table: ErrorBits) -> int:
    if table.coding == "numbers":
        return 0 if code in table.at_rest else code
    for bit in table.at_rest:
        code &= ~bit
    return code


def _names(code: int, table: ErrorBits) -> str:
    known = {int(value): words for value, _, words in (name.partition(" ") for name in table.names)}
    if table.coding == "numbers":
        return known.get(code, "")
    return " and ".join(words for bit, words in known.items() if code & bit == bit)
