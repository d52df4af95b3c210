"""The chain of the log: each row's hash covers its content and the hash of the row before it.

    hash = sha256(prev_hash || field(order_id) || field(version) || field(decision_id) || field(message)
                  || field(snapshot) || field(change) || field(actor) || field(reason) || field(correlation_id)
                  || field(traceparent) || field(at) || field(first_sequence) || field(events) || contacts_hash)

``field(x)`` is the length of the text x in UTF-8 as four bytes, most significant first, and then the text; an absent
value is the length 0xFFFFFFFF alone. Numbers are decimal, ``at`` is microseconds since 1970-01-01 UTC, ``events`` are
joined by commas. The row of version 1 has 32 zero bytes as its ``prev_hash``. ``contacts_hash`` is the SHA-256 of salt
and document of the contacts that were valid then: once both are erased it tells nothing, and the chain still holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

FIRST_PREV_HASH = bytes(32)
_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def row_hash(
    prev_hash: bytes,
    *,
    order_id: str,
    version: int,
    decision_id: str,
    message: str,
    snapshot: str,
    change: str,
    actor: str,
    reason: str | None,
    correlation_id: str,
    traceparent: str | None,
    at: datetime,
    first_sequence: int,
    events: Sequence[str],
    contacts_hash: bytes,
) -> bytes:
    """The hash of one row of the log."""
    fields = (
        order_id,
        str(version),
        decision_id,
        message,
        snapshot,
        change,
        actor,
        reason,
        correlation_id,
        traceparent,
        str((at - _EPOCH) // _MICROSECOND),
        str(first_sequence),
        ",".join(events),
    )
    return sha256(b"".join((prev_hash, *map(_field, fields), contacts_hash))).digest()


def contacts_hash(salt: bytes, document: bytes) -> bytes:
    """The salted hash of an order's personal data."""
    return sha256(salt + document).digest()


def _field(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    return len(encoded).to_bytes(4, "big") + encoded
