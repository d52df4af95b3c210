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


_ALIKE = (("ce_specversion", b"1.0"), ("ce_source", SOURCE.encode()), ("content-type", b"application/json"))


def _headers(row: LogRow, event: str, sequence: int) -> tuple[tuple[str, bytes], ...]:
    order_id = row.order_id.encode()
    trace = () if row.traceparent is None else (("traceparent", row.traceparent.encode()),)
    return (
        *_ALIKE,
        ("ce_id", b"%b.%d" % (order_id, sequence)),
        ("ce_type", event.encode()),
        ("ce_subject", order_id),
        ("ce_time", _rfc3339(row.at)),
        ("ce_sequence", b"%d" % sequence),
        ("ce_orderversion", b"%d" % row.version),
        ("ce_correlationid", row.correlation_id.encode()),
        *trace,
    )


def _rfc3339(at: datetime) -> bytes:
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00").encode() + b"Z"
