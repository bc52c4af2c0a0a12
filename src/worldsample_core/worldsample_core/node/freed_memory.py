"""Memory that a process frees stays with the process, instead of going back to the system each time.

A message of 10 MB is copied three times on its way from DDS to Python, each time into a buffer of its own. An
update of the world model makes and frees hundreds of tensors of a megabyte. glibc gives freed memory at the
end of its heap back to the system as soon as it is more than a few megabytes, and the next message or update
has to fetch every page of it again: 7,600 page faults a message, 3,800 an update. They cost three times as
much as the message's copying itself, and a tenth to a fifth of the update.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3), from <malloc.h>."""

KEPT = 64 * 1024 * 1024
"""Bytes of free memory at the end of the heap that a process keeps: six messages of 10 MB."""
LARGEST = 32 * 1024 * 1024
"""Bytes of a buffer from which it has a mapping of its own; the most that glibc takes."""


def keep_freed_memory() -> bool:
    """Set both limits for this process. Returns True where its allocator is glibc's and took them."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another system, or another C library
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, KEPT)) and bool(mallopt(M_MMAP_THRESHOLD, LARGEST))
