"""Random bytes for ids, fetched from the kernel for many ids at a time: five calls an order were 4 % of its CPU.

They are the kernel's own (``os.urandom``), each handed out once. A child process starts without those of its parent.
"""

from __future__ import annotations

import os

_SIZE = 16
_AT_ONCE = 256
_left: list[bytes] = []

os.register_at_fork(after_in_child=_left.clear)


def random16() -> bytes:
    """Sixteen random bytes; safe in any thread."""
    try:
        return _left.pop()
    except IndexError:
        fresh = os.urandom(_SIZE * _AT_ONCE)
        first, *others = (fresh[at : at + _SIZE] for at in range(0, len(fresh), _SIZE))
        _left.extend(others)
        return first


def random_uuid() -> str:
    """A UUID of version 4 (RFC 9562, section 5.4), as text."""
    bits = int.from_bytes(random16(), "big")
    text = f"{bits & ~(0xF << 76 | 3 << 62) | (4 << 76 | 2 << 62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
