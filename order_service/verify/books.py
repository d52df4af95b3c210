"""What must hold of one order's books: its row, its log and its history. Pure: values in, faults out.

| invariant | what is asked |
|---|---|
| H1 versions-contiguous | the log has the versions 1 to n, n is the order's version |
| H1 history-is-a-path | lawful moves from creation to the order's status |
| H1 order-equals-log | the order's row says what the newest snapshot says |
| H1 parts-equal-log | so do its lines, attempts and refunds |
| H2 hash-chain-holds | every hash is that of its row, and goes on from the row before |
| H3 history-equals-log | one history row per change of status |
| H3 time-goes-forward | an actor each, and no version older than the one before it |
| H4 final-is-final | nothing leaves a final status but by a refund |
| E2 log-numbers-events | the events' numbers go on without a gap |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from order_service.core.lifecycle import MOVES, Status
from order_service.store.hashing import FIRST_PREV_HASH, contacts_hash, row_hash


class Row(Protocol):
    """A row by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any: ...


Fault = tuple[str, str]
"""The name of an invariant, and what is wrong."""

_ENDS = {Status.DELIVERED.value, Status.CANCELLED.value, Status.REFUNDED.value}
_LAWFUL = {(origin and origin.value, target.value) for origin, targets in MOVES.items() for target in targets}
_HASHED = (
    *("order_id", "version", "decision_id", "message", "snapshot", "change", "actor", "reason", "correlation_id"),
    *("traceparent", "at", "first_sequence", "events", "contacts_hash"),
)
_COMPARED = ("status", "stock", "currency", "subtotal", "shipping_cost", "tax", "discount", "total", "version")


class Held(Struct, frozen=True, rename="camel"):
    """One reservation, as a snapshot has it."""

    reservation_id: str
    status: str


class Line(Struct, frozen=True, rename="camel"):
    """One line, as a snapshot has it; amounts in minor units."""

    line: int
    product_id: str
    quantity: int
    unit_price: int
    total: int


class Attempt(Struct, frozen=True, rename="camel"):
    """One attempt, as a snapshot has it; amounts in minor units."""

    attempt: int
    reference: str
    status: str
    amount: int
    payment_id: str | None = None
    surplus: int = 0


class Refund(Struct, frozen=True, rename="camel"):
    """One refund, as a snapshot has it; the amount in minor units."""

    refund: int
    reference: str
    attempt: int
    amount: int
    status: str
    surplus: bool = False


class Money(Struct, frozen=True, rename="camel"):
    """The sums of a snapshot, in minor units, and the attempts they came by."""

    status: str
    captured: int
    refunded: int
    attempts: tuple[Attempt, ...]


class Image(Struct, frozen=True, rename="camel"):
    """What is compared of the newest snapshot; amounts in minor units."""

    status: str
    stock: str
    payment: Money
    currency: str
    subtotal: int
    shipping_cost: int
    tax: int
    discount: int
    total: int
    version: int
    event_sequence: int
    reservations: tuple[Held, ...]
    items: tuple[Line, ...]
    refunds: tuple[Refund, ...] = ()


class _OnlyStatus(Struct, frozen=True):
    status: str


class Books(Struct, frozen=True):
    """All that the database has of one order; ``contacts`` by the version that brought them.

    ``items``, ``attempts`` and ``refunds`` are its parts in the order of their numbers.
    """

    order: Row | None
    log: Sequence[Row]
    history: Sequence[Row]
    contacts: Mapping[int, Row]
    items: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    refunds: Sequence[Row] = ()


_decode_image = msgspec.json.Decoder(Image).decode
_decode_status = msgspec.json.Decoder(_OnlyStatus).decode


def newest_image(books: Books) -> Image | None:
    """The newest snapshot, None where there is none that can be read."""
    try:
        return _decode_image(books.log[-1]["snapshot"]) if books.log else None
    except msgspec.MsgspecError:
        return None


def faults(books: Books, image: Image | None) -> Iterator[Fault]:
    """Everything that does not hold of these books."""
    yield from _versions(books)
    yield from _chain(books)
    yield from _log_rows(books)
    yield from _path(books)
    yield from _same_history(books)
    if books.order is not None and books.log and books.log[-1]["version"] == books.order["version"]:
        yield from _same_order(books.order, image)
        yield from _same_parts(books, image)


def _versions(books: Books) -> Iterator[Fault]:
    name = "H1 versions-contiguous"
    found = [row["version"] for row in books.log]
    if books.order is None:
        yield name, f"a log of {len(found)} versions and a history of {len(books.history)} rows without an order"
    elif found != list(range(1, len(found) + 1)):
        yield name, f"the log has the versions {_short(found)}"
    elif len(found) != books.order["version"]:
        yield name, f"the log ends at version {len(found)}, the order is at {books.order['version']}"


def _short(numbers: list[int]) -> str:
    told = ", ".join(map(str, numbers[:20]))
    return told + (" ..." if len(numbers) > 20 else "")


