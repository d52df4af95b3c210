"""The replica's estimate of the database's clock: no rule ever looks at this machine's own time of day."""

from __future__ import annotations

import time
from base64 import b32encode
from datetime import UTC, datetime
from operator import mul

from order_service.randomness import random16


class DatabaseClock:
    """Follows the database's clock by the times that come back with every statement."""

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def observe(self, server_time: datetime, sent_s: float, received_s: float) -> None:
        """Move as far as what the database said its time was, between two readings of ``time.monotonic``, asks for.

        An answer that was long under way allows for many times: it does not spoil what a quick one has taught.
        """
        at = server_time.timestamp()
        self._offset_s = min(max(self._offset_s, at - received_s), at - sent_s)

    def set(self, server_time: datetime) -> None:
        """Take over what the database says its time is just now."""
        self._offset_s = server_time.timestamp() - time.monotonic()

    def now(self) -> datetime:
        """The database's time, in UTC, to the millisecond."""
        at = self._offset_s + time.monotonic()
        return datetime.fromtimestamp(int(at * 1000) / 1000, UTC)


_last_ms = 0
_counter = 0


def new_order_id(now: datetime) -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): ids sort by the time of creation, also within one millisecond."""
    global _last_ms, _counter
    ms = int(now.timestamp() * 1000)
    random = random16()
    if ms > _last_ms:
        _last_ms, _counter = ms, int.from_bytes(random[:2], "big") >> 6
    else:
        _counter += 1
        if _counter >= 1 << 12:
            _last_ms, _counter = _last_ms + 1, 0
    tail = int.from_bytes(random[8:], "big") & ((1 << 62) - 1)
    text = f"{(_last_ms << 80) | (7 << 76) | (_counter << 64) | (2 << 62) | tail:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _ALPHABET.encode())
_VALUES = {c: value for value, c in enumerate(_ALPHABET)}
_WEIGHTS = range(1, 200, 2)


def new_order_number() -> str:
    """Eleven random characters and a check character (Crockford's base 32), in groups a voice can read.

    55 random bits: among five million orders a clash is less likely than one in two thousand, and it is met by
    drawing another number.
    """
    text = b32encode(random16()[:7]).translate(_CROCKFORD)[:11].decode()
    text += _ALPHABET[check_value(text)]
    return f"{text[:4]}-{text[4:8]}-{text[8:]}"


def check_value(text: str) -> int:
    """The weighted sum, modulo 32, that the last character of an order number carries."""
    return int(sum(map(mul, _WEIGHTS, map(_VALUES.__getitem__, text)))) % 32


def seconds_until(deadline_s: float) -> float:
    """Seconds left until a reading of ``time.monotonic``, never below 0."""
    return max(0.0, deadline_s - time.monotonic())
