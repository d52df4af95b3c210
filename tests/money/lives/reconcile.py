"""Our books against the partners' ledger: to the minor unit, at every moment and at the end."""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING

import msgspec

from order_service.core.lifecycle import Status, Stock
from order_service.core.messages import Event
from order_service.core.model import REFUND_IN_FLIGHT, AttemptStatus, Order, RefundStatus
from tests.money.lives.books import Books
from tests.money.lives.partners import Counter

if TYPE_CHECKING:
    from tests.money.lives.life import Life

_DEAD = (Status.CANCELLED, Status.REFUNDED)
_MAY_HOLD = (Stock.RESERVING, Stock.RESERVED, Stock.RELEASING)


class Line(msgspec.Struct, rename="camel"):
    """One effect, as the ledger lists it."""

    kind: str
    key: str
    order_id: str | None = None
    reference: str | None = None
    amount: int = 0


class Ledger:
    """The partners' effects, read on from where the last look ended."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._read = 0
        self.charges: dict[str, Line] = {}
        self.refunds: dict[str, Line] = {}
        self.charged: Tally[str] = Tally()
        self.given_back: Tally[str] = Tally()
        self.kinds: Tally[tuple[str | None, str]] = Tally()

    def look(self) -> None:
        """Read what is new; an effect that is listed twice is a fault."""
        fresh = self._counter.world.ledger(self._read)
        self._read += len(fresh)
        for raw in fresh:
            line = msgspec.json.decode(raw, type=Line)
            self.kinds[line.order_id, line.kind] += 1
            if line.kind in ("charge", "refund"):
                assert line.reference is not None
                assert line.order_id is not None
                book = self.charges if line.kind == "charge" else self.refunds
                assert line.reference not in book, f"a second {line.kind} of {line.reference}"
                book[line.reference] = line
                (self.charged if line.kind == "charge" else self.given_back)[line.order_id] += line.amount


def at_every_moment(books: Books, ledger: Ledger) -> None:
    """We never tell of money that did not move, and never give back more than was taken."""
    ledger.look()
    for order in books.orders():
        surplus = sum(a.surplus for a in order.payment.attempts)
        back = sum(r.amount for r in order.refunds if r.status is RefundStatus.SUCCEEDED)
        assert order.payment.captured + surplus <= ledger.charged[order.id], f"{order.id} tells of a capture too many"
        assert back <= ledger.given_back[order.id], f"{order.id} tells of a refund too many"
        assert ledger.given_back[order.id] <= ledger.charged[order.id], f"{order.id}: more went back than was taken"
        own = sum(r.amount for r in order.refunds_of_order() if r.status is RefundStatus.SUCCEEDED)
        assert own == order.payment.refunded
        promised = order.payment.refunded + order.refund_in_flight + order.settled_outside
        assert promised <= order.payment.captured, f"{order.id} promises more than was captured"


def at_the_end(life: Life) -> None:
    """Everything is settled, and whatever the partners did is in our books."""
    assert life.counter.refunds_refused == [], "we asked for more than is left"
    for order in life.books.orders():
        _calls(life, order)
        _charges(life, order)
        _refunds(life, order)
        _sums(life, order)
        _goods(life, order)
        _dead_keeps_nothing(life, order)
        _told(life, order)
    _warehouse(life)


def _calls(life: Life, order: Order) -> None:
    owed = [o for o in life.books.owed.values() if o.order_id == order.id]
    assert all(o.parked for o in owed), f"{order.id} still owes {owed}"
    waits = order.attention is not None
    assert not (owed and not waits), f"{order.id} has parked calls and nobody is told"
    if life.staff_is_there:
        assert not waits, f"{order.id} still waits for a person"
        assert order.status not in (Status.PENDING, Status.PAYMENT_PENDING, Status.PAYMENT_FAILED)


def _charges(life: Life, order: Order) -> None:
    """Each attempt took what we say it took, and none took twice."""
    for attempt in order.payment.attempts:
        line = life.ledger.charges.get(attempt.reference)
        ours = attempt.amount if attempt.status is AttemptStatus.CAPTURED else attempt.surplus
        if _left_to_people(life, order, attempt.reference):
            continue
        assert (line.amount if line else 0) == ours, f"{attempt.reference}: {line} and we say {attempt}"
    known = {a.reference for a in order.payment.attempts}
    assert known >= {k for k, line in life.ledger.charges.items() if line.order_id == order.id}


def _left_to_people(life: Life, order: Order, reference: str) -> bool:
    parked = any(o.call.subject == reference and o.order_id == order.id for o in life.books.owed.values())
    return parked or reference in life.given_up


def _refunds(life: Life, order: Order) -> None:
    """A refund that succeeded went back once; one that failed never did; people answer for what they settled."""
    for refund in order.refunds:
        line = life.ledger.refunds.get(refund.reference)
        if refund.status is RefundStatus.SUCCEEDED:
            assert line is not None
            assert line.amount == refund.amount
        elif refund.status in (RefundStatus.FAILED, RefundStatus.ACKNOWLEDGED):
            assert line is None, f"{refund.reference} failed, and the money went back"
        elif refund.status in REFUND_IN_FLIGHT:
            assert order.attention is not None, f"{refund.reference} is under way for ever"
    known = {r.reference for r in order.refunds}
    assert known >= {k for k, line in life.ledger.refunds.items() if line.order_id == order.id}


def _sums(life: Life, order: Order) -> None:
    """Ours and theirs are the same number, whatever people settled outside left out on both sides."""
    if any(_left_to_people(life, order, a.reference) for a in order.payment.attempts):
        return
    took = order.payment.captured + sum(a.surplus for a in order.payment.attempts)
    back = sum(r.amount for r in order.refunds if r.status is RefundStatus.SUCCEEDED)
    outside = (RefundStatus.SETTLED_OUTSIDE, *REFUND_IN_FLIGHT)
    by_people = {r.reference for r in order.refunds if r.status in outside}
    also = sum(line.amount for k, line in life.ledger.refunds.items() if k in by_people)
    theirs = life.ledger.charged[order.id] - life.ledger.given_back[order.id]
    assert took - back - also == theirs, f"{order.id}: ours {took} - {back} - {also}, theirs {theirs}"


def _goods(life: Life, order: Order) -> None:
    """Only the newest reservation of an order that may hold goods holds any."""
    for reservation in order.reservations:
        answer = life.counter.world.stock.view(reservation.reservation_id)
        state = answer.body["state"] if answer.status == 200 else "none"
        newest = reservation is order.newest_reservation
        if reservation.reservation_id in life.given_up or _left_to_people(life, order, reservation.reservation_id):
            continue
        if newest and order.stock is Stock.RESERVED and reservation.status == "reserved":
            assert state == "reserved"
        elif newest and order.stock is Stock.COMMITTED:
            assert state == "committed"
        else:
            assert state in ("released", "none"), f"{reservation} is {state}"


def _dead_keeps_nothing(life: Life, order: Order) -> None:
    if order.status not in _DEAD:
        return
    if life.staff_is_there:
        assert order.payment.captured == order.payment.refunded + order.settled_outside
        surplus = sum(a.surplus for a in order.payment.attempts)
        settled = (RefundStatus.SUCCEEDED, RefundStatus.SETTLED_OUTSIDE)
        assert surplus == sum(r.amount for r in order.refunds if r.surplus and r.status in settled)
    if order.status is Status.CANCELLED:
        held = life.counter.world.stock.view(order.newest_reservation.reservation_id)
        assert held.status == 404 or held.body["state"] == "released" or order.attention is not None


def _told(life: Life, order: Order) -> None:
    """Consumers heard of each capture and each refund exactly once, in versions without a gap."""
    told = life.books.told[order.id]
    assert [t.version for t in told] == list(range(1, order.version + 1))
    events = [event for t in told for event in t.events]
    assert len(events) == order.event_sequence
    paid = events.count(Event.PAYMENT_SUCCESSFUL)
    assert paid <= 1
    assert paid == 0 or order.payment.captured == order.total > 0
    heard = [t.refund for t in told if t.refund is not None]
    assert events.count(Event.REFUNDED) == len(heard)
    done = [r for r in order.refunds if r.status is RefundStatus.SUCCEEDED]
    assert sorted(h["refund"] for h in heard) == [r.refund for r in done]
    assert sum(h["amount"] for h in heard) == sum(r.amount for r in done)
    assert life.ledger.kinds[order.id, "clear_cart"] <= 1


def _warehouse(life: Life) -> None:
    """The pieces that are gone are those of orders that may have them."""
    out = life.pieces - life.counter.world.stock.available("lamp")
    ours = 0
    for order in life.books.orders():
        for reservation in order.reservations:
            answer = life.counter.world.stock.view(reservation.reservation_id)
            if answer.status == 200 and answer.body["state"] != "released":
                ours += sum(item["quantity"] for item in answer.body["items"] if item["productId"] == "lamp")
    assert out == ours <= life.pieces