def _chain(books: Books) -> Iterator[Fault]:
    name, before, digest = "H2 hash-chain-holds", None, None
    for row in books.log:
        version = row["version"]
        content = {field: row[field] for field in _HASHED} | {"order_id": str(row["order_id"])}
        if row_hash(row["prev_hash"], **content) != row["hash"]:
            yield name, f"version {version} was changed"
        expected = FIRST_PREV_HASH if version == 1 else before["hash"] if _follows(before, row) and before else None
        if expected is not None and expected != row["prev_hash"]:
            yield name, f"version {version} does not go on from the one before it"
        if version in books.contacts:
            brought = books.contacts[version]
            digest = contacts_hash(brought["salt"], brought["document"].encode())
            if digest != row["contacts_hash"]:
                yield name, f"the contacts of version {version} were changed"
        before = row
    at_end = before is not None and books.order is not None and before["version"] == books.order["version"]
    if at_end and books.order is not None and before is not None and before["hash"] != books.order["log_hash"]:
        yield name, "the order does not have the hash of its newest version"


def _follows(before: Row | None, row: Row) -> bool:
    return before is not None and bool(before["version"] + 1 == row["version"])


def _log_rows(books: Books) -> Iterator[Fault]:
    before: Row | None = None
    for row in books.log:
        version = row["version"]
        if not row["actor"] or (before is not None and row["at"] < before["at"]):
            yield "H3 time-goes-forward", f"version {version} by {row['actor'] or 'nobody'} at {row['at']}"
        wanted = 1 if version == 1 else None
        if before is not None and _follows(before, row):
            wanted = before["first_sequence"] + len(before["events"])
        if wanted is not None and row["first_sequence"] != wanted:
            yield "E2 log-numbers-events", f"version {version} begins at {row['first_sequence']}, not at {wanted}"
        before = row
    if before is not None and books.order is not None and before["version"] == books.order["version"]:
        last = before["first_sequence"] + len(before["events"]) - 1
        if books.order["event_sequence"] != last:
            yield "E2 log-numbers-events", f"the order counts {books.order['event_sequence']} events, the log {last}"


def _path(books: Books) -> Iterator[Fault]:
    name, status = "H1 history-is-a-path", None
    for row in books.history:
        origin, target = row["from_status"], row["to_status"]
        if origin != status:
            yield name, f"version {row['version']} leaves {origin}, the order was {status}"
        if (origin, target) not in _LAWFUL:
            yield ("H4 final-is-final" if origin in _ENDS else name), f"no move {origin} -> {target}"
        status = target
    if books.order is not None and status != books.order["status"]:
        yield name, f"the history ends at {status}, the order is {books.order['status']}"


def _same_history(books: Books) -> Iterator[Fault]:
    name = "H3 history-equals-log"
    told = {row["version"]: row for row in books.history}
    before: str | None = None
    seen = set()
    for row in books.log:
        status = _status(row)
        if status is None:
            return  # order-equals-log, or the chain, tells that the snapshot cannot be read
        version = row["version"]
        if status != before:
            seen.add(version)
            if version not in told:
                yield name, f"version {version} became {status}, and the history has no row"
            elif not _same_row(told[version], row, before, status):
                yield name, f"the history of version {version} differs from the log"
        before = status
    for version in told.keys() - seen if books.log else ():
        yield name, f"the history has version {version}, at which the status did not change"


def _same_row(told: Row, row: Row, origin: str | None, target: str) -> bool:
    same = all(told[field] == row[field] for field in ("actor", "reason", "correlation_id", "at"))
    return same and told["from_status"] == origin and bool(told["to_status"] == target)


def _status(row: Row) -> str | None:
    try:
        return _decode_status(row["snapshot"]).status
    except msgspec.MsgspecError:
        return None


def _same_order(order: Row, image: Image | None) -> Iterator[Fault]:
    name = "H1 order-equals-log"
    if image is None:
        yield name, "the newest snapshot cannot be read"
        return
    money = image.payment
    pairs = {field: (order[field], getattr(image, field)) for field in _COMPARED}
    pairs["payment_status"] = (order["payment_status"], money.status)
    pairs["captured"] = (order["captured"], money.captured)
    pairs["refunded"] = (order["refunded"], money.refunded)
    for field, (here, there) in pairs.items():
        if here != there:
            yield name, f"{field} is {here}, the log says {there}"


def _same_parts(books: Books, image: Image | None) -> Iterator[Fault]:
    if image is None:
        return  # order-equals-log tells that the snapshot cannot be read
    parts: tuple[tuple[str, Sequence[Row], Sequence[Struct], type[Struct]], ...] = (
        ("lines", books.items, image.items, Line),
        ("attempts", books.attempts, image.payment.attempts, Attempt),
        ("refunds", books.refunds, image.refunds, Refund),
    )
    for what, here, there, kind in parts:
        names = kind.__struct_fields__
        rows = [tuple(row[name] for name in names) for row in here]
        told = [tuple(getattr(part, name) for name in names) for part in there]
        if rows != told:
            yield (
                "H1 parts-equal-log",
                f"the {what} are {_differing(rows, told)}, the log says {_differing(told, rows)}",
            )


def _differing(some: list[tuple[Any, ...]], others: list[tuple[Any, ...]]) -> str:
    return ", ".join(str(part) for part in some if part not in others)[:300] or "fewer or in another order"
