"""The log's rows as what consumers get: CloudEvents 1.0 in Kafka's binary mode."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from order_service.store.load import document
from order_service.store.reader import LogRow

SOURCE = "/order-service"


class Record(Struct, frozen=True):
    """One record of the topic; all that is derived from a row of the log is the same on every repeat."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def records(row: LogRow) -> list[Record]:
    """The events of one version, in their order."""
    if not row.events:
        return []
    assert row.snapshot is not None
    assert row.change is not None
    order = row.snapshot.encode()
    if row.contacts is not None:
        order = document(order, row.contacts.encode())
    value = b'{"order":' + order + b',"change":' + row.change.encode() + b"}"
    key = row.order_id.encode()
    return [
        Record(key, value, _headers(row, event, sequence))
        for sequence, event in enumerate(row.events, start=row.first_sequence)
    ]


def _headers(row: LogRow, event: str, sequence: int) -> tuple[tuple[str, bytes], ...]:
    named = {
        "ce_specversion": "1.0",
        "ce_id": f"{row.order_id}.{sequence}",
        "ce_source": SOURCE,
        "ce_type": event,
        "ce_subject": row.order_id,
        "ce_time": _rfc3339(row.at),
        "ce_sequence": str(sequence),
        "ce_orderversion": str(row.version),
        "ce_correlationid": row.correlation_id,
        "content-type": "application/json",
    }
    if row.traceparent is not None:
        named["traceparent"] = row.traceparent
    return tuple((name, text.encode()) for name, text in named.items())


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
