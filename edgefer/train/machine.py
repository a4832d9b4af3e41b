"""What the machine needs to be told before it trains well."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next step instead of returning it to the system. Returns whether it does.

    Every step allocates the same large tensors. By default each goes back to the system and comes again as zeroed
    pages, one page fault each 4 KiB: measured, 217 against 332 images/s for `quarter` on a virtual machine.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False  # another C library
    return bool(mallopt(_M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1))
