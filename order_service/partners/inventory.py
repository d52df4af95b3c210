"""Inventory over HTTP."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from order_service.core.answers import (
    CommitAnswer,
    HeldItem,
    Lied,
    ReleaseAnswer,
    Released,
    ReservationAbsent,
    ReservationState,
    ReserveAnswer,
    Reserved,
    ReserveRefused,
    Shortage,
    StockCommitted,
    StockNotHeld,
    Unanswered,
)
from order_service.core.requests import (
    AvailabilityRequest,
    CommitRequest,
    ReleaseRequest,
    ReserveRequest,
    encode_request,
)
from order_service.partners.ports import AvailabilityAnswer, ReservationAnswer
from order_service.partners.reading import Body, Id, Pieces, PositiveAmount, Reader, refused
from order_service.partners.reserves import Reserves
from order_service.partners.wire import Reply, Wire, segment

BASE = "/api/v1/inventory"
RESERVE_REFUSALS = frozenset({400, 404, 422})


class _Available(Body, frozen=True):
    product_id: str
    available_quantity: Pieces


class _AvailabilityBody(Body, frozen=True):
    items: tuple[_Available, ...]
    bulk_reservations: Pieces = 0
    """How many reserves the inventory takes in one request; it offers none unless it says so."""


class _ReservedBody(Body, frozen=True):
    reservation_id: str


class _Short(Body, frozen=True):
    product_id: str
    requested: PositiveAmount
    available: Pieces


class _ShortagesBody(Body, frozen=True):
    shortages: tuple[_Short, ...]


class _HeldItem(Body, frozen=True):
    product_id: Id
    quantity: PositiveAmount


class _ReservationBody(Body, frozen=True):
    state: Literal["reserved", "released", "committed"]
    items: tuple[_HeldItem, ...]


class _EndBody(Body, frozen=True):
    """Told with a release or a commit, so that the partner can name the order in its own books."""

    order_id: str


_AVAILABILITY = Reader(_AvailabilityBody)
_RESERVED = Reader(_ReservedBody)
_SHORTAGES = Reader(_ShortagesBody)
_RESERVATION = Reader(_ReservationBody)


class HttpInventory:
    """The Inventory port over one Wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._reserves = Reserves(wire)

    async def availability(
        self, request: AvailabilityRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> AvailabilityAnswer:
        """Ask what can be had; 200 with every product asked for, or nothing is known."""
        reply = await self._wire.post(
            "availability",
            f"{BASE}/availability",
            encode_request(request),
            key,
            deadline_s=deadline_s,
            correlation_id=correlation_id,
        )
        if isinstance(reply, Unanswered):
            return reply
        if reply.status != 200:
            return reply.undecided()
        body = _AVAILABILITY.read(reply)
        if isinstance(body, Unanswered):
            return body
        if isinstance(body, Lied):
            return Unanswered(body.detail)
        self._reserves.offered(body.bulk_reservations)
        return _available(request, body)

    async def reserve(
        self, request: ReserveRequest, key: str, *, deadline_s: float, correlation_id: str = "", alone: bool = True
    ) -> ReserveAnswer:
        """Hold all items or none: 201, 409; 400, 404 and 422 are our own fault."""
        reply = await self._reserves.send(
            request, key, alone=alone, deadline_s=deadline_s, correlation_id=correlation_id
        )
        if isinstance(reply, Unanswered):
            return reply
        if reply.status == 201:
            return _reserved(request, reply)
        if reply.status == 409:
            return _short(request, reply)
        return refused(reply) if reply.status in RESERVE_REFUSALS else reply.undecided()

    async def release(
        self, request: ReleaseRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> ReleaseAnswer:
        """Give back what is held: any 200 is done, whatever its body."""
        reply = await self._end("release", request, key, deadline_s, correlation_id)
        if isinstance(reply, Unanswered):
            return reply
        return Released() if reply.status == 200 else reply.undecided()

    async def commit(
        self, request: CommitRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> CommitAnswer:
        """Say that the goods have left: 200, or 409 if nothing is held; the bodies say nothing."""
        reply = await self._end("commit", request, key, deadline_s, correlation_id)
        if isinstance(reply, Unanswered):
            return reply
        if reply.status == 200:
            return StockCommitted()
        return StockNotHeld() if reply.status == 409 else reply.undecided()

    async def get(self, reservation_id: str, *, deadline_s: float, correlation_id: str = "") -> ReservationAnswer:
        """Ask how a reservation stands: 200 or 404."""
        reply = await self._wire.get(
            "get",
            f"{BASE}/reservations/{segment(reservation_id)}",
            deadline_s=deadline_s,
            correlation_id=correlation_id,
        )
        if isinstance(reply, Unanswered):
            return reply
        if reply.status == 404:
            return ReservationAbsent()
        return _reservation(reply) if reply.status == 200 else reply.undecided()

    async def _end(
        self,
        how: str,
        request: ReleaseRequest | CommitRequest,
        key: str,
        deadline_s: float,
        correlation_id: str,
    ) -> Reply | Unanswered:
        return await self._wire.post(
            how,
            f"{BASE}/reservations/{segment(request.reservation_id)}/{how}",
            msgspec.json.encode(_EndBody(request.order_id)),
            key,
            deadline_s=deadline_s,
            correlation_id=correlation_id,
        )


def _available(request: AvailabilityRequest, body: _AvailabilityBody) -> Mapping[str, int] | Unanswered:
    found: dict[str, int] = {}
    for item in body.items:
        if found.setdefault(item.product_id, item.available_quantity) != item.available_quantity:
            return Unanswered("two quantities for one product")
    asked = {item.product_id for item in request.items}
    if not asked <= found.keys():
        return Unanswered("a product is missing from the answer")
    return {product_id: max(0, found[product_id]) for product_id in asked}


def _reserved(request: ReserveRequest, reply: Reply) -> ReserveAnswer:
    body = _RESERVED.read(reply)
    if isinstance(body, Unanswered | Lied):
        return body
    if body.reservation_id != request.reservation_id:
        return Lied("another reservation than asked")
    return Reserved()


def _short(request: ReserveRequest, reply: Reply) -> ReserveAnswer:
    body = _SHORTAGES.read(reply)
    if isinstance(body, Unanswered | Lied):
        return body
    asked = {item.product_id for item in request.items}
    if any(short.product_id not in asked for short in body.shortages):
        return Lied("a shortage of a product not asked for")
    return ReserveRefused(
        tuple(Shortage(short.product_id, short.requested, max(0, short.available)) for short in body.shortages)
    )


def _reservation(reply: Reply) -> ReservationAnswer:
    body = _RESERVATION.read(reply)
    if isinstance(body, Unanswered | Lied):
        return body
    return ReservationState(body.state, tuple(HeldItem(i.product_id, i.quantity) for i in body.items))
